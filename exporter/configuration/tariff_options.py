"""The sections of the configuration about what energy emits and costs."""

# ruff: noqa: RUF009 - option() is dataclasses.field with the option beside it

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exporter.configuration.day_schedule import DayPart
from exporter.configuration.options import option
from exporter.configuration.value_types import (
    choice,
    day_parts,
    duration,
    http_url,
    matching,
    number,
    optional,
    optional_path,
    text,
    time_zone,
)

MAX_PRICE = 1e6
# The highest in the table of countries is 1,306 g/kWh: what is so far beyond is a mistake, in value or unit.
MAX_GRAMS_PER_KWH = 5_000.0


@dataclass(frozen=True, slots=True)
class Carbon:
    """What the grid emits."""

    provider: str = option(
        "carbon.provider",
        choice("none", "table", "electricitymaps", "watttime"),
        "table",
        "Who says what the grid emits where carbon.intensity does not: the table of countries, or a service",
    )
    zone: str | None = option(
        "carbon.zone",
        optional(text("a country's code such as DE, or the provider's code of a grid zone")),
        None,
        "Where the electricity comes from",
        default_description="WORLD, the world's average",
    )
    intensity: float | None = option(
        "carbon.intensity",
        optional(number("g/kWh, a number", 0.0, MAX_GRAMS_PER_KWH)),
        None,
        "Carbon intensity of the electricity; beside a service it counts until that has answered",
        default_description="as carbon.provider says",
    )
    schedule: tuple[DayPart, ...] = option(
        "carbon.schedule",
        day_parts("g/kWh", 0.0, MAX_GRAMS_PER_KWH),
        (),
        "Carbon intensity by time of day, carbon.intensity at other times; may be given more than once",
    )
    time_zone: str = option("carbon.timeZone", time_zone(), "UTC", "Time zone of carbon.schedule")
    url: str | None = option(
        "carbon.url",
        optional(http_url()),
        None,
        "Where the provider is asked, such as a cache for many nodes",
        default_description="the provider's own address",
    )
    token_file: Path | None = option(
        "carbon.tokenFile",
        optional_path(),
        None,
        "File with the provider's token, or with user:password for watttime; read anew each time",
        default_description="no token",
    )
    refresh_seconds: float = option(
        "carbon.refresh",
        duration(minimum=60.0),
        300.0,
        "How long after an answer the provider is asked again",
    )
    pue: float = option(
        "carbon.pue",
        number("a number", 1.0, 100.0),
        1.0,
        "Power usage effectiveness: what the site draws for each joule of the node; counts for cost as well",
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """What electricity costs."""

    price_per_kwh: float | None = option(
        "cost.pricePerKwh",
        optional(number("a number", 0.0, MAX_PRICE)),
        None,
        "Price of a kWh in cost.currency",
        default_description="no cost is exported",
    )
    schedule: tuple[DayPart, ...] = option(
        "cost.schedule",
        day_parts("the price of a kWh", 0.0, MAX_PRICE),
        (),
        "Price by time of day, cost.pricePerKwh at other times; may be given more than once",
    )
    time_zone: str = option("cost.timeZone", time_zone(), "UTC", "Time zone of cost.schedule")
    currency: str | None = option(
        "cost.currency",
        optional(matching(r"[A-Z]{3}", "a currency's ISO 4217 code such as EUR")),
        None,
        "Currency of the price, a label of every cost",
        default_description="none; must be given with a price",
    )
