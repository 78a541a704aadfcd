from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ebpf.errors import UsageError
from estimator.idle import IDLE_POLICIES, IdleSplit, idle_shares, split_idle

JOULES = st.floats(0, 1e9, allow_subnormal=False)
RATIO = st.floats(0, 1)
WATTS = st.none() | st.floats(0, 1e6)
ALIVE = np.array([True, True, True, False])
ACTIVE = np.array([30.0, 0.0, 10.0, 0.0])


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


def test_under_none_nobody_is_given_idle_energy() -> None:
    assert idle_shares("none", 80, ACTIVE, ALIVE).tolist() == [0, 0, 0, 0]


def test_proportional_follows_the_active_energy() -> None:
    assert idle_shares("proportional", 80, ACTIVE, ALIVE).tolist() == [60, 0, 20, 0]


def test_even_gives_the_living_the_same_also_where_nothing_was_used() -> None:
    assert idle_shares("even", 90, ACTIVE, ALIVE).tolist() == [30, 30, 30, 0]


@pytest.mark.parametrize("policy", ["proportional", "even"])
def test_with_nobody_to_give_to_all_shares_are_zero(policy: str) -> None:
    nobody = np.zeros(4)
    assert idle_shares(policy, 90, nobody, nobody > 0).tolist() == [0, 0, 0, 0]


@given(joules=JOULES, weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50))
@pytest.mark.parametrize("policy", ["proportional", "even"])
def test_shares_add_up_to_the_idle_energy(policy: str, joules: float, weights: list[float]) -> None:
    shares = idle_shares(policy, joules, np.array(weights), np.ones(len(weights), dtype=bool))
    assert shares.sum() == pytest.approx(joules, rel=1e-9)


def test_requests_says_that_it_needs_kubernetes() -> None:
    assert "requests" in IDLE_POLICIES
    with pytest.raises(UsageError, match="needs Kubernetes"):
        idle_shares("requests", 80, ACTIVE, ALIVE)


def test_an_unknown_policy_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'equal'.*none, proportional, even, requests"):
        idle_shares("equal", 80, ACTIVE, ALIVE)
