"""A counter of our own, for a meter that gives watts alone.

Between two of its answers power is taken to go in a straight line, which may be wrong by as much as the half
of what it changed: that is the spread, added up as if it were always to the same side.
"""

from __future__ import annotations

import math

from estimator.meters.difference import DEFAULT_PLAUSIBLE_WATTS, IMPOSSIBLE_FACTOR, PLAUSIBLE_WATTS
from estimator.meters.port import MeterError, ZoneReading

_RANGE_UJ = 2**63 - 1
_MOST_PERIODS = 5.0


class IntegratedCounter:
    """Watts in, at moments; cumulative microjoules out, for one zone, socket and path.

    period_seconds: how often watts come. Where they stay away for more than most_periods of it, what was
    drawn meanwhile is not known. is_mean: each answer is the mean since the one before, so that nothing is
    uncertain. device, most_watts: as in ZoneReading.
    """

    def __init__(
        self,
        zone: str,
        socket: int | None,
        path: str,
        period_seconds: float,
        *,
        device: str = "",
        most_watts: float | None = None,
        is_mean: bool = False,
        most_periods: float = _MOST_PERIODS,
    ) -> None:
        self.path = path
        self._zone, self._socket, self._device, self._most_watts = zone, socket, device, most_watts
        self._longest_seconds = period_seconds * most_periods
        self._is_mean = is_mean
        self._joules = self._spread_joules = self._watts = 0.0
        self._boottime_ns: int | None = None

    def take(self, watts: float, boottime_ns: int) -> MeterError | None:
        """One answer. Where it comes too late the error says so: hand it on beside the reading, which is a
        first one then. Raises ValueError for what cannot be a power; the counter stays as it was."""
        self._check(watts)
        last_ns, before = self._boottime_ns, self._watts
        if last_ns is not None and boottime_ns <= last_ns:
            return None
        self._boottime_ns, self._watts = boottime_ns, watts
        seconds = 0.0 if last_ns is None else (boottime_ns - last_ns) / 1e9
        if seconds > self._longest_seconds:
            return MeterError(self.path, f"no power for {seconds:.0f} s: what it drew is not known", True)
        if self._is_mean:
            self._joules += watts * seconds
        else:
            self._joules += (before + watts) / 2 * seconds
            self._spread_joules += abs(watts - before) / 2 * seconds
        return None

    def reading(self) -> ZoneReading | None:
        """The counter as of the last answer; None before the first."""
        if self._boottime_ns is None:
            return None
        return ZoneReading(
            self._zone,
            self._socket,
            self.path,
            round(self._joules * 1e6),
            _RANGE_UJ,
            self._boottime_ns,
            self._most_watts,
            spread_uj=round(self._spread_joules * 1e6),
            is_integrated=True,
            is_own=True,
            device=self._device,
        )

    def _check(self, watts: float) -> None:
        most = IMPOSSIBLE_FACTOR * (
            self._most_watts or PLAUSIBLE_WATTS.get(self._zone, DEFAULT_PLAUSIBLE_WATTS)
        )
        if not math.isfinite(watts) or not 0 <= watts <= most:
            raise ValueError(f"found {watts:g} W, want a power from 0 to {most:g} W")
