"""An energy counter that moves in large steps, with the power that fills them.

A BMC's kilowatt-hours may have two decimals or none: at 300 W a step takes two minutes, or three hours.
Between two steps the energy is summed up from watts, and kept to what the counter allows: never below what it
shows, never a whole step above it. So the sum is off by a step at most, however long it runs.
"""

from __future__ import annotations

from estimator.meters.port import ZoneReading

_RANGE_UJ = 2**63 - 1
# Of a finer counter another process can go on from what this one read: it is off by seconds of power at most.
_RESUMED_JOULES = 4_000.0


class CoarseCounter:
    """Counter and watts in, at moments; cumulative microjoules out, for one zone and path."""

    def __init__(self, zone: str, path: str) -> None:
        self._zone, self._path = zone, path
        self._joules = self._spread_joules = self._counter = self._step = 0.0
        self._watts: float | None = None
        self._boottime_ns: int | None = None
        self._told_joules: float | None = None

    def take(self, joules: float, step_joules: float, watts: float | None, boottime_ns: int) -> None:
        """One answer: what the counter shows and the step in which it moves, and the power, if told."""
        last_ns, before = self._boottime_ns, self._counter
        if last_ns is not None and boottime_ns <= last_ns:
            return
        # A number that ends in 0 is written with a decimal less.
        self._step = min(step_joules, self._step) if last_ns is not None else step_joules
        if last_ns is None or joules < before:
            self._joules = joules
        else:
            self._fill((boottime_ns - last_ns) / 1e9, watts, joules)
        self._counter, self._watts, self._boottime_ns = joules, watts, boottime_ns

    def reading(self) -> ZoneReading | None:
        """The sum as of the last answer; None where it has not moved since the last reading."""
        if self._boottime_ns is None or self._joules == self._told_joules:
            return None
        self._told_joules = self._joules
        return ZoneReading(
            self._zone,
            None,
            self._path,
            round(self._joules * 1e6),
            _RANGE_UJ,
            self._boottime_ns,
            spread_uj=round(self._spread_joules * 1e6),
            is_own=self._step > _RESUMED_JOULES,
        )

    def _fill(self, seconds: float, watts: float | None, joules: float) -> None:
        """Between the last answer and this one."""
        if watts is None or self._watts is None:
            summed, unsure = joules, self._step if joules > self._counter else 0.0
        else:
            summed = self._joules + (self._watts + watts) / 2 * seconds
            unsure = min(self._step, abs(watts - self._watts) / 2 * seconds)
        self._joules = max(self._joules, min(max(summed, joules), joules + self._step))
        self._spread_joules += unsure
