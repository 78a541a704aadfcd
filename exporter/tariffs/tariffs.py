"""What a joule emits and costs, tick by tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from estimator.attribution.zones import CountedZones
from estimator.energy import FloatArray, SourceInfo, ZoneShare
from exporter.tariffs.intensity import Curve, GridIntensity

JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Tariff:
    """What one tick's joules are charged with: those of `zones` alone, which hold each joule once."""

    zones: tuple[str, ...] = ()
    grams_per_joule: float = 0.0
    cost_per_joule: float = 0.0

    @property
    def rates(self) -> FloatArray:
        """Grams and money a joule; shape (2,)."""
        return np.array([self.grams_per_joule, self.cost_per_joule])


FREE = Tariff()


@dataclass(frozen=True, slots=True)
class Price:
    """What a kWh costs. currency: its ISO 4217 code."""

    curve: Curve
    currency: str


class Tariffs:
    """The tariff of each tick: intensity and price over its time, times the site's PUE.

    intensity, price: None where that is not exported. Without either, still says which zones are the node's.
    """

    def __init__(
        self, intensity: GridIntensity | None = None, price: Price | None = None, pue: float = 1.0
    ) -> None:
        self.intensity = intensity
        self.price = price
        self.pue = pue
        self._counted = CountedZones()

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones that count as the node's energy; see estimator.attribution.zones."""
        return self._counted.zones

    def of_tick(self, sources: Mapping[str, SourceInfo], shares: Sequence[ZoneShare]) -> Tariff:
        """The tariff for what was shared out: the mean over the time that it spans. sources: by zone."""
        joules: dict[str, float] = {}
        for share in shares:
            joules[share.energy.zone] = joules.get(share.energy.zone, 0.0) + share.energy.joules
        zones = self._counted.choose(sources, joules)
        spans = [share.energy.interval_seconds for share in shares if share.energy.zone in zones]
        seconds = max(spans, default=0.0)
        return Tariff(
            zones,
            _per_joule(self.intensity.mean(seconds) * self.pue if self.intensity else 0.0),
            _per_joule(self.price.curve.mean(seconds) * self.pue if self.price else 0.0),
        )

    def close(self) -> None:
        """End what works in the background."""
        if self.intensity is not None:
            self.intensity.close()


def _per_joule(per_kwh: float) -> float:
    return per_kwh / JOULES_PER_KWH
