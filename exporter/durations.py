"""Durations as Go and Kepler write them: 5s, 500ms, 1m30s."""

from __future__ import annotations

import re
from decimal import Decimal

# Go's time.ParseDuration, https://pkg.go.dev/time#ParseDuration, without the sign: no option is negative.
_UNIT_NS = {
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
_PART = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"(?:{_PART})+", re.ASCII)
_MAX_NS = 2**63 - 1  # Go's time.Duration


def parse_duration(text: str) -> float:
    """The seconds in a duration such as "1m30s"; "0" needs no unit.

    Raises ValueError for anything else, also for a bare number and for more than Go's 2^63 - 1 ns.
    """
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise ValueError("a duration needs a number and a unit, as in 500ms, 5s or 1m30s")
    total_ns = sum(Decimal(number) * _unit_ns(unit) for number, unit in re.findall(_PART, text))
    if total_ns > _MAX_NS:
        raise ValueError("a duration ends at 292 years")
    return float(Decimal(total_ns) / 1_000_000_000)


def format_duration(seconds: float) -> str:
    """The shortest whole-number spelling, to the nanosecond: 90.0 -> "1m30s", 0.5 -> "500ms"."""
    rest = round(seconds * 1_000_000_000)
    parts = []
    for unit, unit_ns in _UNIT_NS.items():
        count, rest = divmod(rest, unit_ns)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _unit_ns(unit: str) -> int:
    return _UNIT_NS.get(unit) or _UNIT_NS["us"]
