"""How far each of several predictors is to be believed, from how each has done of late."""

from __future__ import annotations

import numpy as np

from estimator.energy import FloatArray

# A loss counts as at most this many times the usual one: no single interval decides.
_MOST_LOSS = 5.0
_RATE = 0.02


class ExpertMixture:
    """Weights over `experts` at each place, shape (places, experts), ≥ 0, adding up to 1.

    Each absolute error, in units of the place's usual one, costs a factor of e; a small share of the weight
    goes back to everyone, so that who was right long ago can come back. Source: the fixed-share forecaster,
    Herbster and Warmuth, Tracking the best expert, Machine Learning 32 (1998).
    """

    def __init__(self, n_experts: int) -> None:
        self.weights = np.zeros((0, n_experts))
        self._usual = np.zeros(0)

    def add_place(self) -> None:
        """One more place, where all are believed alike."""
        n_experts = self.weights.shape[1]
        self.weights = np.concatenate([self.weights, np.full((1, n_experts), 1 / n_experts)])
        self._usual = np.append(self._usual, 0.0)

    def learn(self, errors: FloatArray, usable: FloatArray) -> None:
        """errors: shape (places, experts), absolute; usable: shape (places,), 0 for places to leave alone."""
        mean = errors.mean(axis=1)
        started = np.where(self._usual > 0, self._usual, mean)
        usual = (1 - _RATE) * started + _RATE * np.minimum(mean, _MOST_LOSS * started)
        self._usual = np.where(usable > 0, usual, self._usual)
        losses = errors / np.maximum(self._usual, np.finfo(float).tiny)[:, np.newaxis]
        losses = np.minimum(losses, _MOST_LOSS) * usable[:, np.newaxis]
        believed = self.weights * np.exp(losses.min(axis=1, keepdims=True) - losses)
        believed /= believed.sum(axis=1, keepdims=True)
        self.weights = (1 - _RATE) * believed + _RATE / self.weights.shape[1]
