"""The online fit of power to counters, sample by sample, for many places at once; arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import numpy as np

from estimator.calibration.fit.contest import Contest
from estimator.calibration.fit.feature_sets import FeatureContest
from estimator.calibration.fit.floor import Floors
from estimator.calibration.fit.forgetting import ForgettingFits
from estimator.calibration.fit.mixture import ExpertMixture
from estimator.calibration.fit.nnls import BoolArray
from estimator.energy import FloatArray

# Memories of some 2 to 100 samples a direction: a load that jumps wants the short ones, noise the long ones.
FORGETTING = np.array([0.5, 0.85, 0.99])

# Huber's loss: an error beyond this many times the usual one counts as no more than that.
_HUBER = 2.0
_ERROR_RATE = 0.05
# The usual error is at least this share of power, or a repeated value would make the next an outlier.
_LEAST_ERROR = 0.005
# Before the first sample: this share of power, to be corrected as samples come.
_FIRST_ERROR = 0.05
# One interval decides between features by no more than this share of power.
_MOST_LOSS = 0.2

# Idle and active are told apart where the load has changed enough, and the noise leaves the idle power known
# to this share of the power: a load constant to ± 10 % inflates the variance by 100.
_MOST_INFLATION = 100.0
_MOST_IDLE_ERROR = 0.1

# A floor within this share of itself is an anchor; one within the smaller share pulls with its whole weight,
# times that of all samples. Where nothing but misses counts, samples tell the intercept apart by themselves.
ANCHORED, _WELL_KNOWN = 0.08, 0.05
_PULL_OF_CORES, _PULL = 3.0, 0.5
# The truth lies within so many errors of a floor.
_BOUND = 2.0

_TINY = np.finfo(np.float64).tiny

# After a CPU came or went, what was learned before counts as this much.
_KEPT_AFTER_HOTPLUG = 0.1


class OnlineFit:
    """watts ≈ weights · features, weights ≥ 0, feature 0 the constant 1: its weight is the idle power.

    The shadow is a mixture of fits that forget at different rates; it is put in force where it has won its
    contest and where idle and active power can be told apart, and leads from then on. in_force: weights,
    shape (places, p), 0 where nothing is. contests: one a place; floors: the power of idling that they saw;
    is_anchored: shape (places,), where intervals with next to no load say what idling draws.
    competing: features, by their index, that must earn their place, zone by zone; awake: which of them is
    the awake time.
    """

    def __init__(self, n_features: int, competing: Sequence[int] = (), awake: int | None = None) -> None:
        self.in_force = np.zeros((0, n_features))
        self.contests: list[Contest] = []
        self.floors = Floors(n_features - 1, None if awake is None else awake - 1)
        self._competing, self._awake = list(competing), awake
        self._sets: dict[str, FeatureContest] = {}
        self._zones: list[str] = []
        self._places_of: dict[str, BoolArray] = {}
        self._of_cores = np.zeros(0, dtype=np.bool_)
        self._leads = np.zeros(0, dtype=np.bool_)
        self._fits = ForgettingFits(FORGETTING, n_features, n_variants=2 if competing else 1)
        self._mixture = ExpertMixture(len(FORGETTING))
        self._usual_error = np.zeros((0, len(FORGETTING)))
        self._held = np.zeros((0, n_features), dtype=np.bool_)
        self.is_anchored = np.zeros(0, dtype=np.bool_)

    @property
    def shadow(self) -> FloatArray:
        """The weights that the next interval is predicted with, shape (places, p)."""
        mixed: FloatArray = (self._mixture.weights[..., np.newaxis] * self._fits.weights[0]).sum(axis=1)
        return mixed

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Within which the idle power lies; shapes (places,), NaN where nothing is known."""
        reach = _BOUND * self.floors.error
        return np.maximum(self.floors.watts - reach, 0.0), self.floors.watts + reach

    def add_place(self, weights: FloatArray | None, zone: str = "", *, has_cores: bool = True) -> None:
        """One more place; weights, shape (p,), are in force from the start, None for nothing.

        zone: places of one zone have the same features in force; those of a zone without cores have none of
        the competing ones.
        """
        n_features = self.in_force.shape[1]
        given = np.zeros(n_features) if weights is None else weights
        self.in_force = np.vstack([self.in_force, given])
        self.contests.append(Contest(warm_up=n_features, is_set=weights is not None))
        sleeps = self._competing.index(self._awake) if self._awake is not None else None
        self._sets.setdefault(zone, FeatureContest(len(self._competing), sleeps))
        self._zones.append(zone)
        self._of_cores = np.append(self._of_cores, has_cores and bool(self._competing))
        self._leads = np.append(self._leads, False)
        for each in self._sets:
            self._places_of[each] = self._of_cores & [of == each for of in self._zones]
        self.is_anchored = np.append(self.is_anchored, False)
        self._fits.add_place(given)
        self._mixture.add_place()
        self.floors.add_place()
        self._usual_error = np.vstack([self._usual_error, np.zeros(len(FORGETTING))])

    def put_in_force(self, place: int, weights: FloatArray) -> None:
        """Put weights, shape (p,), in force at one place without a contest."""
        self.in_force[place], self._leads[place] = weights, False
        self.contests[place].put_in_force()

    def features_in_force(self, place: int) -> list[int]:
        """The competing features that the place's zone is predicted with."""
        return list(compress(self._competing, self._sets[self._zones[place]].in_force))

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
        said = self._fits.predict(features)
        errors = np.abs(said - watts[:, np.newaxis])
        self._judge_features(features, errors[..., -1], watts, usable)
        trust = self._trust(errors[0], watts, usable)
        self._mixture.learn(errors[0], usable.astype(np.float64))
        self._fits.learn(features, watts, trust)
        may_sleep = np.array([self._sets[zone].may_sleep for zone in self._zones]) & self._of_cores
        self.floors.learn(features[:, 1:], watts, self.shadow[:, 1:], usable, may_sleep, seconds)
        self._find_anchors()
        self._solve()
        return self._promote(watts, usable)

    def restore_anchor(self, place: int, watts: float, error: float, age_seconds: float) -> None:
        """What was seen before a restart while next to nothing ran; see Floors."""
        self.floors.restore(place, watts, error, age_seconds)
        self._find_anchors()

    def hotplug(self) -> None:
        """CPUs came or went: idle power is another one, the coefficients hardly."""
        self._fits.doubt(_KEPT_AFTER_HOTPLUG)
        self.floors.forget()
        self._find_anchors()
        self._leads[:] = False
        for contest in self.contests:
            contest.restart()

    def _find_anchors(self) -> None:
        with np.errstate(invalid="ignore"):
            self.is_anchored = self.floors.error <= ANCHORED * self.floors.watts

    def _judge(self, features: FloatArray, watts: FloatArray, usable: BoolArray) -> None:
        in_force, shadow = ((weights * features).sum(axis=1) for weights in (self.in_force, self.shadow))
        said = np.stack([watts, in_force, shadow], axis=1)[usable].tolist()
        for contest, interval in zip(compress(self.contests, usable), said, strict=True):
            contest.judge(*interval)

    def _judge_features(
        self, features: FloatArray, errors: FloatArray, watts: FloatArray, usable: BoolArray
    ) -> None:
        """Each zone's features in force and its challenger, by the fit that forgets least; errors: shape
        (variants, places)."""
        if not self._competing:
            return
        losses = np.minimum(errors / np.maximum(watts, _TINY), _MOST_LOSS)
        seen = features[:, self._competing] > 0
        longest = self._fits.weights[0, :, -1]
        for zone, contest in self._sets.items():
            places = np.flatnonzero(usable & self._places_of[zone])
            if len(places):
                contest.offer([bool(column.any()) for column in seen[places].T])
                awake, idle = longest[places].mean(axis=0)[[self._awake or 0, 0]].tolist()
                error, challenger = losses[:, places].mean(axis=1).tolist()
                contest.judge(error, challenger, awake / max(idle, _TINY))

    def _trust(self, errors: FloatArray, watts: FloatArray, usable: BoolArray) -> FloatArray:
        """Huber's weight of the sample in each fit; the usual error follows, unmoved by outliers."""
        kept = usable[:, np.newaxis]
        share = np.where(self._usual_error > 0, _LEAST_ERROR, _FIRST_ERROR)
        started = np.maximum(self._usual_error, share * watts[:, np.newaxis])
        followed = started + _ERROR_RATE * (np.minimum(errors, 4 * started) - started)
        self._usual_error = np.where(kept, followed, self._usual_error)
        limit = _HUBER * started
        return np.where(kept, limit / np.maximum(np.maximum(limit, errors), _TINY), 0.0)

    def _solve(self) -> None:
        sets = [self._sets[zone] for zone in self._zones]
        held = np.zeros((len(self._fits.weights), *self.in_force.shape), dtype=np.bool_)
        if self._competing:
            chosen = np.array([[each.in_force for each in sets], [each.challenge for each in sets]])
            held[:, :, self._competing] = ~(chosen & self._of_cores[:, np.newaxis])
        anchored = np.broadcast_to(self.is_anchored, held.shape[:2]).copy()
        # Where awake time is told apart, the floor without it guides the split until the socket has slept.
        anchored[0] |= [each.knows_sleep for each in sets] & self._of_cores
        known = np.isfinite(self.floors.watts)
        floor, error = np.where(known, self.floors.watts, 0.0), np.where(known, self.floors.error, 1.0)
        sure = np.minimum(1.0, _WELL_KNOWN * floor / np.maximum(error, _TINY)) ** 2
        pull = np.where(anchored & known, sure * np.where(self._of_cores, _PULL_OF_CORES, _PULL), 0.0)
        self._fits.solve(self.in_force, held, pull, floor)
        self._held = held[0]

    def _promote(self, watts: FloatArray, usable: BoolArray) -> Sequence[int]:
        """Put the shadow in force where it leads, or has won."""
        won = ~self._leads & usable & [contest.shadow_has_won for contest in self.contests]
        if won.any():
            won &= self._knows_idle(watts) | self.is_anchored
        self._leads |= won
        self.in_force = np.where((self._leads & usable)[:, np.newaxis], self._bounded(), self.in_force)
        for contest in compress(self.contests, won):
            contest.promote()
        return np.flatnonzero(won).tolist()

    def _bounded(self) -> FloatArray:
        """The shadow, its idle power within the bounds where they are known."""
        shadow, (low, high) = self.shadow, self.bounds()
        shadow[:, 0] = np.fmax(np.fmin(shadow[:, 0], high), low)
        return shadow

    def _knows_idle(self, watts: FloatArray) -> BoolArray:
        """Whether the fit that is believed most tells the intercept from the rest; shape (places,)."""
        places, leader = np.arange(len(watts)), self._mixture.weights.argmax(axis=1)
        inflation = self._fits.inflation(leader, self._held)
        noise = self._usual_error[places, leader]
        samples = 1 / (1 - FORGETTING[leader])
        error = noise * np.sqrt(inflation / samples)
        knows: BoolArray = (inflation <= _MOST_INFLATION) & (error <= _MOST_IDLE_ERROR * watts)
        return knows
