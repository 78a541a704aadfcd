"""Least squares that forgets: a new sample replaces what was known in its own direction alone."""

from __future__ import annotations

import numpy as np

from estimator.calibration.fit.nnls import BoolArray, solve_nonnegative
from estimator.energy import FloatArray

# What is in force counts as this share of a whole memory in each feature: it decides where the samples do
# not, and bends no fit where they do.
PRIOR_SHARE = 1e-3

# A feature whose mean square is below this was never seen (features are scaled to about 1).
_UNSEEN = 1e-12

# What the intercept's drift of a tick adds to its variance, in units of that of a sample: idle power follows
# the room and the fans within a quarter of an hour, the weights of features do not.
_DRIFT = 0.01


class ForgettingFits:
    """Many linear fits side by side, with weights ≥ 0: places, each with every forgetting factor.

    The first feature is the constant 1, so its weight is the intercept. weights: shape (variants, places,
    factors, p): what the same samples say where different features are held at 0. Where exponential
    forgetting loses what an hour of constant load does not show, this forgets only along the new sample: at
    constant load everything else stays. Source: Cao and Schwartz, A directional forgetting algorithm based on
    the decomposition of the information matrix, Automatica 36 (2000).
    """

    def __init__(self, factors: FloatArray, n_features: int, n_variants: int = 1) -> None:
        self._lost = 1 - factors
        self._gram = np.zeros((0, len(factors), n_features, n_features))
        self._moment = np.zeros((0, len(factors), n_features))
        self.weights = np.zeros((n_variants, 0, len(factors), n_features))

    def add_place(self, weights: FloatArray) -> None:
        """One more place, where weights, shape (p,), are all that is known."""
        n_variants, _, *shape = self.weights.shape
        self._gram = np.concatenate([self._gram, np.zeros((1, *self._gram.shape[1:]))])
        self._moment = np.concatenate([self._moment, np.zeros((1, *shape))])
        added = np.broadcast_to(weights, (n_variants, 1, *shape))
        self.weights = np.concatenate([self.weights, added], axis=1)

    def predict(self, features: FloatArray) -> FloatArray:
        """features: shape (places, p). What each fit says, shape (variants, places, factors)."""
        return (self.weights @ features[:, :, np.newaxis])[..., 0]

    def learn(self, features: FloatArray, target: FloatArray, trust: FloatArray) -> None:
        """Take in one sample a place. features: shape (places, p); target: shape (places,).

        trust: shape (places, factors), between 0, which leaves a fit as it is, and 1.
        """
        x = features[:, np.newaxis, :]
        along = (self._gram @ features[:, np.newaxis, :, np.newaxis])[..., 0]
        known = (along * x).sum(axis=-1)
        forget = np.where((known > _UNSEEN) & (trust > 0), self._lost / np.maximum(known, _UNSEEN), 0.0)
        lost = forget[..., np.newaxis] * along
        gained = trust[..., np.newaxis] * x
        said = (along * self.weights[0]).sum(axis=-1, keepdims=True)
        self._moment += gained * target[:, np.newaxis, np.newaxis] - lost * said
        self._gram += gained[..., np.newaxis] * x[..., np.newaxis, :]
        self._gram -= lost[..., np.newaxis] * along[..., np.newaxis, :]
        self._drift(trust)

    def _drift(self, trust: FloatArray) -> None:
        """The intercept may be another one now: the time update of a random walk, in information form.

        Source: Anderson and Moore, Optimal Filtering (1979), section 6.3.
        """
        column = self._gram[..., 0].copy()
        share = np.where(trust > 0, _DRIFT / (1 + _DRIFT * column[..., 0]), 0.0)
        self._moment -= (share * self._moment[..., 0])[..., np.newaxis] * column
        self._gram -= (
            share[..., np.newaxis, np.newaxis] * column[..., np.newaxis] * column[..., np.newaxis, :]
        )

    def doubt(self, share: float) -> None:
        """Keep a share of what is known: new samples count for more."""
        self._gram *= share
        self._moment *= share

    def solve(self, prior: FloatArray, held: BoolArray, pull: FloatArray, intercept: FloatArray) -> None:
        """Bring weights up to date. prior: shape (places, p); held: shape (variants, places, p), at 0.

        pull: shape (variants, places), how many times all of the samples' weight lies on the intercept being
        that of intercept, shape (places,).
        """
        gram, root = self._normalised()
        moment = self._moment / root + PRIOR_SHARE * root * prior[:, np.newaxis, :]
        shape = self.weights.shape
        grams, moments = (np.repeat(array[np.newaxis], shape[0], axis=0) for array in (gram, moment))
        grams[..., 0, 0] += pull[..., np.newaxis]
        moments[..., 0] += pull[..., np.newaxis] * root[..., 0] * intercept[:, np.newaxis]
        fixed = np.broadcast_to(held[:, :, np.newaxis, :], shape)
        self.weights = solve_nonnegative(grams, moments, self.weights > 0, fixed) / root

    def inflation(self, members: FloatArray, held: BoolArray) -> FloatArray:
        """How many times the intercept's variance exceeds that of a fit of nothing else; shape (places,).

        members: shape (places,), the factor to look at; held: shape (places, p), features left out. At most
        1 / PRIOR_SHARE, at a load that never changed. Source: the variance inflation factor, Marquardt,
        Technometrics 12 (1970).
        """
        gram, _ = self._normalised()
        chosen = gram[np.arange(len(gram)), members.astype(np.intp)]
        left_out = held[:, :, np.newaxis] | held[:, np.newaxis, :]
        inverse = np.linalg.inv(np.where(left_out, np.eye(gram.shape[-1]), chosen))
        return np.asarray(inverse[:, 0, 0], dtype=np.float64)

    def _normalised(self) -> tuple[FloatArray, FloatArray]:
        """The gram matrix scaled to a diagonal of 1 + PRIOR_SHARE, and the scale by feature."""
        root = np.sqrt(np.maximum(np.einsum("rkii->rki", self._gram), _UNSEEN))
        gram = self._gram / (root[..., np.newaxis] * root[..., np.newaxis, :])
        return gram + PRIOR_SHARE * np.eye(gram.shape[-1]), root
