"""Meters lie as they are told to, and no otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from estimator.energy import FloatArray
from estimator.meters.fake import FakeMeter
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import MeterError, ZoneReading
from tests.estimator.plant import Plant
from tests.estimator.plant.faults import NO_FAULTS, Faults, Glitch, faulty, quietest
from tests.estimator.usages import ANY_USAGE

N_TICKS = 60
READINGS = [tick.readings for plant in [Plant(0)] for tick in [plant.advance() for _ in range(N_TICKS)]]
N_COUNTERS = len(READINGS[0])


def joules(faults: Faults) -> FloatArray:
    """What the first package's meter tells, tick by tick; NaN where it tells nothing."""
    meter = MeteredEnergy(FakeMeter(faulty(READINGS, faults)))
    told = np.full(N_TICKS, np.nan)
    for tick in range(N_TICKS):
        for energy in meter.measure(ANY_USAGE):
            if energy.path == "package-0":
                told[tick] = energy.joules
    return told


TRUE = joules(NO_FAULTS)


@pytest.mark.parametrize("factor", [0.01, 0.1, 0.5])
def test_one_interval_reads_so_many_times_its_joules_and_the_others_what_they_did(factor: float) -> None:
    told = joules(Faults([Glitch(30, factor)]))
    assert told[30] == pytest.approx(factor * TRUE[30], abs=1e-5)
    assert np.delete(told, [0, 30]) == pytest.approx(np.delete(TRUE, [0, 30]), abs=1e-5)


def test_what_was_missing_may_come_with_the_next_reading() -> None:
    told = joules(Faults([Glitch(30, 0.1, catches_up=True)]))
    assert told[30] == pytest.approx(0.1 * TRUE[30], abs=1e-5)
    assert told[31] == pytest.approx(0.9 * TRUE[30] + TRUE[31], abs=1e-5)
    assert np.nansum(told) == pytest.approx(np.nansum(TRUE))


def test_late_readings_have_the_next_interval_s_joules_in_them_and_none_is_lost() -> None:
    faults = Faults(late=0.5)
    late = faulty(READINGS, faults)
    delays = np.array(
        [
            (reading.boottime_ns - on_time.boottime_ns) / 1e9
            for tick, before in zip(late, READINGS, strict=True)
            for reading, on_time in zip(tick, before, strict=True)
            if isinstance(reading, ZoneReading)
        ]
    )
    assert 0.3 < (delays > 0).mean() < 0.7
    assert delays.max() <= faults.late_seconds
    told = joules(faults)
    assert np.nansum(told) == pytest.approx(np.nansum(TRUE), rel=0.01)
    assert np.abs(told - TRUE)[1:].max() > 1.0


def test_lost_readings_are_errors_whose_joules_come_with_the_next_good_one() -> None:
    faults = Faults(lost=0.2)
    lost = [isinstance(reading, MeterError) for tick in faulty(READINGS, faults) for reading in tick]
    assert 0.1 < np.mean(lost) < 0.3
    told = joules(faults)
    assert np.isnan(told[1:]).any()
    last = np.flatnonzero(~np.isnan(told))[-1]
    first = np.flatnonzero(~np.isnan(told))[0]
    assert np.nansum(told[first + 1 :]) == pytest.approx(np.nansum(TRUE[first + 1 : last + 1]), abs=1e-3)


def test_the_same_seed_fails_the_same_readings() -> None:
    faults = Faults(late=0.2, lost=0.2, seed=5)
    assert faulty(READINGS, faults) == faulty(READINGS, faults)
    assert faulty(READINGS, NO_FAULTS) == READINGS


def test_the_quietest_tick_is_the_one_that_drew_the_least() -> None:
    at = quietest(READINGS, 10, 50)
    package = np.array([[r.energy_uj for r in tick if r.zone == "package"] for tick in READINGS])
    drawn = np.diff(package, axis=0).sum(axis=1)
    assert drawn[at - 1] <= 1.01 * drawn[9:49].min()
