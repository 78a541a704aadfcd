"""The contest: a shadow takes over by being clearly better on intervals that neither side has seen."""

from __future__ import annotations

import numpy as np
import pytest

from estimator.promotion import HELD_BACK, Incumbents

WATTS = 50.0
WARM_UP = 2  # as many intervals as weights


def contest(in_force_watts: float, shadow_watts: float, intervals: int) -> bool:
    """Whether the shadow has won after that many intervals at 50 W."""
    incumbents = Incumbents(2)
    incumbents.add_row(np.array([in_force_watts, 0.0]))
    for _ in range(WARM_UP + intervals):
        incumbents.hold_back(np.ones((1, 2)), np.array([WATTS]), np.array([shadow_watts]), np.array([True]))
    return bool(incumbents.contenders()[0])


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


def test_after_a_promotion_the_contest_begins_anew() -> None:
    incumbents, row = Incumbents(2), np.array([True])
    incumbents.add_row(None)
    for _ in range(WARM_UP + HELD_BACK):
        for watts in (40.0, 60.0):
            incumbents.hold_back(np.ones((1, 2)), np.array([watts]), np.array([watts]), row)
    assert incumbents.contenders()[0]
    incumbents.promote(row, np.array([[20.0, 30.0]]))
    assert (incumbents.is_set[0], incumbents.promotions[0]) == (True, 1)
    assert not incumbents.contenders()[0]


def test_a_row_without_a_sample_stays_as_it_is() -> None:
    incumbents = Incumbents(2)
    incumbents.add_row(None)
    incumbents.hold_back(np.ones((1, 2)), np.array([0.0]), np.array([9.0]), np.array([False]))
    assert np.isnan(incumbents.error_watts[0])
    assert not incumbents.contenders()[0]
