"""The power of doing nothing, from the intervals that came nearest to it; arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from estimator.calibration.fit.nnls import BoolArray
from estimator.energy import FloatArray

# So many intervals a place are remembered: those that say most.
_REMEMBERED = 48

# What the load of an interval draws is known to this share of it, its power to this share of that; and where
# nothing tells what being awake costs, that may be this share of what is left.
_LOAD_ERROR, _METER_ERROR, _AWAKE_ERROR = 0.2, 0.01, 0.25

# What was seen so long ago is off by this share more: the room cools, a fan turns slower.
_DRIFT_PER_SECOND = 0.03 / 600

# No fewer than so many intervals make a floor, however much better one of them looks than the rest; and so
# many quiet ones in a row that all say something else are another floor.
_LEAST = 5
# Among them all, the one with this share of the weight below it: what is not known to be load is load.
_QUANTILE = 0.4

_QUIET = 0.06  # an error of this share of power is a quiet interval's
_FAR = 3.0  # errors off is another power
_RECENT_SECONDS = 300.0
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class _Priced:
    """What intervals leave for idling, and how far that may be off; same shapes."""

    watts: FloatArray
    error: FloatArray


class Floors:
    """A floor a place: watts, and error, within which it is known; both (places,), NaN before the first.

    What an interval says is its power less what the weights in force make of its load, priced anew whenever
    those change; how well it says it goes with how little load there was, and fades with time. The floor is
    their weighted quantile, so that no single reading moves it; when readings of a quiet machine agree, one
    after the other, on something else, those before are forgotten. awake: the feature that is the awake time,
    None where there is none.
    """

    def __init__(self, n_features: int, awake: int | None = None) -> None:
        self._awake = awake
        self._features = np.zeros((0, _REMEMBERED, n_features))
        self._power = np.zeros((0, _REMEMBERED))
        self._at = np.zeros((0, _REMEMBERED))
        self._against = np.zeros(0)
        self._now = 0.0
        self.watts, self.error = np.zeros(0), np.zeros(0)

    def add_place(self) -> None:
        """One more place, of which nothing is known."""
        n_features = self._features.shape[2]
        self._features = np.concatenate([self._features, np.zeros((1, _REMEMBERED, n_features))])
        self._power = np.concatenate([self._power, np.full((1, _REMEMBERED), np.nan)])
        self._at = np.concatenate([self._at, np.zeros((1, _REMEMBERED))])
        self._against = np.append(self._against, 0.0)
        self.watts, self.error = np.append(self.watts, np.nan), np.append(self.error, np.nan)

    def restore(self, place: int, watts: float, error: float, age_seconds: float) -> None:
        """As many intervals as it takes said so, so long ago."""
        self._power[place, :_LEAST], self._features[place, :_LEAST] = watts, 0.0
        self._at[place, :_LEAST] = self._now - age_seconds
        self.watts[place], self.error[place] = watts, error

    def age_seconds(self, place: int) -> float:
        """How long ago the newest of its quiet intervals was."""
        known = np.isfinite(self._power[place])
        return float(self._now - self._at[place, known].max()) if known.any() else 0.0

    def forget(self) -> None:
        """The machine is another: its floors are too."""
        self._power[:] = np.nan
        self.watts[:] = self.error[:] = np.nan

    def learn(
        self,
        features: FloatArray,
        power: FloatArray,
        weights: FloatArray,
        usable: BoolArray,
        sleeps_unknown: BoolArray,
        seconds: float,
    ) -> None:
        """Take in one interval. features, weights: shape (places, n_features), without the constant.

        sleeps_unknown: shape (places,), where being awake may cost something and no weight says what.
        """
        self._now += seconds
        unknown = np.where(sleeps_unknown, _AWAKE_ERROR, 0.0)
        now = self._price(features[:, np.newaxis], power[:, np.newaxis], weights, unknown)
        kept = self._price(self._features, self._power, weights, unknown)
        usable = usable & (self._power.shape[1] > 0)
        self._notice_steps(now, kept, usable)
        doubt = self._doubt(kept, power)
        self._remember(features, power, now, doubt, usable)
        kept = self._price(self._features, self._power, weights, unknown)
        self._take_quantile(kept.watts, self._doubt(kept, power))

    def _price(
        self, features: FloatArray, power: FloatArray, weights: FloatArray, unknown: FloatArray
    ) -> _Priced:
        load = (features @ weights[:, :, np.newaxis])[..., 0]
        left = np.maximum(power - load, 0.0)
        error = _LOAD_ERROR * load + _METER_ERROR * power
        if self._awake is not None:
            error = error + unknown[:, np.newaxis] * np.minimum(features[..., self._awake], 1.0) * left
        return _Priced(left, error)

    def _notice_steps(self, now: _Priced, kept: _Priced, usable: BoolArray) -> None:
        """Forget what came before where quiet intervals, one after the other, lie on one side of it."""
        left, error = now.watts[:, 0], now.error[:, 0]
        quiet = usable & ((error <= 1.5 * self.error) | (error < _QUIET * (left + _TINY)))
        off = left - self.watts
        side = np.where(quiet & (np.abs(off) > _FAR * error), np.sign(off), 0.0)
        goes_on = np.where(side * self._against > 0, self._against + side, side)
        self._against = np.where(quiet, goes_on, self._against)
        for place in np.flatnonzero(np.abs(self._against) >= _LEAST):
            agrees = np.abs(kept.watts[place] - left[place]) < _FAR * (error[place] + kept.error[place])
            agrees &= (kept.watts[place] - self.watts[place]) * self._against[place] > 0
            agrees &= self._at[place] > self._now - _RECENT_SECONDS
            self._power[place, ~agrees] = np.nan
            self._against[place] = 0.0

    def _doubt(self, kept: _Priced, power: FloatArray) -> FloatArray:
        """How far off each of the intervals may be by now; inf where there is none."""
        level = np.where(np.isfinite(self.watts), self.watts, power)[:, np.newaxis]
        doubt = kept.error + _DRIFT_PER_SECOND * level * (self._now - self._at)
        return np.where(np.isfinite(self._power), doubt, np.inf)

    def _remember(
        self, features: FloatArray, power: FloatArray, now: _Priced, doubt: FloatArray, usable: BoolArray
    ) -> None:
        """Put the interval in the place of the one that says least."""
        places, least = np.arange(len(doubt)), doubt.argmax(axis=1)
        better = usable & (now.error[:, 0] < doubt[places, least])
        at = places[better], least[better]
        self._features[at], self._power[at], self._at[at] = features[better], power[better], self._now

    def _take_quantile(self, left: FloatArray, doubt: FloatArray) -> None:
        doubt = np.where(np.isfinite(self._power), doubt, np.inf)
        even = np.partition(doubt, _LEAST - 1, axis=1)[:, _LEAST - 1 : _LEAST]
        doubt = np.maximum(np.maximum(doubt, even), _TINY)
        weight = np.where(np.isfinite(doubt), doubt, 1.0) ** -4.0 * np.isfinite(doubt)
        order = np.argsort(np.where(weight > 0, left, 0.0), axis=1)
        below = np.take_along_axis(weight, order, axis=1).cumsum(axis=1)
        total, places = below[:, -1], np.arange(len(left))
        chosen = order[places, (below >= _QUANTILE * total[:, np.newaxis]).argmax(axis=1)]
        known = total > 0
        mean = (np.where(weight > 0, doubt, 0.0) * weight).sum(axis=1) / np.where(known, total, 1.0)
        self.watts = np.where(known, left[places, chosen], np.nan)
        self.error = np.where(known, mean, np.nan)
