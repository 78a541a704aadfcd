"""Margins hold the share of further errors that they promise, in each bin of load."""

from __future__ import annotations

import math

import numpy as np
import pytest

from estimator.training.conformal import COVERAGE, margins, quantile


def test_the_margin_is_the_conformal_rank() -> None:
    assert quantile(np.arange(1.0, 10.0)) == 9.0
    assert quantile(np.arange(1.0, 20.0)) == 18.0
    assert quantile(np.array([3.0, 1.0, 2.0]), coverage=0.5) == 2.0


def test_with_too_few_errors_nothing_is_promised_and_the_largest_is_the_margin() -> None:
    assert quantile(np.arange(1.0, 9.0)) == math.inf
    assert quantile(np.array([])) == math.inf
    assert margins(np.array([-5.0]), np.array([0.5])).widest == 5.0
    assert margins(np.array([]), np.array([])).widest == 0.0


def test_errors_that_grow_with_load_get_margins_that_do() -> None:
    rng = np.random.default_rng(0)
    load = rng.uniform(0, 1, 40_000)
    errors = rng.normal(0, 1, 40_000) * (0.1 + load)
    band = margins(errors[:20_000], load[:20_000])
    at = np.searchsorted(band.edges, load[20_000:], side="right")
    inside = np.abs(errors[20_000:]) <= np.array(band.by_bin)[at]
    assert list(band.by_bin) == sorted(band.by_bin)
    for bin_ in range(len(band.by_bin)):
        assert inside[at == bin_].mean() == pytest.approx(COVERAGE, abs=0.02)


def test_few_rows_or_no_load_share_one_margin() -> None:
    errors = np.linspace(-1, 1, 60)
    assert margins(errors, np.linspace(0, 1, 60)).edges == ()
    assert margins(errors, np.full(60, np.nan)).edges == ()
    assert margins(np.tile(errors, 10), np.zeros(600)).edges == ()


def test_outside_counts_the_worst_feature() -> None:
    band = margins(np.zeros(50), np.zeros(50), [np.full(20, 3.0), np.full(20, -7.0)])
    assert band.outside == 7.0
