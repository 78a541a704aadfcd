"""Power as a sum of non-negative terms: scikit-learn's non-negative least squares, held at the envelope."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from estimator.energy import FloatArray
from estimator.model.rise import rise, slope_at_limit
from estimator.training.rates import QUANTILE


class LinearPower(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """watts = idle + Σ term, term = watts_at_limit · rise(min(rate, limit) / limit), all ≥ 0.

    powers, knees: for each feature, those of its terms; see estimator.model.rise. extends: for each feature,
    whether the tangent goes on beyond the limit, which is the 99.5 % quantile of what was seen. Learned:
    limits_, shape (n_features,); idle_; and for each term feature_, power_, knee_ (0 for a power), watts_. A
    feature that was always 0 has no terms.
    """

    def __init__(
        self,
        powers: Sequence[Sequence[float]],
        extends: Sequence[bool],
        knees: Sequence[Sequence[float]] = (),
    ) -> None:
        self.powers = powers
        self.extends = extends
        self.knees = knees

    def fit(self, rates: FloatArray, watts: FloatArray) -> LinearPower:
        """rates: shape (n, n_features), ≥ 0; watts: shape (n,), per CPU or not, as the prediction then is."""
        self.limits_ = upper_limits(rates)
        terms = [(at, power, 0.0) for at, of in enumerate(self.powers) for power in of]
        terms += [(at, 1.0, knee) for at, of in enumerate(self.knees) for knee in of]
        terms = [term for term in terms if rates[:, term[0]].any()]
        self.feature_ = np.array([at for at, _, _ in terms], dtype=np.intp)
        self.power_ = np.array([power for _, power, _ in terms])
        self.knee_ = np.array([knee for _, _, knee in terms])
        design = np.column_stack([np.ones(len(rates)), self._terms(rates)])
        solved = LinearRegression(positive=True, fit_intercept=False).fit(design, watts)
        self.idle_, self.watts_ = float(solved.coef_[0]), solved.coef_[1:]
        return self

    def predict(self, rates: FloatArray) -> FloatArray:
        """Shape (n,), in the unit of the watts that it was fitted to."""
        return self.within(rates) + self.beyond(rates)

    def within(self, rates: FloatArray) -> FloatArray:
        """What it says with every rate held at its limit."""
        return np.asarray(self.idle_ + self._terms(rates) @ self.watts_, dtype=np.float64)

    def beyond(self, rates: FloatArray) -> FloatArray:
        """What the rates above their limits add."""
        excess = np.maximum(0.0, rates / self.limits_ - 1)[:, self.feature_]
        slope = np.where(self.goes_on(), slope_at_limit(self.power_, self.knee_) * self.watts_, 0.0)
        return np.asarray(excess @ slope, dtype=np.float64)

    def goes_on(self) -> npt.NDArray[np.bool_]:
        """For each term, whether it extends beyond the limit."""
        return np.asarray(self.extends, dtype=np.bool_)[self.feature_]

    def joules_per_unit(self) -> FloatArray:
        """The slope of the terms of power 1 by feature; shape (n_features,)."""
        slopes = np.zeros(len(self.limits_))
        linear = (self.power_ == 1) & (self.knee_ == 0)
        np.add.at(slopes, self.feature_[linear], self.watts_[linear])
        return slopes / self.limits_

    def _terms(self, rates: FloatArray) -> FloatArray:
        held = np.minimum(rates, self.limits_) / self.limits_
        return rise(held[:, self.feature_], self.power_, self.knee_)


def upper_limits(rates: FloatArray) -> FloatArray:
    """The upper edge of what was seen of each feature; 1 where it was always 0; shape (n_features,)."""
    high = np.quantile(rates, QUANTILE, axis=0)
    most = rates.max(axis=0)
    return np.where(high > 0, high, np.where(most > 0, most, 1.0))
