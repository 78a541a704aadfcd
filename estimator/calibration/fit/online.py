"""The online fit of power to counters, sample by sample, for many places at once; arrays in, arrays out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import compress

import numpy as np

from estimator.calibration.fit.contest import Contest
from estimator.calibration.fit.forgetting import ForgettingFits
from estimator.calibration.fit.mixture import ExpertMixture
from estimator.calibration.fit.nnls import BoolArray
from estimator.energy import FloatArray

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

    The shadow is a mixture of fits that forget at different rates; it is put in force where it has won its
    contest and where idle and active power can be told apart. in_force: weights, shape (places, p), 0 where
    nothing is. contests: one a place.
    """

    def __init__(self, n_features: int) -> None:
        self.in_force = np.zeros((0, n_features))
        self.contests: list[Contest] = []
        self._fits = ForgettingFits(FORGETTING, n_features)
        self._mixture = ExpertMixture(len(FORGETTING))
        self._usual_error = np.zeros((0, len(FORGETTING)))
        self._minima = np.zeros((0, 2))
        self._window_seconds = 0.0

    @property
    def minimum_watts(self) -> FloatArray:
        """The least power seen in the last half to whole day, inf before the first sample; (places,)."""
        minimum: FloatArray = self._minima.min(axis=1)
        return minimum

    @property
    def shadow(self) -> FloatArray:
        """The weights that the next interval is predicted with, shape (places, p)."""
        mixed: FloatArray = (self._mixture.weights[..., np.newaxis] * self._fits.weights).sum(axis=1)
        return mixed

    def add_place(self, weights: FloatArray | None, minimum_watts: float = math.inf) -> None:
        """One more place; weights, shape (p,), are in force from the start, None for nothing."""
        n_features = self.in_force.shape[1]
        given = np.zeros(n_features) if weights is None else weights
        self.in_force = np.vstack([self.in_force, given])
        self.contests.append(Contest(warm_up=n_features, is_set=weights is not None))
        self._fits.add_place(given)
        self._mixture.add_place()
        self._usual_error = np.vstack([self._usual_error, np.zeros(len(FORGETTING))])
        self._minima = np.vstack([self._minima, [minimum_watts, math.inf]])

    def put_in_force(self, place: int, weights: FloatArray) -> None:
        """Put weights, shape (p,), in force at one place without a contest."""
        self.in_force[place] = weights
        self.contests[place].put_in_force()

    def learn(
        self, features: FloatArray, watts: FloatArray, usable: BoolArray, seconds: float
    ) -> Sequence[int]:
        """Take in one interval; returns the places where the shadow was put in force.

        features: shape (places, p); watts, usable: shape (places,), finite; where not usable a place stays as
        it is.
        """
        if not usable.any():
            return ()
        self._judge(features, watts, usable)
        self._observe_minimum(watts, usable, seconds)
        errors = np.abs(self._fits.predict(features) - watts[:, np.newaxis])
        trust = self._trust(errors, watts, usable)
        self._mixture.learn(errors, usable.astype(np.float64))
        self._fits.learn(features, watts, trust)
        self._fits.solve(self.in_force, self.minimum_watts)
        return self._promote(watts, usable)

    def hotplug(self) -> None:
        """CPUs came or went: idle power is another one, the coefficients hardly."""
        self._fits.doubt(_KEPT_AFTER_HOTPLUG)
        self._minima[:] = math.inf
        for contest in self.contests:
            contest.restart()

    def _judge(self, features: FloatArray, watts: FloatArray, usable: BoolArray) -> None:
        in_force, shadow = ((weights * features).sum(axis=1) for weights in (self.in_force, self.shadow))
        said = np.stack([watts, in_force, shadow], axis=1)[usable].tolist()
        for contest, interval in zip(compress(self.contests, usable), said, strict=True):
            contest.judge(*interval)

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
        self.in_force[:, 0] = np.minimum(self.in_force[:, 0], self.minimum_watts)

    def _promote(self, watts: FloatArray, usable: BoolArray) -> Sequence[int]:
        won = usable & [contest.shadow_has_won for contest in self.contests]
        if not won.any():
            return ()
        won &= self._knows_idle(watts)
        self.in_force = np.where(won[:, np.newaxis], self.shadow, self.in_force)
        for contest in compress(self.contests, won):
            contest.promote()
        return np.flatnonzero(won).tolist()

    def _knows_idle(self, watts: FloatArray) -> BoolArray:
        """Whether the fit that is believed most tells the intercept from the rest; shape (places,)."""
        places, leader = np.arange(len(watts)), self._mixture.weights.argmax(axis=1)
        inflation = self._fits.inflation(leader)
        noise = self._usual_error[places, leader]
        samples = 1 / (1 - FORGETTING[leader])
        error = noise * np.sqrt(inflation / samples)
        knows: BoolArray = (inflation <= _MOST_INFLATION) & (error <= _MOST_IDLE_ERROR * watts)
        return knows
