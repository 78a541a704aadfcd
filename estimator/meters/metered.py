"""A power meter as an energy source: readings in, the joules of each tick out."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from ebpf.state_log import StateLog
from estimator.energy import SourceInfo, Usage, ZoneEnergy
from estimator.meters.difference import Difference, Gap, WrappedOnce
from estimator.meters.follower import (
    AHEAD,
    INVALID,
    OWING,
    STILL,
    CounterFollower,
    Told,
    Waiting,
    longest_seconds,
)
from estimator.meters.port import MeterError, PowerMeter, ZoneReading

log = logging.getLogger(__name__)

# A zone, its socket, and the path, under which another may stand tomorrow.
_Zone = tuple[str, int | None, str]

# Clocks are read one after the other: less than this is no sleep.
_LEAST_SLEEP_SECONDS = 0.1


def suspended_ns() -> int:
    """How long the machine has slept since it was booted."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


@dataclass(slots=True)
class _Counter:
    """One counter. slept_ns: suspended_ns at the reading up to which its energy is told."""

    follower: CounterFollower
    slept_ns: int


@dataclass(slots=True)
class _Sum:
    """What a zone told since the last tick. spread_joules: how uncertain it is, ±. last: up to where."""

    last: ZoneReading
    joules: float = 0.0
    seconds: float = 0.0
    spread_joules: float = 0.0
    suspended_joules: float = 0.0
    suspended_seconds: float = 0.0


