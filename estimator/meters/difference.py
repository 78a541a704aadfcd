"""What happened to an energy counter between two readings, as a type with cases.

A first reading carries no joules, so counting it as energy cannot be written; neither can a gap's.
"""

from __future__ import annotations

from dataclasses import dataclass

from estimator.meters.port import ZoneReading

# The most one counter may draw where the machine does not say (ZoneReading.most_watts). Packages stay below
# 1 kW (Xeon 6980P and EPYC 9965: 500 W TDP); psys spans the sockets of a board, platform a chassis with its
# accelerators (DGX H100: 10.2 kW).
PLAUSIBLE_WATTS = {"psys": 4_000.0, "platform": 12_000.0}
DEFAULT_PLAUSIBLE_WATTS = 1_000.0

# Beyond this multiple of the plausible the counter lied or was reset (Kepler #897, #1344).
IMPOSSIBLE_FACTOR = 2.0

# Counters move in steps (RAPL every 0.976 ms, board meters once a second), so in a very short
# interval a whole step may land that no power limit would allow.
STEP_JOULES = 10.0


@dataclass(frozen=True, slots=True)
class FirstReading:
    """There was nothing to compare with: no energy is known yet."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The counter went up by `joules` in `interval_seconds`."""

    joules: float
    interval_seconds: float


@dataclass(frozen=True, slots=True)
class WrappedOnce:
    """The counter passed its maximum once; `joules` already holds the range added back."""

    joules: float
    interval_seconds: float


@dataclass(frozen=True, slots=True)
class Gap:
    """The energy of `interval_seconds` cannot be known; `reason` says why in one word or two."""

    reason: str
    interval_seconds: float


Change = FirstReading | Difference | WrappedOnce | Gap


def difference(
    previous: ZoneReading | None, current: ZoneReading, plausible_watts: float | None = None
) -> Change:
    """Compare two readings of one counter.

    The candidates are d + k·(max + 1) with d = (current - previous) mod (max + 1). It is a gap where k = 1
    is possible too at plausible_watts (default: what the reading says, else by zone), or where even k = 0 is
    not possible.
    Raises ValueError for readings of two different counters. Source: DESIGN section 4, step 1.
    """
    if previous is None:
        return FirstReading()
    if previous.path != current.path:
        raise ValueError(f"cannot compare the counter {current.path} with another, {previous.path}")
    seconds = (current.boottime_ns - previous.boottime_ns) / 1e9
    reason = _not_comparable(previous, current, seconds)
    if reason:
        return Gap(reason, seconds)
    watts = plausible_watts or plausible(current)
    return _step(previous.energy_uj, current.energy_uj, current.max_energy_uj + 1, watts, seconds)


def plausible(reading: ZoneReading) -> float:
    """The most that this counter may draw, in watts."""
    return reading.most_watts or PLAUSIBLE_WATTS.get(reading.zone, DEFAULT_PLAUSIBLE_WATTS)


def _not_comparable(previous: ZoneReading, current: ZoneReading, seconds: float) -> str:
    if seconds <= 0:
        return "no time passed"
    if (previous.zone, previous.socket, previous.max_energy_uj) != (
        current.zone,
        current.socket,
        current.max_energy_uj,
    ):
        return "replaced"
    if not (
        0 <= previous.energy_uj <= previous.max_energy_uj and 0 <= current.energy_uj <= current.max_energy_uj
    ):
        return "out of range"
    return ""


def _step(before_uj: int, after_uj: int, range_uj: int, watts: float, seconds: float) -> Change:
    step_uj = (after_uj - before_uj) % range_uj
    if step_uj + range_uj <= watts * seconds * 1e6:
        return Gap("may have wrapped more than once", seconds)
    if step_uj > max(IMPOSSIBLE_FACTOR * watts * seconds, STEP_JOULES) * 1e6:
        return Gap("implausible", seconds)
    if after_uj < before_uj:
        return WrappedOnce(step_uj / 1e6, seconds)
    return Difference(step_uj / 1e6, seconds)
