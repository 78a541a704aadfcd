"""A machine's specification, and how idle and full-load power follow from it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from estimator.model_document import Field

_NOMINAL_CLOCK = re.compile(r"@\s*([\d.]+)\s*GHz")
TERMS = ("mhz", "threads_per_chip", "chips")
_MOST_EXPONENT = 8.0


@dataclass(frozen=True, slots=True)
class Specification:
    """mhz: the nominal clock. threads_per_chip: logical CPUs of one socket. chips: sockets."""

    mhz: float
    threads_per_chip: float
    chips: float

    def logarithms(self) -> tuple[float, ...]:
        """In the order of TERMS."""
        return tuple(math.log(value) for value in (self.mhz, self.threads_per_chip, self.chips))


@dataclass(frozen=True, slots=True)
class Scaling:
    """watts per CPU = watts_at_reference · Π (value / reference) ^ exponent, each value held in its range.

    reference, low, high: by term, in the order of TERMS; idle, full: the watts and exponents of each end.
    """

    reference: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    idle: tuple[float, ...]
    full: tuple[float, ...]
    idle_watts_per_cpu: float
    full_watts_per_cpu: float

    def watts(self, of: Specification) -> tuple[float, float]:
        """Idle and full-load watts per logical CPU; full is never below idle."""
        values = (of.mhz, of.threads_per_chip, of.chips)
        held = [
            min(max(value, low), high) for value, low, high in zip(values, self.low, self.high, strict=True)
        ]
        ratios = [value / reference for value, reference in zip(held, self.reference, strict=True)]
        idle = self.idle_watts_per_cpu * _product(ratios, self.idle)
        return idle, max(idle, self.full_watts_per_cpu * _product(ratios, self.full))


def read_scaling(scaling: Field) -> Scaling:
    """The "scaling" of a curve in a model file, or ModelInvalid naming the field."""

    def terms(name: str, least: float, most: float) -> tuple[float, ...]:
        return tuple(scaling[name][term].number(least, most) for term in TERMS)

    low, high = terms("least", 1e-6, 1e9), terms("most", 1e-6, 1e9)
    if any(a > b for a, b in zip(low, high, strict=True)):
        scaling["most"].refuse("at least what least says")
    return Scaling(
        reference=terms("reference", 1e-6, 1e9),
        low=low,
        high=high,
        idle=terms("idle_exponents", -_MOST_EXPONENT, _MOST_EXPONENT),
        full=terms("full_exponents", -_MOST_EXPONENT, _MOST_EXPONENT),
        idle_watts_per_cpu=scaling["idle_watts_per_cpu"].number(most=1e6),
        full_watts_per_cpu=scaling["full_watts_per_cpu"].number(most=1e6),
    )


def read_specification(sysfs: Path, model_name: str, n_cpu: int, n_sockets: int) -> Specification | None:
    """This machine's, None where its nominal clock is not told.

    The clock is the one in the model's name ("@ 2.40GHz"), else intel_pstate's base_frequency; AMD tells
    none.
    """
    mhz = _nominal_mhz(sysfs, model_name)
    return Specification(mhz, n_cpu / n_sockets, n_sockets) if mhz and n_cpu and n_sockets else None


def _nominal_mhz(sysfs: Path, model_name: str) -> float | None:
    if named := _NOMINAL_CLOCK.search(model_name):
        return float(named[1]) * 1000
    try:
        kilohertz = int((sysfs / "devices/system/cpu/cpu0/cpufreq/base_frequency").read_text())
    except (OSError, ValueError):
        return None
    return kilohertz / 1000


def _product(ratios: list[float], exponents: tuple[float, ...]) -> float:
    return math.exp(math.fsum(e * math.log(ratio) for ratio, e in zip(ratios, exponents, strict=True)))


def by_term(values: tuple[float, ...]) -> Mapping[str, float]:
    """As a model file has them, five digits each."""
    return {term: float(f"{value:.5g}") for term, value in zip(TERMS, values, strict=True)}
