from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from estimator.attribution.idle import IdleSplit, idle_shares, split_idle

JOULES = st.floats(0, 1e9, allow_subnormal=False)
RATIO = st.floats(0, 1)
WATTS = st.none() | st.floats(0, 1e6)
WEIGHTS = np.array([30.0, 0.0, 10.0, 0.0])


@given(joules=JOULES, idle_watts=WATTS, seconds=st.floats(0, 1e5), ratio=RATIO)
@example(joules=495.43508709194094, idle_watts=222.69364483065775, seconds=1.0, ratio=0.0)  # p + (t - p) != t
def test_the_two_parts_add_up_exactly_and_neither_is_negative(
    joules: float, idle_watts: float | None, seconds: float, ratio: float
) -> None:
    split = split_idle(joules, idle_watts, seconds, ratio)
    assert split.idle + split.active == joules
    assert split.idle >= 0
    assert split.active >= 0


def test_known_idle_power_is_drawn_whatever_the_usage() -> None:
    assert split_idle(500, 20, 5, 1.0) == split_idle(500, 20, 5, 0.1) == IdleSplit(100, 400, "idle_watts")


def test_idle_never_exceeds_what_was_measured() -> None:
    assert split_idle(50, 20, 5, 0.5) == IdleSplit(50, 0, "idle_watts")


def test_without_idle_power_the_active_part_follows_the_usage() -> None:
    assert split_idle(500, None, 5, 0.25) == IdleSplit(375, 125, "usage_ratio")


@given(joules=JOULES, low=RATIO, high=RATIO)
def test_more_usage_never_means_less_active_energy(joules: float, low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert split_idle(joules, None, 5, low).active <= split_idle(joules, None, 5, high).active


@pytest.mark.parametrize(
    "arguments",
    [
        (-1, None, 5, 0.5),
        (1, None, -5, 0.5),
        (1, None, 5, 1.5),
        (1, -1, 5, 0.5),
        (float("nan"), None, 5, 0.5),
    ],
)
def test_impossible_arguments_are_refused(arguments: tuple[float, float | None, float, float]) -> None:
    with pytest.raises(ValueError, match=r"found|cannot"):
        split_idle(*arguments)


def test_idle_energy_follows_the_weights() -> None:
    assert idle_shares(80, WEIGHTS).tolist() == [60, 0, 20, 0]


def test_with_nobody_to_give_to_all_shares_are_zero() -> None:
    assert idle_shares(90, np.zeros(4)).tolist() == [0, 0, 0, 0]
    assert idle_shares(90, np.zeros(0)).tolist() == []


@given(joules=JOULES, weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50))
def test_shares_add_up_to_the_idle_energy(joules: float, weights: list[float]) -> None:
    assert idle_shares(joules, np.array(weights)).sum() == pytest.approx(joules, rel=1e-9)
