from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.energy import FloatArray
from exporter.reports.timeline import (
    AROUND_SECONDS,
    HOUR_SECONDS,
    LONGEST_STEP_SECONDS,
    covered_weights,
    increments,
    late_weights,
    longest_of,
    longest_step,
    make_steps,
    nearest_known,
    on_scrapes,
    present_weights,
)

NONE = float("nan")
gaps = st.lists(st.floats(1, 900), min_size=1, max_size=40)
growth = st.lists(st.floats(0, 1e6), min_size=40, max_size=40)


def times_of(some: list[float], begin: float = 0.0) -> FloatArray:
    return begin + np.concatenate(([0.0], np.cumsum(some)))


@given(gaps, growth, st.floats(0, HOUR_SECONDS))
def test_over_all_hours_a_counter_grew_by_its_last_value_less_its_first(
    some: list[float], grown: list[float], begin: float
) -> None:
    times = times_of(some, begin)
    values = np.concatenate(([5.0], 5.0 + np.cumsum(grown[: len(some)])))[np.newaxis]
    steps = make_steps(times, longest_step(times))
    hours = np.arange(-1, times[-1] // HOUR_SECONDS + 2) * HOUR_SECONDS
    each = increments(values)[0]
    booked = sum(each @ (covered_weights(steps, hour) + late_weights(steps, hour)) for hour in hours)
    assert booked == pytest.approx(values[0, -1] - values[0, 0], rel=1e-9, abs=1e-6)


INTERVALS = st.tuples(st.floats(5, 120), st.integers(1, 150))


@settings(max_examples=200)
@given(st.lists(INTERVALS | st.tuples(st.floats(120, 9000), st.just(1)), min_size=2, max_size=6), growth)
def test_hours_that_each_know_what_is_around_them_book_it_once(
    some: list[tuple[float, int]], grown: list[float]
) -> None:
    """However often the interval of scrapes changes, and however long nobody scraped."""
    times = times_of([seconds for seconds, n in some for _ in range(n)])
    values = np.cumsum(np.resize(grown, len(times)))
    hours = np.arange(-1, times[-1] // HOUR_SECONDS + 2) * HOUR_SECONDS
    booked = sum(_booked(times, values, hour) for hour in hours)
    assert booked == pytest.approx(values[-1] - values[0], rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(("before", "after"), [(64.0, 15.0), (17.0, 45.0)])
def test_where_the_interval_changes_at_a_full_hour_both_hours_judge_the_step_across_it_alike(
    before: float, after: float
) -> None:
    first = np.arange(0.0, HOUR_SECONDS - 5, before)
    times = np.concatenate((first, first[-1] + max(before, after) + np.arange(0.0, HOUR_SECONDS, after)))
    assert times[len(first)] > HOUR_SECONDS + 5
    assert sum(_booked(times, times, hour) for hour in (0, 3600, 7200)) == pytest.approx(times[-1])


def _booked(times: FloatArray, values: FloatArray, hour: float) -> float:
    """What an hour books that asks for no more than is near it, and for what came before a gap."""
    end = hour + HOUR_SECONDS
    known = times[(times > hour - AROUND_SECONDS) & (times <= end + AROUND_SECONDS)]
    longest = longest_of(known, hour)
    near = (times > hour - LONGEST_STEP_SECONDS) & (times <= end + longest.at_end)
    near[:-1] |= near[1:]
    steps = make_steps(times[near], longest.of(times[near]))
    return float(np.diff(values[near]) @ (covered_weights(steps, hour) + late_weights(steps, hour)))


@given(gaps, st.floats(0, HOUR_SECONDS))
def test_covered_time_is_what_the_short_steps_take(some: list[float], begin: float) -> None:
    times = times_of(some, begin)
    steps = make_steps(times, longest_step(times))
    hours = np.arange(-1, times[-1] // HOUR_SECONDS + 2) * HOUR_SECONDS
    covered = [float(covered_weights(steps, hour) @ steps.seconds) for hour in hours]
    assert sum(covered) == pytest.approx(steps.seconds[steps.covered].sum(), abs=1e-6)
    assert max(covered) <= HOUR_SECONDS + 1e-6


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e9)), min_size=2, max_size=30))
def test_increments_are_numbers_and_never_negative(row: list[float | None]) -> None:
    values = np.array([[NONE if value is None else value for value in row]])
    grown = increments(values)
    assert grown.shape == (1, len(row) - 1)
    assert (grown >= 0).all()


@pytest.mark.parametrize(
    ("row", "grown"),
    [
        ([10, 12, 15], [2, 3]),
        ([10, 2, 3], [2, 1]),  # a reset: it counts from 0
        ([NONE, 4, 5], [4, 1]),  # a pod that is new
        ([NONE, NONE, 4], [0, 4]),
        ([10, NONE, 12], [0, 2]),  # not on one page, and back
        ([10, NONE, 3], [0, 3]),  # … after a reset
        ([10, 12, NONE], [2, 0]),  # a pod that is gone
        ([NONE, NONE, NONE], [0, 0]),
    ],
)
def test_what_a_counter_grew_by(row: list[float], grown: list[float]) -> None:
    np.testing.assert_array_equal(increments(np.array([row], dtype=np.float64)), [grown])


def test_a_step_across_the_hour_is_split_by_time() -> None:
    steps = make_steps(np.array([3580.0, 3610.0]), 60.0)
    assert covered_weights(steps, 0)[0] == pytest.approx(20 / 30)
    assert covered_weights(steps, 3600)[0] == pytest.approx(10 / 30)


def test_a_gap_is_booked_late_in_the_hour_in_which_it_ends() -> None:
    steps = make_steps(np.array([3000.0, 7300.0]), 60.0)
    assert [late_weights(steps, hour)[0] for hour in (0, 3600, 7200)] == [0, 0, 1]
    assert [covered_weights(steps, hour)[0] for hour in (0, 3600, 7200)] == [0, 0, 0]


def test_one_failed_scrape_is_no_gap_and_two_are() -> None:
    times = np.array([0, 30, 60, 120, 150, 240, 270, 300.0])
    steps = make_steps(times, longest_step(times))
    assert steps.covered.tolist() == [True, True, True, True, False, True, True]


def test_no_step_above_five_minutes_is_covered() -> None:
    assert longest_step(np.array([0, 600, 1200.0])) == LONGEST_STEP_SECONDS
    assert longest_step(np.array([0.0])) == LONGEST_STEP_SECONDS


def test_samples_of_another_replica_are_of_the_nearest_scrape() -> None:
    times = np.array([0, 30, 60.0])
    pieces = [(np.array([0.4, 29.0]), np.array([1.0, 2.0])), (np.array([45.0, 61.0]), np.array([9.0, NONE]))]
    np.testing.assert_array_equal(on_scrapes(times, pieces, 10.0), [1.0, 2.0, NONE])


def test_what_is_missing_is_the_last_known_and_at_the_front_the_first() -> None:
    np.testing.assert_array_equal(nearest_known(np.array([NONE, 1, NONE, 3, NONE])), [1, 1, 1, 3, 3])
    assert np.isnan(nearest_known(np.array([NONE, NONE]))).all()


def test_a_pod_that_ended_lived_until_its_counters_last_grew() -> None:
    values = np.array([[0, 1, 2, 2, 2, NONE, NONE]])
    assert present_weights(values, increments(values)).tolist() == [1, 1, 0, 0, 0, 0]


def test_a_pod_that_is_there_lives_though_it_does_nothing() -> None:
    values = np.array([[NONE, 1, 2, 2, 2]])
    assert present_weights(values, increments(values)).tolist() == [1, 1, 1, 1]
