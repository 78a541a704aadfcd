"""Power from boosted trees and a curve for each feature, half and half."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from estimator.energy import FloatArray
from estimator.training.linear_power import LinearPower

# Trees follow every bend where they have seen rows and are flat elsewhere; the curves are stiff and go on.
# Equal weights: estimated ones lean to the trees, which win wherever the envelope is not left. Source: the
# forecast combination puzzle, Smith and Wallis, Oxford Bulletin of Economics and Statistics 71 (2009).
SHARE = 0.5
_TREES = {
    "max_iter": 100,
    "learning_rate": 0.08,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 40,
    "early_stopping": False,
    "random_state": 0,
}


class TreesPower(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """share · trees + (1 - share) · curves, both held at the envelope, and the tangent beyond it.

    More of any feature never predicts less: the trees are constrained to rise, the curves have no negative
    term. powers, extends, knees: as in LinearPower. Learned: linear_, trees_ (HistGradientBoostingRegressor).
    """

    def __init__(
        self,
        powers: Sequence[Sequence[float]],
        extends: Sequence[bool],
        knees: Sequence[Sequence[float]] = (),
        share: float = SHARE,
    ) -> None:
        self.powers = powers
        self.extends = extends
        self.knees = knees
        self.share = share

    def fit(self, rates: FloatArray, watts: FloatArray) -> TreesPower:
        """rates: shape (n, n_features), ≥ 0; watts: shape (n,)."""
        self.linear_ = LinearPower(self.powers, self.extends, self.knees).fit(rates, watts)
        self.trees_ = HistGradientBoostingRegressor(monotonic_cst=[1] * rates.shape[1], **_TREES)
        with threadpool_limits(1, "openmp"):  # with so few rows, threads wait for each other and no more
            self.trees_.fit(self._held(rates), watts)
        return self

    def predict(self, rates: FloatArray) -> FloatArray:
        """Shape (n,), never negative."""
        with threadpool_limits(1, "openmp"):
            trees = self.share * self.trees_.predict(self._held(rates))
        curves = (1 - self.share) * self.linear_.within(rates) + self.linear_.beyond(rates)
        return np.asarray(np.maximum(0.0, trees + curves), dtype=np.float64)

    def _held(self, rates: FloatArray) -> FloatArray:
        return np.minimum(rates, self.linear_.limits_)
