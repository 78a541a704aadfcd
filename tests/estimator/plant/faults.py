"""Meters that lie, are late or fall silent: what is made of the readings of a run, tick by tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from estimator.meters.port import MeterError, ZoneReading
from tests.estimator.plant.work import INTERVAL_SECONDS

Readings = list[list[ZoneReading]]


@dataclass(frozen=True, slots=True)
class Glitch:
    """One interval of every zone reads `factor` times its joules.

    tick: of the reading at its end. catches_up: the reading after it is right again, so that what was missing
    comes then; otherwise it never comes.
    """

    tick: int
    factor: float
    catches_up: bool = False


@dataclass(frozen=True, slots=True)
class Faults:
    """late, lost: the share of readings that come up to late_seconds after their tick, or not at all.
    seed: of which."""

    glitches: Sequence[Glitch] = ()
    late: float = 0.0
    late_seconds: float = 0.5
    lost: float = 0.0
    seed: int = 0


NO_FAULTS = Faults()


def faulty(readings: Readings, faults: Faults) -> list[list[ZoneReading | MeterError]]:
    """What a meter with these faults reads."""
    for glitch in faults.glitches:
        readings = _glitched(readings, glitch)
    rng = np.random.default_rng([faults.seed, 7])
    if faults.late:
        readings = _late(readings, rng, faults)
    return [
        [_failed(reading) if faults.lost and rng.random() < faults.lost else reading for reading in tick]
        for tick in readings
    ]


def quietest(readings: Readings, first: int, last: int) -> int:
    """The tick in [first, last) whose interval drew the least."""
    drawn = [sum(map(_joules, readings[tick - 1], readings[tick])) for tick in range(first, last)]
    return first + int(np.argmin(drawn))


def _joules(before: ZoneReading, after: ZoneReading) -> float:
    return (after.energy_uj - before.energy_uj) % (after.max_energy_uj + 1) / 1e6


def _moved(reading: ZoneReading, joules: float) -> ZoneReading:
    energy_uj = (reading.energy_uj + round(joules * 1e6)) % (reading.max_energy_uj + 1)
    return replace(reading, energy_uj=energy_uj)


def _glitched(readings: Readings, glitch: Glitch) -> Readings:
    at, end = glitch.tick, glitch.tick + 1 if glitch.catches_up else len(readings)
    moves = [
        (glitch.factor - 1) * _joules(*pair) for pair in zip(readings[at - 1], readings[at], strict=True)
    ]
    moved = [list(map(_moved, tick, moves)) for tick in readings[at:end]]
    return [*readings[:at], *moved, *readings[end:]]


def _late(readings: Readings, rng: np.random.Generator, faults: Faults) -> Readings:
    """A late reading has in it what the next interval drew until then."""
    late = []
    for tick, following in zip(readings, [*readings[1:], readings[-1]], strict=True):
        seconds = faults.late_seconds * rng.random(len(tick)) * (rng.random(len(tick)) < faults.late)
        late.append(list(map(_later, tick, following, seconds.tolist())))
    return late


def _later(reading: ZoneReading, following: ZoneReading, seconds: float) -> ZoneReading:
    moved = _moved(reading, _joules(reading, following) * seconds / INTERVAL_SECONDS)
    return replace(moved, boottime_ns=reading.boottime_ns + round(seconds * 1e9))


def _failed(reading: ZoneReading) -> MeterError:
    return MeterError(reading.path, "energy_uj failed: Input/output error", vanished=False)
