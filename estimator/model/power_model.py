"""A power model in memory: what it predicts for a node's usage, and within which interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from estimator.model.estimate import Estimate, Features
from estimator.model.margin import LoadMargin, load_of

# CPU time and the interval are read from different clocks a moment apart: a full load may read 1.01.
_SLACK = 0.02
# Of its CPUs, what a machine may have more or fewer than the one that a model was made on.
_SIZE = 0.25


@dataclass(frozen=True, slots=True)
class TrainedMachine:
    """What the model was made on; None where the table does not say."""

    vendor: str | None
    family: int | None
    model: int | None
    microarchitecture: str | None
    cores: int | None
    sockets: int | None
    tdp_watts: float | None
    cpu: str = ""


@dataclass(frozen=True, slots=True)
class LinearZone:
    """E = idle · Δt · n_cpu / trained_cpus + Σ coefficient_f · x_f, for the whole node.

    coefficients: joules per unit of the feature, ≥ 0. margin: how far off a prediction may be, by load. held:
    by feature the most that counts, per CPU-second of the machine's capacity: where more energy than was seen
    cannot be told, none is added. trained_cpus: of the machine that idle and margin are of; None: of any.
    ceiling: watts per CPU that no such machine draws more than.
    """

    idle: float
    coefficient_by_feature: Features
    margin: LoadMargin
    held: Features = field(default_factory=dict)
    trained_cpus: int | None = None
    ceiling: float = math.inf

    def idle_watts(self, n_cpu: int) -> float:
        """The draw of the whole machine at no load, watts."""
        return min(self.idle * self._scale(n_cpu), self.ceiling * n_cpu)

    def _scale(self, n_cpu: int) -> float:
        """How much larger the machine is than that of the training."""
        return n_cpu / self.trained_cpus if self.trained_cpus else 1.0

    def needs(self) -> frozenset[str]:
        """The features that a prediction needs."""
        return frozenset(self.coefficient_by_feature)

    def coefficients(self) -> Features:
        """Joules per unit of each feature, for sharing energy out."""
        return self.coefficient_by_feature

    def covers(self, features: Features, n_cpu: int, interval_seconds: float) -> bool:
        """False where a feature is held."""
        capacity = n_cpu * interval_seconds
        return all(features[name] <= most * capacity for name, most in self.held.items() if name in features)

    def predict(self, features: Features, n_cpu: int, interval_seconds: float) -> Estimate:
        """The energy of an interval; the interval never goes below zero."""
        capacity = n_cpu * interval_seconds
        active = math.fsum(
            joules
            * min(features[name], self.held.get(name, math.inf) * capacity if capacity > 0 else math.inf)
            for name, joules in self.coefficient_by_feature.items()
        )
        joules = self.idle_watts(n_cpu) * interval_seconds + active
        load = load_of(features.get("cpu_seconds"), n_cpu, interval_seconds)
        inside = self.covers(features, n_cpu, interval_seconds)
        rates = {name: value / capacity for name, value in features.items()} if capacity > 0 else {}
        watts = self.margin.at(load, inside=inside, rates=rates) * self._scale(n_cpu)
        off = watts * interval_seconds + self._beyond(rates) * capacity / 2
        return Estimate(joules, max(0.0, joules - off), joules + off).up_to(self.ceiling * capacity)

    def _beyond(self, rates: Features) -> float:
        """What features beyond where they were seen add, watts per CPU: there the slope may be another."""
        return math.fsum(
            self.coefficient_by_feature[name] * max(0.0, rates.get(name, 0.0) - limit)
            for name, (limit, _) in self.margin.growth.items()
            if name in self.coefficient_by_feature and name not in self.held
        )


class ZoneModel(Protocol):
    """A zone of a model: a curve, a sum, trees, power by specification, or one of them shared or moved."""

    def idle_watts(self, n_cpu: int) -> float:
        """The draw of the whole machine at no load, watts."""

    def needs(self) -> frozenset[str]:
        """The features that a prediction needs."""

    def coefficients(self) -> Features:
        """Joules per unit of each feature, for sharing energy out."""

    def covers(self, features: Features, n_cpu: int, interval_seconds: float) -> bool:
        """False where a feature lies beyond what the zone can tell."""

    def predict(self, features: Features, n_cpu: int, interval_seconds: float) -> Estimate:
        """The energy of an interval, and its bounds."""


@dataclass(frozen=True, slots=True)
class PowerModel:
    """A model file, checked.

    features: unit by feature. zones: by zone name. envelope: by feature, the least and the most seen in
    training per CPU-second (cpu_seconds: per CPU-second of the machine's capacity, so 0 to 1). scores: by
    split, then zone. training: rows, source, sha256 of the table. sha256: of the file's content. ceilings: by
    zone the most that this machine can draw, watts, where its specification is known; of no file.
    """

    name: str
    created: str
    machine: TrainedMachine
    features: Mapping[str, str]
    zones: Mapping[str, ZoneModel]
    envelope: Mapping[str, tuple[float, float]]
    scores: Mapping[str, Any]
    training: Mapping[str, Any]
    sha256: str
    ceilings: Mapping[str, float] = field(default_factory=dict)

    def predict(self, zone: str, features: Features, n_cpu: int, interval_seconds: float) -> Estimate:
        """The energy of a zone over an interval, no more of it than this machine can draw."""
        estimate = self.zones[zone].predict(features, n_cpu, interval_seconds)
        return estimate.up_to(self.ceilings.get(zone, math.inf) * interval_seconds)

    def idle_watts(self, zone: str, n_cpu: int) -> float:
        """The draw of a zone at no load, likewise."""
        return min(self.zones[zone].idle_watts(n_cpu), self.ceilings.get(zone, math.inf))

    def is_within_envelope(self, features: Features, n_cpu: int, interval_seconds: float) -> bool:
        """False where some feature lies outside what the model has seen, or a zone's limits cut it short."""
        covered = (
            zone.covers(features, n_cpu, interval_seconds)
            for zone in self.zones.values()
            if zone.needs() <= features.keys()
        )
        is_familiar = self._is_familiar(features, n_cpu, interval_seconds)
        return self.is_of_size(n_cpu) and is_familiar and all(covered)

    @property
    def trained_cpus(self) -> tuple[int, ...]:
        """How many logical CPUs the machines of the training had; empty where the file does not say."""
        sizes = self.training.get("n_cpu")
        told = sizes if isinstance(sizes, list) else []
        return tuple(size for size in told if isinstance(size, int) and size > 0)

    def is_of_size(self, n_cpu: int) -> bool:
        """Whether a machine is about as large as those of the training; a few CPUs may be switched off."""
        sizes = self.trained_cpus
        return not sizes or min(sizes) * (1 - _SIZE) <= n_cpu <= max(sizes) * (1 + _SIZE)

    def _is_familiar(self, features: Features, n_cpu: int, interval_seconds: float) -> bool:
        capacity = n_cpu * interval_seconds
        busy = features.get("cpu_seconds", 0.0)
        for name, (least, most) in self.envelope.items():
            per = capacity if name == "cpu_seconds" else busy
            if (
                name in features
                and per > 0
                and not least * (1 - _SLACK) <= features[name] / per <= most * (1 + _SLACK)
            ):
                return False
        return True
