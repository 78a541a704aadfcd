"""A guest's share of a zone of its host."""

from __future__ import annotations

from dataclasses import dataclass

from estimator.model.estimate import Estimate, Features
from estimator.model.power_model import ZoneModel


@dataclass(frozen=True, slots=True)
class ShareZone:
    """What a host of host_cpus logical CPUs, full of guests such as this one, draws for it.

    The host does what the guest does, as often as the guest goes into it; the guest pays its part.
    """

    host: ZoneModel
    host_cpus: float

    def idle_watts(self, n_cpu: int) -> float:
        """The guest's part of the host's draw at no load, watts."""
        return self.host.idle_watts(round(self.host_cpus)) * n_cpu / self.host_cpus

    def needs(self) -> frozenset[str]:
        """The features that a prediction needs."""
        return self.host.needs()

    def coefficients(self) -> Features:
        """Joules per unit of each feature, for sharing energy out."""
        return self.host.coefficients()

    def covers(self, features: Features, n_cpu: int, interval_seconds: float) -> bool:
        """Whether the host's zone knows such a load."""
        return self.host.covers(self._whole(features, n_cpu), round(self.host_cpus), interval_seconds)

    def predict(self, features: Features, n_cpu: int, interval_seconds: float) -> Estimate:
        """The guest's part of the host's energy of an interval."""
        whole = self.host.predict(self._whole(features, n_cpu), round(self.host_cpus), interval_seconds)
        share = n_cpu / self.host_cpus
        return Estimate(whole.joules * share, whole.low * share, whole.high * share)

    def _whole(self, features: Features, n_cpu: int) -> Features:
        return {name: value * self.host_cpus / n_cpu for name, value in features.items()}
