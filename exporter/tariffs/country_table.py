"""The table of countries: what electricity emits there on a yearly average, for use without a network."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ebpf.errors import UsageError
from exporter.configuration.nearest import nearest

WORLD = "WORLD"
_FILE = "intensity.csv"


@dataclass(frozen=True, slots=True)
class Country:
    """One row: ISO 3166-1 alpha-2 and alpha-3 (empty for the EU and the world), and the year it holds for."""

    code: str
    alpha3: str
    name: str
    year: int
    grams_per_kwh: float


@cache
def countries() -> dict[str, Country]:
    """Every country by both of its codes. Source and licence stand in the head of intensity.csv."""
    text = Path(__file__).with_name(_FILE).read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    found = [
        Country(row["code"], row["alpha3"], row["name"], int(row["year"]), float(row["grams_per_kwh"]))
        for row in rows
    ]
    return {code: country for country in found for code in (country.code, country.alpha3) if code}


def country_of(zone: str) -> Country | None:
    """The country of a grid zone: DE, DEU, or what begins so, as US-CAL-CISO does; None for another."""
    return countries().get(zone.upper()) or countries().get(zone.upper().partition("-")[0])


def configured_country(zone: str | None) -> Country:
    """The country that carbon.zone names, the world for an empty one. Raises UsageError for another."""
    told = zone or WORLD
    country = country_of(told)
    if country is None:
        raise UsageError(
            f"carbon.zone: found {told!r}, no country of the table; the nearest is"
            f" {nearest(told, countries())}; give such a code, or carbon.intensity in g/kWh"
        )
    return country
