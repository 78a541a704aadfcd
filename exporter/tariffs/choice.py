"""Choosing who says what energy emits and costs, from the configuration."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ebpf.errors import UsageError
from exporter.configuration.day_schedule import DayPart, DaySchedule, open_part
from exporter.configuration.tariff_options import Carbon, Cost
from exporter.configuration.time_zones import find_zone
from exporter.tariffs.country_table import WORLD, configured_country, country_of
from exporter.tariffs.intensity import Constant, Curve, GridIntensity, KnownIntensity
from exporter.tariffs.tariffs import Price, Tariffs


def open_tariffs(carbon: Carbon, cost: Cost) -> Tariffs:
    """What the tick charges; a provider has begun to be asked. Raises UsageError for what does not fit."""
    return Tariffs(_open_intensity(carbon), _price(cost, time.time), carbon.pue)


def known_tariffs(carbon: Carbon, cost: Cost, clock: Callable[[], float]) -> Tariffs:
    """The same without asking anybody, for times that have passed. clock: Unix seconds."""
    return Tariffs(_known_intensity(carbon, clock), _price(cost, clock), carbon.pue)


def _open_intensity(carbon: Carbon) -> GridIntensity | None:
    known = _known_intensity(carbon, time.time)
    if known is None or carbon.provider not in ("electricitymaps", "watttime"):
        return known
    if not carbon.zone:
        raise UsageError(
            f"carbon.provider {carbon.provider}: carbon.zone is missing; give the code of its zone"
        )
    from exporter.tariffs.feed import GridFeed  # a client of HTTP costs start-up time and memory
    from exporter.tariffs.http import GridClient
    from exporter.tariffs.providers import ElectricityMaps, WattTime

    make = ElectricityMaps if carbon.provider == "electricitymaps" else WattTime
    provider = make(carbon.zone, carbon.url, carbon.token_file, GridClient())
    return GridFeed(provider, known, carbon.refresh_seconds).start()


def _known_intensity(carbon: Carbon, clock: Callable[[], float]) -> KnownIntensity | None:
    """What is told, else the table's; None where nothing is told and nobody may say."""
    told = _curve(
        "carbon.schedule", "carbon.intensity", carbon.schedule, carbon.intensity, carbon.time_zone, clock
    )
    if told is not None:
        return KnownIntensity(told, carbon.zone or "", "schedule" if carbon.schedule else "constant")
    if carbon.provider == "none":
        return None
    country = (
        configured_country(carbon.zone)
        if carbon.provider == "table"
        else country_of(carbon.zone or WORLD) or configured_country(WORLD)
    )
    return KnownIntensity(Constant(country.grams_per_kwh), country.code, "table")


def _price(cost: Cost, clock: Callable[[], float]) -> Price | None:
    curve = _curve(
        "cost.schedule", "cost.pricePerKwh", cost.schedule, cost.price_per_kwh, cost.time_zone, clock
    )
    if curve is None:
        return None
    if not cost.currency:
        raise UsageError("cost.currency: is missing beside a price; give its ISO 4217 code, such as EUR")
    return Price(curve, cost.currency)


def _curve(
    schedule_key: str,
    constant_key: str,
    schedule: Sequence[DayPart],
    constant: float | None,
    zone: str,
    clock: Callable[[], float],
) -> Curve | None:
    """What two options tell together; None where neither does."""
    if not schedule:
        return None if constant is None else Constant(constant)
    left_open = open_part(schedule)
    if left_open and constant is None:
        raise UsageError(
            f"{schedule_key}: {left_open} is left open; give {constant_key} for the rest of the day"
        )
    return DaySchedule(schedule, constant or 0.0, find_zone(zone), clock)
