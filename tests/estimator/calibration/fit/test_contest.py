"""The contest: a shadow takes over by being clearly better on intervals that neither side has seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from estimator.calibration.fit.contest import HELD_BACK, Contest
from estimator.calibration.fit.online import OnlineFit

WATTS = 50.0
WARM_UP = 2  # as many intervals as weights


def contest(in_force_watts: float, shadow_watts: float, intervals: int) -> bool:
    """Whether the shadow has won after that many intervals at 50 W."""
    contest = Contest(WARM_UP, is_set=True)
    for _ in range(WARM_UP + intervals):
        contest.judge(WATTS, in_force_watts, shadow_watts)
    return contest.shadow_has_won


@pytest.mark.parametrize(
    ("in_force", "shadow", "intervals", "wins"),
    [
        (60.0, 51.0, HELD_BACK, True),
        (60.0, 51.0, HELD_BACK - 1, False),
        (60.0, 59.8, 100, False),
        (60.0, 60.0, 100, False),
        (50.0, 50.0, 100, False),
        (60.0, 75.0, 100, False),
    ],
)
def test_only_a_clear_win_over_enough_intervals_counts(
    in_force: float, shadow: float, intervals: int, wins: bool
) -> None:
    assert contest(in_force, shadow, intervals) is wins


def test_the_mean_stands_in_until_something_is_in_force_and_after_a_promotion_the_contest_begins_anew() -> (
    None
):
    contest = Contest(WARM_UP)
    for _ in range(WARM_UP + HELD_BACK):
        for watts in (40.0, 60.0):
            contest.judge(watts, 0.0, watts)
    assert contest.shadow_has_won
    contest.promote()
    assert (contest.is_set, contest.promotions) == (True, 1)
    assert not contest.shadow_has_won


def test_the_first_intervals_do_not_count() -> None:
    contest = Contest(WARM_UP)
    for _ in range(WARM_UP):
        contest.judge(WATTS, 0.0, 9.0)
    assert math.isnan(contest.error_watts)
    contest.judge(WATTS, 0.0, 9.0)
    assert (contest.error_watts, contest.shadow_error_watts) == (0.0, 41.0)


def test_a_place_without_a_sample_stays_as_it_is() -> None:
    fit = OnlineFit(2)
    fit.add_place(np.array([10.0, 1.0]))
    fit.add_place(np.array([10.0, 1.0]))
    for watts in (50.0, 60.0, 70.0, 80.0, 90.0):
        features = np.array([[1.0, watts], [0.0, 0.0]])
        fit.learn(features, np.array([watts, 0.0]), np.array([True, False]), 5.0)
    assert not math.isnan(fit.contests[0].error_watts)
    assert math.isnan(fit.contests[1].error_watts)
    assert fit.shadow[1] == pytest.approx([10.0, 1.0])
    assert np.isfinite(fit.floors.watts).tolist() == [True, False]
