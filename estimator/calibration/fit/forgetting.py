"""Least squares that forgets: a new sample replaces what was known in its own direction alone."""

from __future__ import annotations

import numpy as np

from estimator.calibration.fit.nnls import solve_nonnegative
from estimator.energy import FloatArray

# What is in force counts as this share of a whole memory in each feature: it decides where the samples do
# not, and bends no fit where they do.
PRIOR_SHARE = 1e-3

# A feature whose mean square is below this was never seen (features are scaled to about 1).
_UNSEEN = 1e-12


class ForgettingFits:
    """Many linear fits side by side, with weights ≥ 0: places, each with every forgetting factor.

    The first feature is the constant 1, so its weight is the intercept. weights: shape (places, factors, p).
    Where exponential forgetting loses what an hour of constant load does not show, this forgets only along
    the new sample: at constant load everything else stays. Source: Cao and Schwartz, A directional forgetting
    algorithm based on the decomposition of the information matrix, Automatica 36 (2000).
    """

    def __init__(self, factors: FloatArray, n_features: int) -> None:
        self._lost = 1 - factors
        self._gram = np.zeros((0, len(factors), n_features, n_features))
        self._moment = np.zeros((0, len(factors), n_features))
        self.weights = np.zeros((0, len(factors), n_features))

    def add_place(self, weights: FloatArray) -> None:
        """One more place, where weights, shape (p,), are all that is known."""
        shape = self._moment.shape[1:]
        self._gram = np.concatenate([self._gram, np.zeros((1, *self._gram.shape[1:]))])
        self._moment = np.concatenate([self._moment, np.zeros((1, *shape))])
        self.weights = np.concatenate([self.weights, np.broadcast_to(weights, (1, *shape))])

    def predict(self, features: FloatArray) -> FloatArray:
        """features: shape (places, p). What each fit says, shape (places, factors)."""
        return (self.weights @ features[:, :, np.newaxis])[..., 0]

    def learn(self, features: FloatArray, target: FloatArray, trust: FloatArray) -> None:
        """Take in one sample a place. features: shape (places, p); target: shape (places,).

        trust: shape (places, factors), between 0, which leaves a fit as it is, and 1.
        """
        x, y = features[:, np.newaxis, :], target[:, np.newaxis]
        along = (self._gram @ features[:, np.newaxis, :, np.newaxis])[..., 0]
        known = (along * x).sum(axis=-1)
        forget = np.where((known > _UNSEEN) & (trust > 0), self._lost / np.maximum(known, _UNSEEN), 0.0)
        lost = forget[..., np.newaxis] * along
        gained = trust[..., np.newaxis] * x
        self._moment += gained * y[..., np.newaxis] - lost * (along * self.weights).sum(
            axis=-1, keepdims=True
        )
        self._gram += gained[..., np.newaxis] * x[..., np.newaxis, :]
        self._gram -= lost[..., np.newaxis] * along[..., np.newaxis, :]

    def doubt(self, share: float) -> None:
        """Keep a share of what is known: new samples count for more."""
        self._gram *= share
        self._moment *= share

    def solve(self, prior: FloatArray, most_intercept: FloatArray) -> None:
        """Bring weights up to date. prior: shape (places, p).

        most_intercept: shape (places,): where the intercept would pass it, the others are fitted beside it.
        """
        gram, root = self._normalised()
        moment = self._moment / root + PRIOR_SHARE * root * prior[:, np.newaxis, :]
        free, held = self.weights > 0, np.zeros(moment.shape, dtype=np.bool_)
        self.weights = solve_nonnegative(gram, moment, free, held) / root
        above = self.weights[..., 0] > most_intercept[:, np.newaxis]
        if above.any():
            held[..., 0] = above
            bound = np.where(above, most_intercept[:, np.newaxis], 0.0)
            rest = moment - gram[..., 0] * (bound * root[..., 0])[..., np.newaxis]
            bounded = solve_nonnegative(gram, rest, free, held) / root
            bounded[..., 0] = bound
            self.weights = np.where(above[..., np.newaxis], bounded, self.weights)

    def inflation(self, members: FloatArray) -> FloatArray:
        """How many times the intercept's variance exceeds that of a fit of nothing else; shape (places,).

        members: shape (places,), the factor to look at. At most 1 / PRIOR_SHARE, at a load that never
        changed. Source: the variance inflation factor, Marquardt, Technometrics 12 (1970).
        """
        gram, _ = self._normalised()
        inverse = np.linalg.inv(gram[np.arange(len(gram)), members.astype(np.intp)])
        return np.asarray(inverse[:, 0, 0], dtype=np.float64)

    def _normalised(self) -> tuple[FloatArray, FloatArray]:
        """The gram matrix scaled to a diagonal of 1 + PRIOR_SHARE, and the scale by feature."""
        root = np.sqrt(np.maximum(np.einsum("rkii->rki", self._gram), _UNSEEN))
        gram = self._gram / (root[..., np.newaxis] * root[..., np.newaxis, :])
        return gram + PRIOR_SHARE * np.eye(gram.shape[-1]), root
