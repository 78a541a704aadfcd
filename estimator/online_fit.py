"""The online fit of power to counters, sample by sample, for many places at once; arrays in, arrays out."""

from __future__ import annotations

import math

import numpy as np

from estimator.energy import FloatArray
from estimator.expert_mixture import ExpertMixture
from estimator.forgetting import ForgettingFits
from estimator.promotion import BoolArray, Incumbents

# Memories of some 3 to 200 samples a direction: a load that jumps wants the short ones, noise the long ones.
FORGETTING = np.array([0.7, 0.8, 0.9, 0.95, 0.98, 0.995])

# Huber's loss: an error beyond this many times the usual one counts as no more than that.
_HUBER = 2.0
_ERROR_RATE = 0.05
# The usual error is at least this share of power, or a repeated value would make the next an outlier.
_LEAST_ERROR = 0.005
# Before the first sample: this share of power, to be corrected as samples come.
_FIRST_ERROR = 0.05

# Idle and active are told apart where the load has changed enough, and the noise leaves the idle power known
# to this share of the power: a load constant to ± 10 % inflates the variance by 100.
_MOST_INFLATION = 100.0
_MOST_IDLE_ERROR = 0.1

_TINY = np.finfo(np.float64).tiny

# The observed minimum is that of the current and the last half-day.
_WINDOW_SECONDS = 43_200.0
# After a CPU came or went, what was learned before counts as this much.
_KEPT_AFTER_HOTPLUG = 0.1


class OnlineFit:
    """watts ≈ weights · features, weights ≥ 0, feature 0 the constant 1: its weight is the idle power.

    The shadow is a mixture of fits that forget at different rates; it is put in force where it has won
    (see promotion) and where idle and active power can be told apart. minimum_watts: shape (rows,).
    """

    def __init__(self, n_features: int) -> None:
        self.incumbents = Incumbents(n_features)
        self._fits = ForgettingFits(FORGETTING, n_features)
        self._mixture = ExpertMixture(len(FORGETTING))
        self._usual_error = np.zeros((0, len(FORGETTING)))
        self._minima = np.zeros((0, 2))
        self._window_seconds = 0.0

    @property
    def minimum_watts(self) -> FloatArray:
        """The least power seen in the last half to whole day; inf before the first sample."""
        minimum: FloatArray = self._minima.min(axis=1)
        return minimum

    @property
    def shadow(self) -> FloatArray:
        """The weights that the next interval is predicted with, shape (rows, p)."""
        mixed: FloatArray = (self._mixture.weights[..., np.newaxis] * self._fits.weights).sum(axis=1)
        return mixed

    def add_row(self, weights: FloatArray | None, minimum_watts: float = math.inf) -> None:
        """One more place; weights, shape (p,), are in force from the start, None for nothing."""
        self.incumbents.add_row(weights)
        self._fits.add_row(self.incumbents.weights[-1])
        self._mixture.add_row()
        self._usual_error = np.vstack([self._usual_error, np.zeros(len(FORGETTING))])
        self._minima = np.vstack([self._minima, [minimum_watts, math.inf]])

    def learn(self, features: FloatArray, watts: FloatArray, usable: BoolArray, seconds: float) -> None:
        """Take in one interval. features: shape (rows, p); watts, usable: shape (rows,), finite; where not
        usable a row stays as it is."""
        if not usable.any():
            return
        self.incumbents.hold_back(features, watts, (self.shadow * features).sum(axis=1), usable)
        self._observe_minimum(watts, usable, seconds)
        errors = np.abs(self._fits.predict(features) - watts[:, np.newaxis])
        trust = self._trust(errors, watts, usable)
        self._mixture.learn(errors, usable.astype(np.float64))
        self._fits.learn(features, watts, trust)
        self._fits.solve(self.incumbents.weights, self.minimum_watts)
        self._promote(watts, usable)

    def hotplug(self) -> None:
        """CPUs came or went: idle power is another one, the coefficients hardly."""
        for row in range(len(self._minima)):
            self._fits.doubt(row, _KEPT_AFTER_HOTPLUG)
        self._minima[:] = math.inf
        self.incumbents.restart(np.ones(len(self._minima), dtype=np.bool_))

    def _trust(self, errors: FloatArray, watts: FloatArray, usable: BoolArray) -> FloatArray:
        """Huber's weight of the sample in each fit; the usual error follows, unmoved by outliers."""
        kept = usable[:, np.newaxis]
        share = np.where(self._usual_error > 0, _LEAST_ERROR, _FIRST_ERROR)
        started = np.maximum(self._usual_error, share * watts[:, np.newaxis])
        followed = started + _ERROR_RATE * (np.minimum(errors, 4 * started) - started)
        self._usual_error = np.where(kept, followed, self._usual_error)
        limit = _HUBER * started
        return np.where(kept, limit / np.maximum(np.maximum(limit, errors), _TINY), 0.0)

    def _observe_minimum(self, watts: FloatArray, usable: BoolArray, seconds: float) -> None:
        self._window_seconds += seconds
        if self._window_seconds > _WINDOW_SECONDS:
            self._window_seconds = 0.0
            self._minima[:, 1] = self._minima[:, 0]
            self._minima[:, 0] = math.inf
        self._minima[:, 0] = np.where(usable, np.minimum(self._minima[:, 0], watts), self._minima[:, 0])
        in_force = self.incumbents.weights
        in_force[:, 0] = np.minimum(in_force[:, 0], self.minimum_watts)

    def _promote(self, watts: FloatArray, usable: BoolArray) -> None:
        won = self.incumbents.contenders() & usable
        if won.any():
            won &= self._tells_idle_apart(watts)
            self.incumbents.promote(won, self.shadow)

    def _tells_idle_apart(self, watts: FloatArray) -> BoolArray:
        """Whether the fit that is believed most knows the intercept; shape (rows,)."""
        rows, leader = np.arange(len(watts)), self._mixture.weights.argmax(axis=1)
        inflation = self._fits.inflation(leader)
        noise = self._usual_error[rows, leader]
        samples = 1 / (1 - FORGETTING[leader])
        error = noise * np.sqrt(inflation / samples)
        told: BoolArray = (inflation <= _MOST_INFLATION) & (error <= _MOST_IDLE_ERROR * watts)
        return told
