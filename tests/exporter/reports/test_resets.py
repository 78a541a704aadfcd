"""Counters that begin at 0 again together, and how one knows it of a series that is higher than it was."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.reports.timeline import begun_anew, increments

NONE = np.nan
ANEW = np.array([False, True, False])


@pytest.mark.parametrize(
    ("row", "grown"),
    [
        ([1, 2, 5, 6], [1, 5, 1]),  # young when all began anew, and higher at the next sample
        ([10, 12, 5, 6], [2, 5, 1]),
        ([NONE, NONE, 5, 6], [0, 5, 1]),
        ([1, NONE, NONE, 6], [0, 0, 6]),  # gone before and back after it
        ([1, 2, NONE, NONE], [1, 0, 0]),
    ],
)
def test_every_series_counts_from_0_where_all_began_anew(row: list[float], grown: list[float]) -> None:
    np.testing.assert_array_equal(increments(np.array([row], dtype=np.float64), ANEW), [grown])


def test_a_page_began_anew_where_its_ticks_and_its_nodes_energy_fell() -> None:
    ticks, energy = np.array([[5.0, 9, 1, 2]]), np.array([[50.0, 90, 95, 99], [50.0, 90, 3, 9]])
    np.testing.assert_array_equal(begun_anew(ticks, energy), ANEW)


@pytest.mark.parametrize(
    ("ticks", "energy"),
    [
        ([5, 9, 1, 2], [50, 90, 95, 99]),  # the books were kept
        ([5, 9, 11, 12], [50, 90, 3, 9]),
        ([5, 9, 11, 12], [50, 90, 95, 99]),
    ],
)
def test_one_counter_that_fell_is_no_restart(ticks: list[float], energy: list[float]) -> None:
    assert not begun_anew(np.array([ticks]), np.array([energy])).any()


def test_a_scrape_that_is_missing_hides_no_restart() -> None:
    ticks, energy = np.array([[5.0, 9, NONE, 2]]), np.array([[50.0, 90, NONE, 9]])
    np.testing.assert_array_equal(begun_anew(ticks, energy), [False, False, True])


def test_without_any_series_nothing_began() -> None:
    assert not begun_anew(np.empty((0, 4)), np.empty((0, 4))).any()