class MeteredEnergy:
    """The energy of a meter's counters; whatever the meter does, measure() answers and counts it.

    A zone whose read fails keeps its last reading, so the next good one spans both intervals and nothing
    is lost. A zone that vanished is forgotten; its return is a gap and a first reading. idle_watts is left
    None: a meter cannot know it. suspended_ns: how long the machine has slept since it was booted; what was
    drawn meanwhile is told apart, taking the rest for awake at the power of the interval before.
    """

    def __init__(self, meter: PowerMeter, suspended_ns: Callable[[], int] = suspended_ns) -> None:
        self.info = SourceInfo(meter.name)
        self.meter = meter
        self._suspended_ns = suspended_ns
        self._counters: dict[str, _Counter] = {}
        self._last: dict[str, ZoneReading] = {}
        self._infos: dict[str, SourceInfo] = {}
        self._told: dict[_Zone, _Sum] = {}
        # Since which reading that is, by path; not before a gap, which no other process could look across.
        self._told_from: dict[str, ZoneReading] = {}
        self._vanished: set[str] = set()
        self._states: dict[str, StateLog] = {}
        self._counts = {"read": 0, "gap": 0, "vanished": 0, "taken_back": 0, "still": 0, "owing": 0}

    @property
    def last(self) -> Mapping[str, ZoneReading]:
        """By path, the reading up to which a zone's energy was handed on by told(), of those that another
        process can go on from: what was read since is told anew there."""
        lasts = {
            path: self._told_from.get(path, counter.follower.last) for path, counter in self._counters.items()
        }
        return {
            path: replace(last, source=self.info.source)
            for path, last in lasts.items()
            if last and last.can_be_resumed
        }

    @property
    def zones(self) -> Set[str]:
        """Those that the meter is known to have."""
        return self.meter.zones

    def infos(self) -> Mapping[str, SourceInfo]:
        """See EnergySource."""
        return self._infos

    @property
    def longest_seconds(self) -> float:
        """How long the counters may go unread before one could pass its whole range unseen."""
        return min(map(longest_seconds, self._last.values()), default=math.inf)

    def resume(self, last: Mapping[str, ZoneReading]) -> None:
        """Go on from the readings of a process before this one, in the same life of the machine; those of
        other meters may be among them."""
        slept_ns = self._suspended_ns()
        self._counters = {
            path: _Counter(CounterFollower(reading), slept_ns)
            for path, reading in last.items()
            if reading.source in ("", self.info.source)
        }

    def poll(self) -> None:
        """Read in between, where ticks are further apart than the counters' ranges allow; never raises."""
        slept_ns = self._suspended_ns()
        try:
            readings = self.meter.read()
        except Exception as error:  # one meter's defect is no other's, and costs no tick
            log.debug("%s cannot be read", self.meter.name, exc_info=True)
            self._counts["read"] += 1
            self._enter(self.meter.name, f"cannot be read: {error}")
            return
        if all(failure.path != self.meter.name for failure in self.meter.errors):
            self._enter(self.meter.name, "")
        for failure in self.meter.errors:
            self._count_failure(failure)
        for reading in readings:
            self._take(reading, slept_ns)

    def measure(self, usage: Usage) -> list[ZoneEnergy]:  # noqa: ARG002  a meter needs no usage, a model does
        """The energy of each zone since its last good reading; none for first readings and gaps."""
        self.poll()
        return self.told()

    def told(self) -> list[ZoneEnergy]:
        """What the readings since the last call told."""
        told, self._told, self._told_from = self._told, {}, {}
        self._infos.update((zone, self.info) for zone, _, _ in told)
        return [_energy(zone, summed) for zone, summed in told.items()]

    def close(self) -> None:
        """Let go of the meter."""
        self.meter.close()

    def errors(self) -> Mapping[str, int]:
        """Failed reads, gaps, zones that vanished, readings that were taken back, readings in which a zone
        stood still, and those below what was counted already, since the start."""
        return dict(self._counts)

    def _take(self, reading: ZoneReading, slept_ns: int) -> None:
        path = reading.path
        counter = self._counters.get(path)
        if counter is None:
            counter = self._counters[path] = _Counter(CounterFollower(), slept_ns)
        self._last[path] = reading
        if path in self._vanished:
            self._vanished.discard(path)
            self._counts["gap"] += 1
        before, watts, last = counter.follower.taken_back, counter.follower.watts, counter.follower.last
        slept_seconds = (slept_ns - counter.slept_ns) / 1e9
        told = counter.follower.take(reading, slept_seconds)
        self._counts["taken_back"] += counter.follower.taken_back - before
        for one in told:
            if isinstance(one, Difference | WrappedOnce):
                zone = reading.zone, reading.socket, path
                summed = self._told.setdefault(zone, _Sum(reading))
                summed.last = counter.follower.last or reading
                _add(summed, one, watts, slept_seconds)
                if last is not None:
                    self._told_from.setdefault(path, last)
                    summed.spread_joules += max(0, summed.last.spread_uj - last.spread_uj) / 1e6
                last = summed.last
        if any(isinstance(one, Gap) for one in told):
            self._told_from.pop(path, None)
        if counter.follower.last is reading:
            counter.slept_ns = slept_ns
        self._say(path, told)

    def _say(self, path: str, told: Sequence[Told]) -> None:
        state = ""
        for one in told:
            if isinstance(one, Gap):
                self._counts["gap"] += 1
                state = f"gap, its energy is not counted: {one.reason}"
            elif isinstance(one, Waiting):
                self._counts["still"] += one.reason == STILL
                self._counts["owing"] += one.reason == OWING
                self._counts["read"] += one.reason == INVALID
                if one.reason != AHEAD:  # as a rule the load rose
                    state = f"{one.reason}: what it drew is told once it goes on"
        self._enter(path, state)

    def _count_failure(self, failure: MeterError) -> None:
        if not failure.vanished:
            self._counts["read"] += 1
        elif failure.path not in self._vanished:
            self._counts["vanished"] += 1
            self._vanished.add(failure.path)
            for known in (self._counters, self._last, self._told_from):
                known.pop(failure.path, None)
        self._enter(failure.path, failure.message)

    def _enter(self, path: str, state: str) -> None:
        """A zone's state, "" where it is read."""
        if path not in self._states:
            self._states[path] = StateLog(log, path, f"{path}: reading again", logging.WARNING)
        self._states[path].enter(state)


def _add(
    summed: _Sum, told: Difference | WrappedOnce, usual_watts: float | None, slept_seconds: float
) -> None:
    summed.joules += told.joules
    summed.seconds += told.interval_seconds
    if slept_seconds >= _LEAST_SLEEP_SECONDS:
        slept = min(slept_seconds, told.interval_seconds)
        awake = told.interval_seconds - slept
        mean = told.joules / told.interval_seconds
        summed.suspended_seconds += slept
        summed.suspended_joules += told.joules - min(told.joules, max(usual_watts or 0.0, mean) * awake)


def _energy(zone: _Zone, summed: _Sum) -> ZoneEnergy:
    name, socket, path = zone
    return ZoneEnergy(
        zone=name,
        socket=socket,
        path=path,
        joules=summed.joules,
        interval_seconds=summed.seconds,
        idle_watts=None,
        low_joules=max(0.0, summed.joules - summed.spread_joules),
        high_joules=summed.joules + summed.spread_joules,
        suspended_seconds=summed.suspended_seconds,
        suspended_joules=summed.suspended_joules,
        device=summed.last.device,
        end_ns=summed.last.boottime_ns,
    )
