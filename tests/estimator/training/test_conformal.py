"""Margins hold the share of further errors that they promise, in each bin of load."""

from __future__ import annotations

import math

import numpy as np
import pytest

from estimator.training.conformal import COVERAGE, Beyond, margins, quantile


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


def test_more_load_never_has_a_narrower_margin() -> None:
    load = np.linspace(0, 1, 500)
    band = margins(np.where((load > 0.4) & (load < 0.6), 9.0, 1.0), load)
    assert band.by_bin[0] == 1.0
    assert band.by_bin[-1] == band.widest == 9.0


def test_few_rows_or_no_load_share_one_margin() -> None:
    errors = np.linspace(-1, 1, 60)
    assert margins(errors, np.linspace(0, 1, 60)).edges == ()
    assert margins(errors, np.full(60, np.nan)).edges == ()
    assert margins(np.tile(errors, 10), np.zeros(600)).edges == ()


def test_the_worst_block_sets_the_margin_not_the_mean_of_all() -> None:
    errors = np.concatenate([np.full(400, 1.0), np.full(100, 5.0)])
    blocks = np.repeat(np.arange(5), 100)
    assert margins(errors[:400], np.zeros(400), blocks[:400]).widest == 1.0
    # 5 W are in a fifth of the rows, and all there is in one block.
    assert margins(np.where(np.arange(500) < 480, 1.0, 5.0), np.zeros(500)).widest == 1.0
    assert margins(np.where(np.arange(500) < 480, 1.0, 5.0), np.zeros(500), blocks).widest == 5.0
    assert margins(errors, np.zeros(500), blocks).widest == 5.0


def test_outside_the_margin_grows_with_the_distance_along_the_feature_that_it_grew_with() -> None:
    rng = np.random.default_rng(1)
    excess = rng.uniform(0, 2, (4000, 2))
    errors = rng.normal(0, 1, 4000) * (0.5 + 3 * excess[:, 0])
    band = margins(
        np.zeros(50), np.zeros(50), None, Beyond(errors[:2000], excess[:2000]), {"a": 7.0, "b": 9.0}
    )
    assert band.growth["a"][0] == 7.0
    assert band.growth["a"][1] > 10 * band.growth.get("b", (9.0, 0.0))[1]
    width = band.outside + sum(
        watts * excess[2000:, at] for at, (_, watts) in enumerate(band.growth.values())
    )
    for far in (excess[2000:, 0] < 1, excess[2000:, 0] >= 1):
        assert (np.abs(errors[2000:]) <= width)[far].mean() == pytest.approx(COVERAGE, abs=0.04)
    document = band.document("watts", 4.0)
    assert document["outside"]["growth"]["a"]["watts"] == pytest.approx(4 * band.growth["a"][1], abs=1e-5)
    assert document["outside"]["growth"]["a"]["limit"] == 7.0


def test_nothing_beyond_is_no_growth() -> None:
    assert margins(np.zeros(50), np.zeros(50)).growth == {}
    assert (
        margins(np.zeros(50), np.zeros(50), None, Beyond(np.zeros(9), np.zeros((9, 1))), {"a": 1.0}).outside
        == 0
    )
