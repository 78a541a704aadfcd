"""A power meter as an energy source: readings in, the joules of each tick out."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ebpf.errors import Unavailable
from estimator.difference import Change, Difference, Gap, WrappedOnce, difference
from estimator.energy import SourceInfo, Usage, ZoneEnergy
from estimator.meters.port import MeterError, PowerMeter, ZoneReading

log = logging.getLogger(__name__)

_READING = "reading"


class MeteredEnergy:
    """The differences of a meter's counters; whatever the meter does, measure() answers and counts it.

    A zone whose read fails keeps its last reading, so the next good one spans both intervals and nothing
    is lost. A zone that vanished is forgotten; its return is a gap and a first reading. idle_watts is left
    None: a meter cannot know it.
    """

    def __init__(self, meter: PowerMeter) -> None:
        self.info = SourceInfo(meter.name)
        self._meter = meter
        self._previous: dict[str, ZoneReading] = {}
        self._vanished: set[str] = set()
        self._states: dict[str, str] = {}
        self._counts = {"read": 0, "gap": 0, "vanished": 0}

    @property
    def last(self) -> Mapping[str, ZoneReading]:
        """The last good reading of each zone, by path."""
        return dict(self._previous)

    def resume(self, last: Mapping[str, ZoneReading]) -> None:
        """Go on from the readings of a process before this one, in the same life of the machine."""
        self._previous = dict(last)

    def measure(self, usage: Usage) -> list[ZoneEnergy]:  # noqa: ARG002  a meter needs no usage, a model does
        """The energy of each zone since its last good reading; none for first readings and gaps."""
        try:
            readings = self._meter.read()
        except (OSError, ValueError, Unavailable) as error:
            self._counts["read"] += 1
            self._enter(self._meter.name, f"cannot be read: {error}")
            return []
        self._enter(self._meter.name, _READING)
        for failure in self._meter.errors:
            self._count_failure(failure)
        changes = [(reading, self._advance(reading)) for reading in readings]
        return [
            _zone_energy(reading, change)
            for reading, change in changes
            if isinstance(change, Difference | WrappedOnce)
        ]

    def errors(self) -> Mapping[str, int]:
        """Failed reads, gaps and zones that vanished, since the start."""
        return dict(self._counts)

    def _advance(self, reading: ZoneReading) -> Change:
        change = difference(self._previous.get(reading.path), reading)
        self._previous[reading.path] = reading
        if reading.path in self._vanished:
            self._vanished.discard(reading.path)
            self._counts["gap"] += 1
        if isinstance(change, Gap):
            self._counts["gap"] += 1
            self._enter(reading.path, f"gap, its energy is not counted: {change.reason}")
        else:
            self._enter(reading.path, _READING)
        return change

    def _count_failure(self, failure: MeterError) -> None:
        if not failure.vanished:
            self._counts["read"] += 1
        elif failure.path not in self._vanished:
            self._counts["vanished"] += 1
            self._vanished.add(failure.path)
            self._previous.pop(failure.path, None)
        self._enter(failure.path, failure.message)

    def _enter(self, path: str, state: str) -> None:
        """Log a zone's state where it differs from the last; all start as reading."""
        if self._states.get(path, _READING) == state:
            return
        self._states[path] = state
        if state == _READING:
            log.info("%s: reading again", path)
        else:
            log.warning("%s: %s", path, state)


def _zone_energy(reading: ZoneReading, change: Difference | WrappedOnce) -> ZoneEnergy:
    return ZoneEnergy(
        zone=reading.zone,
        socket=reading.socket,
        path=reading.path,
        joules=change.joules,
        interval_seconds=change.interval_seconds,
        idle_watts=None,
        low_joules=change.joules,
        high_joules=change.joules,
    )
