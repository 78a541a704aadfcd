"""Energy, carbon, money and time as people read them. What is not known is a dash."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from exporter.tariffs.tariffs import JOULES_PER_KWH

DASH = "\u2013"
MINUS = "\u2212"
THIN = "\u202f"
DOT = f"{THIN}\u00b7 "

_COLUMN = ((10_000.0, 0), (100.0, 1), (1.0, 2), (0.1, 3))
_ALONE = ((100.0, 0), (10.0, 1), (1.0, 2), (0.1, 3))
_MOST_DECIMALS = 4


def decimal(value: float | None, decimals: int) -> str:
    """With thousands apart; what is there and too small to be seen is `<` the smallest that is."""
    if value is None or not math.isfinite(value):
        return DASH
    least = 10.0**-decimals
    if 0 < abs(value) < 0.5 * least:
        return f"{'' if value > 0 else MINUS}<{least:.{decimals}f}"
    return f"{value + 0.0:,.{decimals}f}".replace("-", MINUS)


def decimals_for(values: Iterable[float | None]) -> int:
    """How many decimals a column of these takes: at least three digits for the largest."""
    largest = max((abs(value) for value in values if value is not None and math.isfinite(value)), default=0.0)
    return next((decimals for least, decimals in _COLUMN if largest >= least), _MOST_DECIMALS)


def number(value: float | None) -> str:
    """A figure that stands alone: three digits, or all before the point."""
    return DASH if value is None else decimal(value, _digits_alone(value))


def kwh(joules: float) -> str:
    """Energy with its unit."""
    return f"{number(joules / JOULES_PER_KWH)}{THIN}kWh"


def kwh_between(low_joules: float, high_joules: float) -> str:
    """Bounds, in the decimals that the upper one takes; one figure where they are the same in these."""
    low, high = low_joules / JOULES_PER_KWH, high_joules / JOULES_PER_KWH
    texts = [decimal(each, _digits_alone(high)) for each in (low, high)]
    spelt = texts[1] if texts[0] == texts[1] else " to ".join(texts)
    return f"{spelt}{THIN}kWh"


def _digits_alone(value: float) -> int:
    if value == 0:
        return 0
    return next((decimals for least, decimals in _ALONE if abs(value) >= least), _MOST_DECIMALS)


def kilograms(grams: float) -> str:
    """CO2 equivalent with its unit; the name of the gas is the caller's."""
    if abs(grams) >= 1e7:
        return f"{number(grams / 1e6)}{THIN}t"
    return f"{number(grams / 1e3)}{THIN}kg" if abs(grams) >= 100 or grams == 0 else f"{number(grams)}{THIN}g"


def money(amount: float, currency: str) -> str:
    """With its currency, in hundredths."""
    return f"{decimal(amount, 2 if abs(amount) < 100_000 else 0)}{THIN}{currency}".rstrip()


def percent(ratio: float | None, decimals: int = 1) -> str:
    """A ratio; what is not quite all is never told as 100 %."""
    if ratio is None:
        return DASH
    value = 100.0 * ratio
    if 100.0 - 0.5 * 10.0**-decimals <= value < 100.0:
        return f">{100.0 - 10.0**-decimals:.{decimals}f}{THIN}%"
    return f"{decimal(value, 0 if value in (0.0, 100.0) else decimals)}{THIN}%"


def signed(spelt: str) -> str:
    """With a plus where it is more than nothing."""
    return f"+{spelt}" if spelt[:1].isdigit() and set(spelt) & set("123456789") else spelt


def change(after: float, before: float) -> str:
    """By how much, in percent; a dash where there was nothing before."""
    return DASH if before <= 0 else signed(percent(after / before - 1.0))


def plural(count: int, noun: str) -> str:
    """`1 hour`, `2 hours`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def date(unix_seconds: int) -> str:
    """The day, in UTC."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d")


def day(unix_seconds: int) -> str:
    """The day without its year."""
    at = datetime.fromtimestamp(unix_seconds, UTC)
    return f"{at.day} {at:%b}"


def span_before(from_seconds: int, to_seconds: int) -> str:
    """What a span is compared with, in words."""
    return f"the {_span(from_seconds, to_seconds)} before"


def period(from_seconds: int, to_seconds: int) -> str:
    """A month or a year by its name, else the first and last day; to_seconds is no longer in it."""
    start = datetime.fromtimestamp(from_seconds, UTC)
    if (span := _span(from_seconds, to_seconds)) != "time":
        return f"{start:%B %Y}" if span == "month" else f"{start:%Y}"
    first, last = date(from_seconds), date(to_seconds - 1)
    return first if first == last else f"{first} to {last}"


def _span(from_seconds: int, to_seconds: int) -> str:
    start, end = (datetime.fromtimestamp(each, UTC) for each in (from_seconds, to_seconds))
    if (start.day, start.hour, start.minute, start.second) != (1, 0, 0, 0):
        return "time"
    if end == start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1):
        return "month"
    return "year" if start.month == 1 and end == start.replace(year=start.year + 1) else "time"
