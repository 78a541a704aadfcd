from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.meters.difference import Difference, FirstReading, Gap, WrappedOnce, difference
from tests.estimator.usages import reading

RANGE = 65_532_610_988
TOP = RANGE - 1


def test_a_first_reading_has_no_joules_to_count() -> None:
    change = difference(None, reading(123_456_789))
    assert change == FirstReading()
    assert not hasattr(change, "joules")


def test_a_gap_has_no_joules_to_count() -> None:
    assert not hasattr(Gap("implausible", 5.0), "joules")


def test_joules_are_the_difference_in_microjoules_divided_by_a_million() -> None:
    assert difference(reading(1_000_000, 10), reading(501_000_001, 15)) == Difference(500.000001, 5.0)


def test_a_counter_that_stands_still_drew_nothing() -> None:
    assert difference(reading(7, 0), reading(7, 5)) == Difference(0.0, 5.0)


def test_a_wrap_adds_the_maximum_and_one() -> None:
    before, after = reading(TOP, 0, max_energy_uj=TOP), reading(0, 5, max_energy_uj=TOP)
    assert difference(before, after) == WrappedOnce(1e-6, 5.0)


@given(
    start=st.integers(0, TOP),
    drawn=st.integers(0, 5_000_000_000),
)
def test_what_was_drawn_is_what_is_found_wherever_the_counter_stood(start: int, drawn: int) -> None:
    end = (start + drawn) % RANGE
    change = difference(reading(start, 0, max_energy_uj=TOP), reading(end, 5, max_energy_uj=TOP))
    assert isinstance(change, WrappedOnce if end < start else Difference)
    assert change.joules == drawn / 1e6


@pytest.mark.parametrize(("seconds", "is_gap"), [(65, False), (66, True), (3600, True)])
def test_an_interval_in_which_two_wrap_counts_are_possible_is_a_gap(seconds: int, is_gap: bool) -> None:
    """65.5 kJ of range last 65.5 s at 1 kW, the most a package may draw."""
    change = difference(reading(5, 0, max_energy_uj=TOP), reading(5, seconds, max_energy_uj=TOP))
    assert isinstance(change, Gap) == is_gap


def test_the_larger_the_step_seen_the_longer_a_second_wrap_takes() -> None:
    change = difference(reading(0, 0, max_energy_uj=TOP), reading(20_000_000_000, 80, max_energy_uj=TOP))
    assert change == Difference(20_000.0, 80.0)


def test_a_board_may_draw_more_than_a_package_and_so_wraps_sooner() -> None:
    before, after = (
        reading(0, 0, zone="psys", max_energy_uj=TOP),
        reading(0, 20, zone="psys", max_energy_uj=TOP),
    )
    assert difference(before, after) == Gap("may have wrapped more than once", 20.0)
    assert difference(before, after, plausible_watts=1_000) == Difference(0.0, 20.0)


@pytest.mark.parametrize("joules", [9_000 * 5, 200_000])
def test_nine_kilowatts_from_a_package_is_not_counted(joules: int) -> None:
    assert difference(reading(0, 0), reading(joules * 1_000_000, 5)) == Gap("implausible", 5.0)


def test_nine_kilowatts_from_a_chassis_full_of_accelerators_is_counted() -> None:
    before, after = (reading(uj, s, zone="platform", socket=None) for uj, s in ((0, 0), (45_000_000_000, 5)))
    assert difference(before, after) == Difference(45_000.0, 5.0)


def test_a_counter_that_was_reset_is_not_a_wrap() -> None:
    assert difference(reading(100_000_000_000, 0), reading(1_000_000, 5)) == Gap("implausible", 5.0)


def test_a_coarse_step_in_a_millisecond_is_energy() -> None:
    assert difference(reading(0, 0), reading(9_000_000, 0.001)) == Difference(9.0, 0.001)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_clock_that_does_not_advance_is_a_gap(seconds: float) -> None:
    assert difference(reading(5, 10), reading(6, 10 + seconds)) == Gap("no time passed", seconds)


@pytest.mark.parametrize("field", [{"max_energy_uj": 99}, {"socket": 1}, {"zone": "dram"}])
def test_a_counter_that_is_another_one_now_is_a_gap(field: dict[str, object]) -> None:
    after = dataclasses.replace(reading(6, 5), **field)
    assert difference(reading(5, 0), after) == Gap("replaced", 5.0)


@pytest.mark.parametrize(("before", "after"), [(5, 100), (100, 5), (-1, 5)])
def test_a_value_outside_the_counters_range_is_a_gap(before: int, after: int) -> None:
    readings = reading(before, 0, max_energy_uj=99), reading(after, 5, max_energy_uj=99)
    assert difference(*readings) == Gap("out of range", 5.0)


def test_two_different_counters_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="intel-rapl:1"):
        difference(reading(5, 0), reading(6, 5, path="intel-rapl:1"))
