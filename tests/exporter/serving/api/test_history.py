"""The history: bounded, and not a joule lost whatever comes, goes, lasts or is asked for."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.names.accounts import Account
from exporter.names.workloads import Workload
from exporter.serving.api.history import N_SLOTS, SLOT_SECONDS, History, Spent, Window

HOUR = N_SLOTS * SLOT_SECONDS


def pod(number: int) -> Account:
    return Account(Workload("pod", f"{number:036d}"), f"pod-{number}", "default")


def spent(joules: dict[int, float], rest: float = 0.0, **series: float) -> Spent:
    return Spent(tuple(map(pod, joules)), np.array(list(joules.values()), np.float64), rest, series)


def total(window: Window) -> float:
    return float(window.joules.sum() + window.others.sum())


def of(window: Window, number: int) -> list[float]:
    return window.joules[window.accounts.index(pod(number))].tolist()


@pytest.mark.parametrize("interval", [0.5, 3.0, 5.0, 10.0, 60.0])
def test_a_steady_power_is_the_power_of_every_full_point(interval: float) -> None:
    history = History()
    for n in range(1, round(600 / interval) + 1):
        history.add(n * interval, interval, spent({1: 7.0 * interval}, idle=3.0 * interval))
    window = history.window()
    assert window.joules[0] / window.covered_seconds == pytest.approx(np.full(60, 7.0), rel=1e-5)
    assert window.series["idle"] / window.covered_seconds == pytest.approx(np.full(60, 3.0))


ticks = st.lists(
    st.tuples(
        st.floats(0.1, 400.0),  # the tick's interval
        st.floats(0.0, 1.0),  # the part of it that energy is known of
        st.dictionaries(st.integers(0, 30), st.floats(0.0, 1e4), max_size=12),
        st.floats(0.0, 1e4),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(ticks, st.integers(1, 12), st.integers(0, 20))
def test_nothing_is_lost_however_many_come_and_go_and_however_it_is_asked(
    made: list[tuple[float, float, dict[int, float], float]], step: int, top: int
) -> None:
    """Eight rows for thirty-one workloads: most of them end among the others."""
    history, now, whole = History(n_slots=2_000, max_rows=8), 0.0, 0.0
    for interval, part, joules, rest in made:
        now += interval
        history.add(now, max(0.01, interval * part), spent(joules, rest, active=sum(joules.values()) + rest))
        whole += sum(joules.values()) + rest
    window = history.window(step_slots=step, top=top)
    assert total(window) == pytest.approx(whole, rel=1e-5, abs=1e-9)
    assert window.series["active"].sum() == pytest.approx(whole, rel=1e-9)
    assert len(window.accounts) <= min(top, 8)
    parts = window.joules.sum(axis=0) + window.others
    assert parts == pytest.approx(window.series["active"], rel=1e-4, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.1, 50.0), min_size=1, max_size=80))
def test_every_second_is_covered_once_at_most(intervals: list[float]) -> None:
    history, now = History(), 0.0
    for interval in intervals:
        now += interval
        # Each tick reaches back over the one before it too, as after a meter that could not be read.
        history.add(now, min(now, 2 * interval), spent({1: 1.0}))
    window = history.window()
    assert (window.covered_seconds <= SLOT_SECONDS + 1e-9).all()
    assert window.covered_seconds.sum() == pytest.approx(min(now, window.covered_seconds.sum()), abs=1e-6)


def test_what_was_not_measured_is_a_gap_and_not_a_zero() -> None:
    history = History()
    history.add(10.0, 10.0, spent({1: 5.0}))
    history.add(50.0, 10.0, spent({1: 5.0}))
    assert history.window().covered_seconds.tolist() == [10.0, 0.0, 0.0, 0.0, 10.0]


def test_a_tick_over_a_failed_one_fills_its_gap() -> None:
    history = History()
    history.add(10.0, 10.0, spent({1: 10.0}))
    history.add(30.0, 20.0, spent({1: 40.0}))
    window = history.window()
    assert of(window, 1) == [10.0, 20.0, 20.0]
    assert window.covered_seconds.tolist() == [10.0, 10.0, 10.0]


def test_the_hour_passes() -> None:
    history = History()
    history.add(10.0, 10.0, spent({1: 5.0}))
    for n in range(2, N_SLOTS + 2):
        history.add(n * 10.0, 10.0, spent({2: 1.0}))
    window = history.window()
    assert len(window.ends) == N_SLOTS
    assert window.accounts == (pod(2),)


def test_after_a_long_sleep_only_what_falls_into_the_hour_counts() -> None:
    history = History()
    history.add(10.0, 10.0, spent({1: 5.0}))
    history.add(5 * HOUR - 0.001, 2 * HOUR, spent({2: 2 * HOUR}))
    window = history.window()
    assert window.accounts == (pod(2),)
    assert total(window) == pytest.approx(HOUR, rel=1e-5)


def test_the_largest_come_first_and_the_rest_is_in_others() -> None:
    history = History()
    history.add(10.0, 10.0, spent({1: 1.0, 2: 30.0, 3: 20.0, 4: 0.0}, rest=4.0))
    window = history.window(top=2)
    assert window.accounts == (pod(2), pod(3))
    assert window.others.tolist() == [5.0]
    assert window.n_others == 1


def test_a_heavy_workload_that_comes_late_drives_out_light_ones() -> None:
    history = History(max_rows=16)
    for n in range(1, 100):
        light = dict.fromkeys(range(100), 0.1)
        history.add(n * 5.0, 5.0, spent(light | ({200: 50.0} if n > 40 else {})))
    window = history.window(top=1)
    assert window.accounts == (pod(200),)
    assert total(window) == pytest.approx(99 * 10.0 + 59 * 50.0, rel=1e-5)


def test_steps_are_whole_and_since_cuts_in_front() -> None:
    history = History()
    for n in range(1, 31):
        history.add(n * 10.0 - 0.5, 10.0, spent({1: 10.0}))
    window = history.window(since_seconds=120.0, step_slots=6, top=1)
    assert window.ends.tolist() == [180.0, 240.0, 300.0]
    assert of(window, 1) == pytest.approx([60.0, 60.0, 59.5])


def test_an_empty_history_has_no_points() -> None:
    window = History().window()
    assert (len(window.ends), window.accounts, window.joules.shape) == (0, (), (0, 0))


@pytest.mark.parametrize("interval", [0.0, -1.0, math.nan, math.inf])
def test_a_tick_without_a_length_is_refused(interval: float) -> None:
    with pytest.raises(ValueError, match="more than 0 seconds"):
        History().add(10.0, interval, spent({1: 1.0}))


def test_a_thousand_pods_over_an_hour_with_their_names_stay_within_20_mb_and_churn_adds_nothing() -> None:
    tracemalloc.start()
    try:
        history = History()
        for n in range(1, N_SLOTS + 1):
            # A tenth of the pods is others at each tick: 37,000 over the hour.
            history.add(n * 10.0, 10.0, spent({100 * n + number: 1.0 + number for number in range(1_000)}))
            if n == N_SLOTS // 2:
                at_half_time = tracemalloc.get_traced_memory()[0]
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6
    assert after < at_half_time * 1.05
    assert total(history.window()) == pytest.approx(N_SLOTS * sum(range(1, 1_001)), rel=1e-4)
