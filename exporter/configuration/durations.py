"""Durations as Go and Kepler write them: 5s, 500ms, 1m30s; to the microsecond."""

from __future__ import annotations

import math
import re

import durationpy

# Go's time.ParseDuration, https://pkg.go.dev/time#ParseDuration, without the sign: no option is negative. The
# library takes more: days to years, the digits of every script, and anything between two parts.
_GO = re.compile(r"0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+", re.ASCII)
_MICROSECONDS = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_MAX_SECONDS = (2**63 - 1) / 1e9  # Go's time.Duration


def parse_duration(text: str) -> float:
    """The seconds in a duration such as "1m30s"; "0" needs no unit.

    Raises ValueError for anything else, also for a bare number and for more than Go's 2^63 - 1 ns.
    """
    if not _GO.fullmatch(text):
        raise ValueError("a duration needs a number and a unit, as in 500ms, 5s or 1m30s")
    try:
        seconds = durationpy.from_str(text).total_seconds()
    except durationpy.DurationError:  # beyond Python's own
        seconds = math.inf
    if seconds > _MAX_SECONDS:
        raise ValueError("a duration ends at 292 years")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest whole-number spelling: 90.0 -> "1m30s", 0.5 -> "500ms". The library's has six digits."""
    rest = round(seconds * 1_000_000)
    parts = []
    for unit, size in _MICROSECONDS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
