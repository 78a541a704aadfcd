"""Online calibration: the meter teaches what idling costs and what each counter costs, tick by tick."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from estimator.energy import FloatArray, Usage, ZoneEnergy
from estimator.fit_samples import FIT_FEATURES, Sample, SampleReader
from estimator.online_fit import OnlineFit
from estimator.promotion import BoolArray
from estimator.zone_calibration import (
    FITTED,
    NO_METHOD,
    PRIOR,
    RESTORED,
    Fit,
    ZoneCalibration,
    to_coefficients,
    to_fit,
    to_weights,
)

log = logging.getLogger(__name__)

# More than any machine has (8 sockets of 4 zones): beyond it the work of a tick would not be bounded.
MAX_PLACES = 64

Coefficients = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class _Place:
    """A zone at a path, which is one row of the online fit.

    share: of the zone's idle power, that a prior gives for the whole machine. origin: method until the first
    promotion.
    """

    row: int
    zone: str
    socket: int | None
    path: str
    share: float
    origin: str


class Calibration:
    """Learns from every tick and serves the next one; for one thread.

    A tick is: energies = prepare(measure(usage)); attribute(energies, usage, coefficients(), …);
    learn(energies, usage). So what is in force has never seen the interval that it shares out.
    socket_index: as attribution has it. priors: by zone, for the whole machine, what a shipped model says.
    restored: by path, what was in force before a restart; goes before a prior. is_frozen: learns nothing and
    serves what it was given. skipped: intervals that could not be learned from, by reason.
    """

    def __init__(
        self,
        socket_index: Mapping[int, int],
        priors: Mapping[str, Fit] | None = None,
        restored: Mapping[str, Fit] | None = None,
        *,
        is_frozen: bool = False,
    ) -> None:
        self.skipped: dict[str, int] = {}
        self._priors, self._restored = priors or {}, restored or {}
        self._is_frozen = is_frozen
        self._samples = SampleReader(socket_index)
        self._fit = OnlineFit(1 + len(FIT_FEATURES))
        self._places: dict[str, _Place] = {}
        self._n_cpu: int | None = None
        self._coefficients: Coefficients = {}

    def prepare(self, energies: Sequence[ZoneEnergy]) -> list[ZoneEnergy]:
        """The energies with idle_watts where it is established; one that has it already keeps its own."""
        self._admit(energies)
        return [self._with_idle(energy) for energy in energies]

    def coefficients(self) -> Coefficients:
        """Joules per unit of each feature by zone, as estimator.attribution wants them: the mean over the
        sockets where they are established. A zone where they are nowhere is not in it."""
        return self._coefficients

    def learn(self, energies: Sequence[ZoneEnergy], usage: Usage) -> None:
        """Take in one interval; what cannot be learned from is counted in `skipped`."""
        if self._is_frozen:
            return
        self._admit(energies)
        features, watts, usable = self._rows(energies, self._read(energies, usage))
        before = self._fit.incumbents.promotions
        self._fit.learn(features, watts, usable, usage.interval_seconds)
        promoted = self._fit.incumbents.promotions > before
        if promoted.any():
            self._announce(promoted & (before == 0))
            self._coefficients = self._averaged()

    def replace_priors(self, priors: Mapping[str, Fit]) -> None:
        """Another model is the prior from now on, wherever nothing measured has taken its place."""
        self._priors = priors
        for path, place in self._places.items():
            prior = priors.get(place.zone)
            if prior and place.origin != RESTORED and not self._fit.incumbents.promotions[place.row]:
                self._fit.incumbents.replace(place.row, to_weights(prior, place.share))
                self._places[path] = replace(place, origin=PRIOR)
        self._coefficients = self._averaged()

    def status(self) -> list[ZoneCalibration]:
        """How every zone at every path stands, in the order first seen."""
        return [self._status(place) for place in self._places.values()]

    def fits(self) -> dict[str, Fit]:
        """What is in force by path, to be kept for `restored`."""
        return {status.path: status.fit for status in self.status() if status.fit is not None}

    def _admit(self, energies: Sequence[ZoneEnergy]) -> None:
        """Make a row for each path that is new."""
        new = [energy for energy in energies if energy.path not in self._places]
        for energy in new[: MAX_PLACES - len(self._places)]:
            share = 1 / sum(other.zone == energy.zone for other in energies)
            self._add_place(energy, share, *self._starting_point(energy, share))
        if new:
            self._coefficients = self._averaged()

    def _starting_point(self, energy: ZoneEnergy, share: float) -> tuple[FloatArray | None, float, str]:
        """Weights in force from the start, the least power known, and where they come from."""
        if restored := self._restored.get(energy.path):
            return to_weights(restored), restored.minimum_watts, RESTORED
        if prior := self._priors.get(energy.zone):
            return to_weights(prior, share), math.inf, PRIOR
        return None, math.inf, NO_METHOD

    def _add_place(
        self, energy: ZoneEnergy, share: float, weights: FloatArray | None, minimum_watts: float, origin: str
    ) -> None:
        self._fit.add_row(weights, minimum_watts)
        place = _Place(len(self._places), energy.zone, energy.socket, energy.path, share, origin)
        self._places[energy.path] = place

    def _with_idle(self, energy: ZoneEnergy) -> ZoneEnergy:
        place = self._places.get(energy.path)
        if energy.idle_watts is not None or place is None or not self._is_set(place):
            return energy
        return replace(energy, idle_watts=float(self._fit.incumbents.weights[place.row, 0]))

    def _read(self, energies: Sequence[ZoneEnergy], usage: Usage) -> list[Sample]:
        samples = self._samples.read(energies, usage)
        previous, self._n_cpu = self._n_cpu, usage.n_cpu
        if previous in (None, usage.n_cpu):
            return samples
        self._fit.hotplug()
        return [replace(sample, reason=sample.reason or "hotplug") for sample in samples]

    def _rows(
        self, energies: Sequence[ZoneEnergy], samples: Sequence[Sample]
    ) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Features, watts and whether to learn from them, in the order of the fit's rows."""
        features = np.zeros((len(self._places), 1 + len(FIT_FEATURES)))
        watts, usable = np.zeros(len(features)), np.zeros(len(features), dtype=np.bool_)
        for energy, sample in zip(energies, samples, strict=True):
            place = self._places.get(energy.path)
            if sample.reason or place is None:
                reason = sample.reason or "too many zones"
                self.skipped[reason] = self.skipped.get(reason, 0) + 1
            else:
                features[place.row], watts[place.row], usable[place.row] = sample.features, sample.watts, True
        return features, watts, usable

    def _averaged(self) -> Coefficients:
        rows: dict[str, list[int]] = {}
        for place in self._places.values():
            if self._is_set(place):
                rows.setdefault(place.zone, []).append(place.row)
        weights = self._fit.incumbents.weights
        return {zone: to_coefficients(weights[numbers].mean(axis=0)) for zone, numbers in rows.items()}

    def _announce(self, first: BoolArray) -> None:
        for place in self._places.values():
            if first[place.row]:
                watts = self._fit.incumbents.weights[place.row, 0]
                log.info("%s at %s: idle power is established at %.1f W", place.zone, place.path, watts)

    def _is_set(self, place: _Place) -> bool:
        return bool(self._fit.incumbents.is_set[place.row])

    def _status(self, place: _Place) -> ZoneCalibration:
        row, incumbents = place.row, self._fit.incumbents
        minimum = float(self._fit.minimum_watts[row])
        return ZoneCalibration(
            zone=place.zone,
            socket=place.socket,
            path=place.path,
            method=FITTED if incumbents.promotions[row] else place.origin,
            fit=to_fit(incumbents.weights[row], minimum) if self._is_set(place) else None,
            error_watts=float(incumbents.error_watts[row]),
            shadow_error_watts=float(incumbents.shadow_error_watts[row]),
            promotions=int(incumbents.promotions[row]),
        )
