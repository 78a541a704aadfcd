"""Non-negative least squares: the least of all subsets, for any batch, from any guess."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.calibration.fit.nnls import solve_nonnegative
from estimator.energy import FloatArray


def problem(seed: int, n_features: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    design = rng.uniform(0, 1, (3 * n_features, n_features))
    target = design @ rng.normal(0, 1, n_features) + rng.normal(0, 0.3, len(design))
    return design.T @ design + 1e-3 * np.eye(n_features), design.T @ target


def cost(gram: FloatArray, moment: FloatArray, weights: FloatArray) -> float:
    return float(weights @ gram @ weights / 2 - moment @ weights)


def least_of_all_subsets(gram: FloatArray, moment: FloatArray) -> float:
    best = 0.0
    for members in product([False, True], repeat=len(moment)):
        free = np.flatnonzero(members)
        weights = np.zeros(len(moment))
        weights[free] = np.linalg.solve(gram[np.ix_(free, free)], moment[free])
        if (weights >= 0).all():
            best = min(best, cost(gram, moment, weights))
    return best


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 63))
def test_no_subset_of_features_does_better(seed: int, n_features: int, guess: int) -> None:
    gram, moment = problem(seed, n_features)
    free = np.array([bool(guess >> i & 1) for i in range(n_features)])
    weights = solve_nonnegative(gram, moment, free, np.zeros(n_features, dtype=np.bool_))
    assert (weights >= 0).all()
    assert cost(gram, moment, weights) == pytest.approx(
        least_of_all_subsets(gram, moment), rel=1e-6, abs=1e-9
    )


def test_a_batch_is_its_problems_one_by_one() -> None:
    grams, moments = map(np.stack, zip(*(problem(seed, 5) for seed in range(12)), strict=True))
    free, held = np.ones(moments.shape, dtype=np.bool_), np.zeros(moments.shape, dtype=np.bool_)
    together = solve_nonnegative(grams, moments, free, held)
    for row, weights in enumerate(together):
        alone = solve_nonnegative(grams[row], moments[row], free[row], held[row])
        assert weights == pytest.approx(alone)


def test_what_is_held_stays_at_zero() -> None:
    gram, moment = problem(1, 4)
    held = np.array([True, False, False, False])
    weights = solve_nonnegative(gram, np.abs(moment), np.ones(4, dtype=np.bool_), held)
    assert weights[0] == 0
    assert weights[1:].any()
