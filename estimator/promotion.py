"""The fit in force at each place, and the contest in which a shadow fit takes its place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray

# A shadow wins when its error on the intervals since the last change is below this share of that of what is
# in force, over at least so many intervals: a tie changes nothing.
WINNING_SHARE = 0.95
HELD_BACK = 6

# How fast held-back errors, the exported ones and the mean power fade, a share an interval.
_RATE = 0.05

BoolArray = npt.NDArray[np.bool_]


class Incumbents:
    """What is in force in each row.

    weights: shape (rows, p), intercept first. is_set: shape (rows,), False until a prior or a promotion: then
    the mean power stands in, which any fit worth having must beat. promotions: shape (rows,). error_watts,
    shadow_error_watts: shape (rows,), rolling mean absolute errors one step ahead; NaN before the
    first that counts.
    """

    def __init__(self, n_features: int) -> None:
        self.weights = np.zeros((0, n_features))
        self.is_set: BoolArray = np.zeros(0, dtype=np.bool_)
        self.promotions = np.zeros(0, dtype=np.int64)
        self.error_watts = np.zeros(0)
        self.shadow_error_watts = np.zeros(0)
        self._mean_watts = np.zeros(0)
        self._held_back = np.zeros((0, 2))
        self._intervals = np.zeros(0, dtype=np.int64)
        self._learned = np.zeros(0, dtype=np.int64)

    def add_row(self, weights: FloatArray | None) -> None:
        """One more row; weights, shape (p,), are in force from the start, None for nothing."""
        given = np.zeros(self.weights.shape[1]) if weights is None else weights
        self.weights = np.vstack([self.weights, given])
        self.is_set = np.append(self.is_set, weights is not None)
        self.promotions = np.append(self.promotions, 0)
        self.error_watts = np.append(self.error_watts, np.nan)
        self.shadow_error_watts = np.append(self.shadow_error_watts, np.nan)
        self._mean_watts = np.append(self._mean_watts, np.nan)
        self._held_back = np.vstack([self._held_back, np.zeros(2)])
        self._intervals = np.append(self._intervals, 0)
        self._learned = np.append(self._learned, 0)

    def replace(self, row: int, weights: FloatArray) -> None:
        """Put weights, shape (p,), in force in one row without a contest, and begin a new one there."""
        self.weights[row] = weights
        self.is_set[row] = True
        self._held_back[row] = 0.0
        self._intervals[row] = 0

    def hold_back(
        self, features: FloatArray, watts: FloatArray, shadow: FloatArray, usable: BoolArray
    ) -> None:
        """Let both sides predict an interval that neither has learned from.

        features: shape (rows, p); watts, shadow (its prediction): shape (rows,). The first p intervals, with
        which the shadow has just as many samples as weights, do not count.
        """
        mean = np.where(np.isnan(self._mean_watts), watts, self._mean_watts)
        forecast = np.where(self.is_set, (self.weights * features).sum(axis=1), mean)
        errors = np.abs(np.stack([forecast, shadow], axis=1) - watts[:, np.newaxis])
        counts = usable & (self._learned >= self.weights.shape[1])
        self._learned += usable
        kept = counts[:, np.newaxis]
        self._held_back = np.where(kept, (1 - _RATE) * self._held_back + errors, self._held_back)
        self._intervals += counts
        self._mean_watts = np.where(usable, mean + _RATE * (watts - mean), self._mean_watts)
        self.error_watts = _rolled(self.error_watts, errors[:, 0], counts)
        self.shadow_error_watts = _rolled(self.shadow_error_watts, errors[:, 1], counts)

    def contenders(self) -> BoolArray:
        """The rows whose shadow has won; shape (rows,)."""
        in_force, shadow = self._held_back.T
        return (self._intervals >= HELD_BACK) & (shadow < WINNING_SHARE * in_force)

    def promote(self, rows: BoolArray, weights: FloatArray) -> None:
        """Put weights, shape (rows, p), in force in those rows and begin a new contest there."""
        self.weights = np.where(rows[:, np.newaxis], weights, self.weights)
        self.is_set = self.is_set | rows
        self.promotions = self.promotions + rows
        self.restart(rows)

    def restart(self, rows: BoolArray) -> None:
        """Forget the held-back errors of those rows."""
        self._held_back = np.where(rows[:, np.newaxis], 0.0, self._held_back)
        self._intervals = np.where(rows, 0, self._intervals)


def _rolled(rolling: FloatArray, errors: FloatArray, usable: BoolArray) -> FloatArray:
    started = np.where(np.isnan(rolling), errors, rolling)
    rolled: FloatArray = np.where(usable, started + _RATE * (errors - started), rolling)
    return rolled
