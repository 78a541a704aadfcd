"""A power model in memory: what it predicts for a node's usage, and within which interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from estimator.estimate import Estimate, Features
from estimator.load_margin import LoadMargin, load_of
from estimator.specification import Scaling, Specification
from estimator.trees_zone import TreesZone

__all__ = ["CurveZone", "Estimate", "Features", "LinearZone", "Machine", "PowerModel", "TreesZone", "Zone"]

# CPU time and the interval are read from different clocks a moment apart: a full load may read 1.01.
_SLACK = 0.02


@dataclass(frozen=True, slots=True)
class Machine:
    """What the model was made on; None where the table does not say."""

    vendor: str | None
    family: int | None
    model: int | None
    microarchitecture: str | None
    cores: int | None
    sockets: int | None
    tdp_watts: float | None


@dataclass(frozen=True, slots=True)
class CurveZone:
    """Power against load between an idle and a full-load draw, per logical CPU.

    E = n_cpu · (idle + (full - idle) · g(load)) · Δt, with load = cpu_seconds / (n_cpu · Δt) held in [0, 1]
    and g piecewise linear through (load, draw), from (0, 0) to (1, 1). idle_factor, full_factor ≥ 1: the
    true idle and full-load watts lie between watts / factor and watts · factor with the given coverage.
    scaling: what a known specification makes of the ends.
    """

    idle_watts_per_cpu: float
    full_watts_per_cpu: float
    load: tuple[float, ...]
    draw: tuple[float, ...]
    idle_factor: float
    full_factor: float
    coverage: float
    scaling: Scaling | None = None

    def for_machine(self, specification: Specification) -> CurveZone:
        """The same curve between the ends of a machine of this specification."""
        if self.scaling is None:
            return self
        idle, full = self.scaling.watts(specification)
        return replace(self, idle_watts_per_cpu=idle, full_watts_per_cpu=full)

    def between(self, idle_watts_per_cpu: float, full_watts_per_cpu: float, factor: float) -> CurveZone:
        """The same curve between ends that were measured to within a factor."""
        return replace(
            self,
            idle_watts_per_cpu=idle_watts_per_cpu,
            full_watts_per_cpu=full_watts_per_cpu,
            idle_factor=factor,
            full_factor=factor,
        )

    def idle_watts(self, n_cpu: int) -> float:
        """The draw of the whole machine at no load, watts."""
        return n_cpu * self.idle_watts_per_cpu

    def needs(self) -> frozenset[str]:
        """The features that a prediction needs."""
        return frozenset({"cpu_seconds"})

    def coefficients(self) -> Features:
        """Joules per unit of each feature, for sharing energy out."""
        return {"cpu_seconds": self.full_watts_per_cpu - self.idle_watts_per_cpu}

    def covers(self, features: Features, n_cpu: int, interval_seconds: float) -> bool:  # noqa: ARG002
        """True: a curve holds between its ends, whatever the load."""
        return True

    def predict(self, features: Features, n_cpu: int, interval_seconds: float) -> Estimate:
        """The energy of an interval. The straight line bounds it from below: g's bend is uncertain too."""
        capacity = n_cpu * interval_seconds
        load = min(1.0, features["cpu_seconds"] / capacity) if capacity > 0 else 0.0
        bend = float(np.interp(load, self.load, self.draw))
        idle, full = self.idle_watts_per_cpu, self.full_watts_per_cpu
        low_idle, high_idle = idle / self.idle_factor, idle * self.idle_factor
        low_full, high_full = max(low_idle, full / self.full_factor), max(high_idle, full * self.full_factor)
        joules = capacity * _between(idle, full, bend)
        low = capacity * _between(low_idle, low_full, min(load, bend))
        high = capacity * _between(high_idle, high_full, max(load, bend))
        return Estimate(joules, min(low, joules), max(high, joules))


@dataclass(frozen=True, slots=True)
class LinearZone:
    """E = idle · Δt + Σ coefficient_f · x_f, for the whole node.

    coefficients: joules per unit of the feature, ≥ 0. interval_watts: the true power lies within this of the
    prediction with the given coverage; margin: the same by load. held: by feature the most that counts, per
    CPU-second of the machine's capacity: where more energy than was seen cannot be told, none is added.
    """

    idle: float
    coefficient_by_feature: Features
    interval_watts: float
    coverage: float
    held: Features = field(default_factory=dict)
    margin: LoadMargin | None = None

    def idle_watts(self, n_cpu: int) -> float:  # noqa: ARG002  a linear model is of one machine, whatever its CPUs
        """The draw of the whole machine at no load, watts."""
        return self.idle

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
        joules = self.idle * interval_seconds + active
        load = load_of(features.get("cpu_seconds"), n_cpu, interval_seconds)
        inside = self.covers(features, n_cpu, interval_seconds)
        watts = self.margin.at(load, inside=inside) if self.margin else self.interval_watts
        return Estimate(
            joules, max(0.0, joules - watts * interval_seconds), joules + watts * interval_seconds
        )


Zone = CurveZone | LinearZone | TreesZone


@dataclass(frozen=True, slots=True)
class PowerModel:
    """A model file, checked.

    features: unit by feature. zones: by zone name. envelope: by feature, the least and the most seen in
    training per CPU-second (cpu_seconds: per CPU-second of the machine's capacity, so 0 to 1). scores: by
    split, then zone. training: rows, source, sha256 of the table. sha256: of the file's content.
    """

    name: str
    created: str
    machine: Machine
    features: Mapping[str, str]
    zones: Mapping[str, Zone]
    envelope: Mapping[str, tuple[float, float]]
    scores: Mapping[str, Any]
    training: Mapping[str, Any]
    sha256: str

    def is_within_envelope(self, features: Features, n_cpu: int, interval_seconds: float) -> bool:
        """False where some feature lies outside what the model has seen, or a zone's limits cut it short."""
        covered = (
            zone.covers(features, n_cpu, interval_seconds)
            for zone in self.zones.values()
            if zone.needs() <= features.keys()
        )
        return self._is_familiar(features, n_cpu, interval_seconds) and all(covered)

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


def _between(idle: float, full: float, share: float) -> float:
    return idle + (full - idle) * share
