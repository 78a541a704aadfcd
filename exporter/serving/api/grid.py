"""What electricity emits and costs now, for the API."""

from __future__ import annotations

import math
from dataclasses import dataclass

from exporter.tariffs.tariffs import Tariffs


@dataclass(frozen=True, slots=True)
class Grid:
    """The rates of this moment, without the PUE; NaN and "" where nobody said.

    zone, provider: whose intensity it is, and who says so.
    """

    carbon_grams_per_kwh: float = math.nan
    zone: str = ""
    provider: str = ""
    price_per_kwh: float = math.nan
    currency: str = ""
    pue: float = 1.0

    @property
    def grams_per_hour_and_watt(self) -> float:
        """NaN where the intensity is not known."""
        return self.carbon_grams_per_kwh * self.pue / 1000

    @property
    def cost_per_hour_and_watt(self) -> float:
        """NaN where the price is not known."""
        return self.price_per_kwh * self.pue / 1000


def grid_now(tariffs: Tariffs) -> Grid:
    """What the tariffs say at this moment; waits for no network."""
    now = tariffs.intensity.now() if tariffs.intensity else None
    price = tariffs.price
    return Grid(
        carbon_grams_per_kwh=now.grams_per_kwh if now else math.nan,
        zone=now.zone if now else "",
        provider=now.provider if now else "",
        price_per_kwh=price.curve.mean(0.0) if price else math.nan,
        currency=price.currency if price else "",
        pue=tariffs.pue,
    )
