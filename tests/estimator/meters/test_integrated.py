"""Watts at moments as a counter: what it counts, how sure that is, and what it does not know."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.meters.fake import FakeMeter, FakeTick
from estimator.meters.integrated import IntegratedCounter
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import ZoneReading
from tests.estimator.usages import ANY_USAGE

SECOND = 10**9


def counter(period_seconds: float = 1.0, *, is_mean: bool = False) -> IntegratedCounter:
    return IntegratedCounter("package", 0, "hwmon1/power1_input", period_seconds, is_mean=is_mean)


def counted(watts: list[float], period_seconds: float = 1.0, *, is_mean: bool = False) -> ZoneReading:
    meter = counter(period_seconds, is_mean=is_mean)
    for n, each in enumerate(watts):
        assert meter.take(each, round(n * period_seconds * SECOND)) is None
    reading = meter.reading()
    assert reading is not None
    return reading


def test_before_the_first_answer_there_is_no_reading() -> None:
    assert counter().reading() is None


def test_a_steady_power_is_its_watts_times_the_time_and_certain() -> None:
    reading = counted([40.0] * 61)
    assert (reading.energy_uj, reading.spread_uj) == (2_400_000_000, 0)
    assert (reading.is_integrated, reading.can_be_resumed, reading.boottime_ns) == (True, False, 60 * SECOND)


@given(st.lists(st.floats(0.0, 500.0), min_size=2, max_size=40), st.data())
def test_whatever_the_power_did_between_on_its_way_from_one_answer_to_the_next_the_bounds_hold(
    watts: list[float], data: st.DataObject
) -> None:
    reading = counted(watts)
    truth = sum(data.draw(st.floats(min(pair), max(pair))) for pair in pairwise(watts))
    assert abs(reading.energy_uj / 1e6 - truth) <= reading.spread_uj / 1e6 + 1e-5


def test_the_mean_since_the_last_answer_is_all_there_was() -> None:
    reading = counted([99.0, 10.0, 30.0], is_mean=True)
    assert (reading.energy_uj, reading.spread_uj) == (40_000_000, 0)


def test_its_bounds_are_those_of_the_energy() -> None:
    meter = counter(5.0)
    ticks: list[FakeTick] = []
    for n, watts in enumerate([20.0, 20.0, 60.0]):
        meter.take(watts, n * 5 * SECOND)
        reading = meter.reading()
        assert reading is not None
        ticks.append([reading])
    energy = MeteredEnergy(FakeMeter(ticks, "hwmon"))
    told = [energy.measure(ANY_USAGE) for _ in ticks]
    assert [(each.low_joules, each.joules, each.high_joules) for (each,) in told[1:]] == [
        (100.0, 100.0, 100.0),
        (100.0, 200.0, 300.0),
    ]
    assert dict(energy.last) == {}  # nobody goes on from it


def test_a_hole_is_a_gap_and_not_a_straight_line() -> None:
    meter, ticks = counter(5.0), []
    for seconds in (0, 5, 10, 100, 105):
        failure = meter.take(50.0, seconds * SECOND)
        reading = meter.reading()
        assert reading is not None
        ticks.append([reading] if failure is None else [failure, reading])
    energy = MeteredEnergy(FakeMeter(ticks, "hwmon"))
    assert [sum(each.joules for each in energy.measure(ANY_USAGE)) for _ in ticks] == [0, 250, 250, 0, 250]
    assert energy.errors()["gap"] == 1


def test_an_answer_that_is_not_younger_counts_nothing() -> None:
    meter = counter()
    meter.take(50.0, SECOND)
    meter.take(500.0, SECOND)
    meter.take(500.0, 0)
    reading = meter.reading()
    assert reading is not None
    assert (reading.energy_uj, reading.boottime_ns) == (0, SECOND)


@pytest.mark.parametrize("watts", [math.nan, math.inf, -1.0, 2_001.0])
def test_what_cannot_be_a_power_is_refused_and_costs_nothing(watts: float) -> None:
    meter = counter()
    meter.take(50.0, 0)
    with pytest.raises(ValueError, match="W, want a power from 0 to 2000 W"):
        meter.take(watts, SECOND)
    meter.take(50.0, 2 * SECOND)
    reading = meter.reading()
    assert reading is not None
    assert reading.energy_uj == 100_000_000
