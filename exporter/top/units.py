"""Figures for a column: three digits and a unit that suits, all of one width."""

from __future__ import annotations

from collections.abc import Sequence

Scale = Sequence[tuple[float, str]]

WATTS: Scale = ((1e-6, "µW"), (1e-3, "mW"), (1.0, "W"), (1e3, "kW"), (1e6, "MW"))
JOULES: Scale = ((1e-3, "mJ"), (1.0, "J"), (1e3, "kJ"), (1e6, "MJ"), (1e9, "GJ"), (1e12, "TJ"))
GRAMS: Scale = ((1e-6, "µg"), (1e-3, "mg"), (1.0, "g"), (1e3, "kg"), (1e6, "t"))

UNKNOWN = "-"
_PROMOTED = 0.9995  # what rounds to 1000 of a unit is 1.00 of the next one


def scaled(value: float | None, scale: Scale) -> str:
    """Such as "1.23 mW" or "45.6  W": the unit takes two places, so that digits stand below digits."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return f"0 {_base(scale):>2}"
    factor, unit = next((each for each in reversed(scale) if value >= _PROMOTED * each[0]), scale[0])
    return f"{digits(value / factor)} {unit:>2}"


def prose(value: float | None, scale: Scale) -> str:
    """The same within a sentence."""
    return " ".join(scaled(value, scale).split())


def digits(value: float | None) -> str:
    """Three digits, more where there are more before the point."""
    if value is None:
        return UNKNOWN
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def hundredths(value: float | None) -> str:
    """Two places."""
    return UNKNOWN if value is None else f"{value:.2f}"


def percent(value: float | None) -> str:
    """A ratio in percent, to a tenth."""
    return UNKNOWN if value is None else f"{100 * value:.1f}%"


def money(value: float | None) -> str:
    """An amount of any size, without its currency."""
    if value is None:
        return UNKNOWN
    if value == 0 or value >= 1:
        return digits(value)
    return f"{value:.2g}" if value >= 0.0001 else f"{value:.1e}"


def _base(scale: Scale) -> str:
    return next(unit for factor, unit in scale if factor == 1.0)
