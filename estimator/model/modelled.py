"""A power model as an energy source: usage in, the joules of each tick out."""

from __future__ import annotations

from collections.abc import Mapping

from estimator.energy import SourceInfo, Usage, ZoneEnergy
from estimator.features import Coefficients, measured
from estimator.model.estimate import Features
from estimator.model.power_model import PowerModel


class ModelledEnergy:
    """What a model says the node drew, for machines without a meter."""

    def __init__(self, model: PowerModel) -> None:
        self.info = SourceInfo("model", model.name, model.sha256)
        self._model = model
        self._path = f"model:{model.name}"
        self._counts = {"outside_envelope": 0, "missing_feature": 0}

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        """The predicted energy of the interval, with its bounds; zones whose features are not measured lack.

        outside_envelope counts the intervals in which some feature lay where the model has seen nothing,
        missing_feature the zones that could not be predicted.
        """
        if usage.interval_seconds <= 0 or usage.n_cpu <= 0:
            return []
        features = node_features(usage)
        if not self._model.is_within_envelope(features, usage.n_cpu, usage.interval_seconds):
            self._counts["outside_envelope"] += 1
        served = [name for name, zone in self._model.zones.items() if zone.needs() <= features.keys()]
        self._counts["missing_feature"] += len(self._model.zones) - len(served)
        return [self._energy(name, features, usage) for name in served]

    def infos(self) -> Mapping[str, SourceInfo]:
        """See EnergySource."""
        return dict.fromkeys(self._model.zones, self.info)

    def errors(self) -> Mapping[str, int]:
        """Cumulative counts, see measure."""
        return dict(self._counts)

    def coefficients(self) -> Coefficients:
        """Joules per unit of each feature by zone, as estimator.attribution.shares wants them."""
        return {name: zone.coefficients() for name, zone in self._model.zones.items()}

    def _energy(self, name: str, features: Features, usage: Usage) -> ZoneEnergy:
        joules, low, high = self._model.predict(name, features, usage.n_cpu, usage.interval_seconds)
        return ZoneEnergy(
            zone=name,
            socket=None,
            path=self._path,
            joules=joules,
            interval_seconds=usage.interval_seconds,
            idle_watts=self._model.idle_watts(name, usage.n_cpu),
            low_joules=low,
            high_joules=high,
        )


def node_features(usage: Usage) -> dict[str, float]:
    """The features of the whole node over the interval: what is measured, dropped included."""
    totals = usage.totals.sum(axis=0)
    return {
        feature.name: float(totals[feature.field]) / feature.counts_per_unit
        for feature in measured(usage.available)
    }
