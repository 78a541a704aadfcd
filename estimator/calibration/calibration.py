"""Online calibration: the meter teaches what idling costs and what each counter costs, tick by tick."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from estimator.calibration.fit.contest import Contest
from estimator.calibration.fit.nnls import BoolArray
from estimator.calibration.fit.online import OnlineFit
from estimator.calibration.observations import Observation, ObservationReader
from estimator.calibration.place import (
    ANCHORED,
    FITTED,
    GIVEN,
    NO_METHOD,
    NOT_SEEN,
    PRIOR,
    RESTORED,
    TWIN,
    Anchor,
    Fit,
    IdlePower,
    ZoneCalibration,
    to_coefficients,
    to_weights,
)
from estimator.energy import FloatArray, Usage, ZoneEnergy
from estimator.features import COMPETING, LEARNED, Coefficients

log = logging.getLogger(__name__)

# More than any machine has (8 sockets of 4 zones): beyond it the work of a tick would not be bounded.
MAX_PLACES = 64

# Without cores in it a zone knows no siblings, no clocks and no sleep.
_WITHOUT_CORES = ("dram",)
_COLUMN = {name: 1 + at for at, name in enumerate(LEARNED)}

# A user's figure is right to this share; a socket alike is as this one to this share.
_GIVEN_ERROR, _ALIKE = 0.15, 0.15


def new_fit() -> OnlineFit:
    """A fit of what an ObservationReader reads; add_zone gives it places."""
    return OnlineFit(1 + len(LEARNED), [_COLUMN[name] for name in COMPETING], _COLUMN["awake_seconds"])


def add_zone(fit: OnlineFit, zone: str, weights: FloatArray | None = None) -> None:
    """One more place of a zone; weights are in force there from the start."""
    fit.add_place(weights, zone, has_cores=zone not in _WITHOUT_CORES)


@dataclass(frozen=True, slots=True)
class _Place:
    """A zone at a path.

    index: in the arrays of the online fit. contest: how its fit stands. share: of the zone's idle power, that
    a prior gives for the whole machine. origin: method until the first promotion.
    """

    index: int
    contest: Contest
    zone: str
    socket: int | None
    path: str
    share: float
    origin: str


def place_of(energy: ZoneEnergy) -> str:
    """The name of a zone at a path: a path may come back as another zone, whose power is another."""
    return f"{energy.zone} {'' if energy.socket is None else energy.socket} {energy.path}"


class Calibration:
    """Learns from every tick and serves the next one; for one thread.

    A tick is: energies = prepare(measure(usage)); attribute(energies, usage, coefficients(), …);
    learn(energies, usage). So what is in force has never seen the interval that it shares out.
    socket_index: as attribution has it. priors: by zone, for the whole machine, what a shipped model says.
    restored: by place, as `fits` gives it, what was in force before a restart; goes before a prior. given: by
    zone, the idle watts of the whole machine as its user knows them.
    is_frozen: learns nothing and serves what it was given. skipped: intervals that could not be learned from,
    by reason.
    """

    def __init__(
        self,
        socket_index: Mapping[int, int],
        priors: Mapping[str, Fit] | None = None,
        restored: Mapping[str, Fit] | None = None,
        *,
        given: Mapping[str, float] | None = None,
        is_frozen: bool = False,
    ) -> None:
        self.skipped: dict[str, int] = {}
        self._priors, self._restored = priors or {}, restored or {}
        self._given = given or {}
        self._is_frozen = is_frozen
        self._observations = ObservationReader(socket_index)
        self._fit = new_fit()
        self._places: dict[str, _Place] = {}  # by place_of
        self._n_cpu: int | None = None
        self._coefficients: Coefficients = {}

    def prepare(self, energies: Sequence[ZoneEnergy]) -> list[ZoneEnergy]:
        """The energies with idle_watts where it is established; one that has it already keeps its own."""
        self._admit(energies)
        return [self._with_idle(energy) for energy in energies]

    def coefficients(self) -> Coefficients:
        """Joules per unit of each feature by zone, as attribution.shares wants them: the mean over the
        sockets where they are established. A zone where they are nowhere is not in it."""
        return self._coefficients

    def learn(self, energies: Sequence[ZoneEnergy], usage: Usage) -> None:
        """Take in one interval; what cannot be learned from is counted in `skipped`."""
        if self._is_frozen:
            return
        self._admit(energies)
        promoted = self._fit.learn(*self._stack(energies, usage), usage.interval_seconds)
        self._announce(promoted)
        self._coefficients = self._averaged()

    def replace_priors(self, priors: Mapping[str, Fit]) -> None:
        """Another model is the prior from now on, wherever nothing measured has taken its place."""
        self._priors = priors
        for name, place in self._places.items():
            prior = priors.get(place.zone)
            if prior and place.origin != RESTORED and not place.contest.promotions:
                self._fit.put_in_force(place.index, to_weights(prior, place.share))
                self._places[name] = replace(place, origin=PRIOR)
        self._coefficients = self._averaged()

    def follow(self, socket_index: Mapping[int, int]) -> None:
        """The machine has other sockets from now on."""
        self._observations.follow(socket_index)

    def status(self) -> list[ZoneCalibration]:
        """How every zone at every path stands, in the order first seen."""
        return [self._status(place) for place in self._places.values()]

    def fits(self) -> dict[str, Fit]:
        """What is in force by place, to be kept for `restored`."""
        return {name: fit for name, place in self._places.items() if (fit := self._status(place).fit)}

    def _admit(self, energies: Sequence[ZoneEnergy]) -> None:
        """Make a place for each zone at a path that is new; the prior's idle power is shared anew then."""
        new = [energy for energy in energies if place_of(energy) not in self._places]
        for energy in new[: MAX_PLACES - len(self._places)]:
            share = 1 / (1 + sum(place.zone == energy.zone for place in self._places.values()))
            self._share_prior(energy.zone, share)
            self._add_place(energy, share)
        if new:
            self._coefficients = self._averaged()

    def _share_prior(self, zone: str, share: float) -> None:
        """A zone is at one place more: sockets that appear one after the other have one prior together."""
        for name, place in self._places.items():
            if place.zone == zone:
                self._places[name] = replace(place, share=share)
                if place.origin == PRIOR and not place.contest.promotions:
                    self._fit.put_in_force(place.index, to_weights(self._priors[zone], share))

    def _restored_at(self, energy: ZoneEnergy) -> Fit | None:
        # Before there were places, a path alone named what was kept.
        return self._restored.get(place_of(energy), self._restored.get(energy.path))

    def _add_place(self, energy: ZoneEnergy, share: float) -> None:
        """With weights in force from the start, where a restart or a model left any."""
        restored, prior = self._restored_at(energy), self._priors.get(energy.zone)
        origin = RESTORED if restored else PRIOR if prior else NO_METHOD
        weights = to_weights(restored) if restored else to_weights(prior, share) if prior else None
        add_zone(self._fit, energy.zone, weights)
        index = len(self._places)
        if restored and (anchor := restored.anchor):
            self._fit.restore_anchor(index, anchor.watts, anchor.error_watts, anchor.age_seconds)
        contest = self._fit.contests[-1]
        place = _Place(index, contest, energy.zone, energy.socket, energy.path, share, origin)
        self._places[place_of(energy)] = place

    def _with_idle(self, energy: ZoneEnergy) -> ZoneEnergy:
        place = self._places.get(place_of(energy))
        if energy.idle_watts is not None or place is None:
            return energy
        idle = self._idle(place)
        return energy if idle.method == NO_METHOD else replace(energy, idle_watts=idle.watts)

    def _idle(self, place: _Place) -> IdlePower:
        """By the surest of the ways in which it is known."""
        fit, at = self._fit, place.index
        own = float(fit.in_force[at, 0])
        bounds = (float(bound[at]) for bound in fit.bounds())
        low, high = (
            float(widest(bound, own)) for widest, bound in zip((np.fmin, np.fmax), bounds, strict=True)
        )
        if place.contest.is_set and fit.is_anchored[at]:
            return IdlePower(ANCHORED, own, low, high, fit.floors.age_seconds(at))
        if place.zone in self._given:
            watts = self._given[place.zone] * place.share
            return IdlePower(GIVEN, watts, watts * (1 - _GIVEN_ERROR), watts * (1 + _GIVEN_ERROR))
        if not place.contest.is_set:
            return IdlePower(NO_METHOD, math.nan)
        if twin := self._twin(place, own, low, high):
            watts = float(fit.in_force[twin.index, 0])
            return IdlePower(TWIN, watts, watts * (1 - _ALIKE), watts * (1 + _ALIKE))
        if place.contest.promotions:
            return IdlePower(NOT_SEEN, own, low, high)
        return IdlePower(place.origin, own)

    def _twin(self, place: _Place, own: float, low: float, high: float) -> _Place | None:
        """The socket whose own idle power was seen and is nearest to what this one's fit says; None where
        there is none alike. The sockets of a machine are of one model."""
        others = [
            (abs(float(self._fit.in_force[other.index, 0]) - own), other.index, other)
            for other in self._places.values()
            if other.zone == place.zone and other.socket is not None and self._fit.is_anchored[other.index]
        ]
        off, at, twin = min(others, default=(math.inf, 0, None))
        is_within = not low > self._fit.floors.watts[at] and not high < self._fit.floors.watts[at]
        return twin if off <= _ALIKE * own and is_within else None

    def _observe(self, energies: Sequence[ZoneEnergy], usage: Usage) -> list[Observation]:
        observations = self._observations.read(energies, usage)
        previous, self._n_cpu = self._n_cpu, usage.n_cpu
        if previous in (None, usage.n_cpu):
            return observations
        self._fit.hotplug()
        return [replace(each, reason=each.reason or "hotplug") for each in observations]

    def _stack(
        self, energies: Sequence[ZoneEnergy], usage: Usage
    ) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Features, watts and whether to learn from them, place by place."""
        features = np.zeros_like(self._fit.in_force)
        watts, usable = np.zeros(len(features)), np.zeros(len(features), dtype=np.bool_)
        for energy, seen in zip(energies, self._observe(energies, usage), strict=True):
            place = self._places.get(place_of(energy))
            if seen.reason or place is None:
                reason = seen.reason or "too many zones"
                self.skipped[reason] = self.skipped.get(reason, 0) + 1
            else:
                features[place.index], watts[place.index], usable[place.index] = (
                    seen.features,
                    seen.watts,
                    True,
                )
        return features, watts, usable

    def _averaged(self) -> Coefficients:
        by_zone: dict[str, list[FloatArray]] = {}
        for place in self._places.values():
            if place.contest.is_set:
                by_zone.setdefault(place.zone, []).append(self._fit.in_force[place.index])
        return {zone: to_coefficients(np.mean(weights, axis=0)) for zone, weights in by_zone.items()}

    def _announce(self, promoted: Sequence[int]) -> None:
        for place in self._places.values():
            if place.index in promoted and place.contest.promotions == 1:
                watts = self._fit.in_force[place.index, 0]
                log.info("%s at %s: idle power is established at %.1f W", place.zone, place.path, watts)

    def _status(self, place: _Place) -> ZoneCalibration:
        contest = place.contest
        return ZoneCalibration(
            zone=place.zone,
            socket=place.socket,
            path=place.path,
            method=FITTED if contest.promotions else place.origin,
            fit=self._fit_at(place) if contest.is_set else None,
            error_watts=contest.error_watts,
            shadow_error_watts=contest.shadow_error_watts,
            promotions=contest.promotions,
            idle=self._idle(place),
        )

    def _fit_at(self, place: _Place) -> Fit:
        weights, floors, at = self._fit.in_force[place.index], self._fit.floors, place.index
        anchor = None
        if self._fit.is_anchored[at]:
            anchor = Anchor(float(floors.watts[at]), float(floors.error[at]), floors.age_seconds(at))
        return Fit(float(weights[0]), to_coefficients(weights), anchor)
