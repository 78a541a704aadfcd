"""A Redfish service's chassis, and the resource of each that tells its power."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from estimator.errors import MeterUnavailable
from exporter.bmc.power import (
    ChassisPower,
    Document,
    link,
    members,
    of_environment,
    of_power,
    of_supplies,
    own_chassis,
)
from exporter.bmc.session import NotThere

Get = Callable[[str], Mapping[str, Any]]

_MOST_CHASSIS = 64


@dataclass(frozen=True, slots=True)
class Chassis:
    """One chassis. read: asks for its power anew; raises as RedfishSession.get does, ValueError also."""

    id: str
    read: Callable[[], ChassisPower | None]


def find_chassis(get: Get) -> list[Chassis]:
    """Every chassis that is this machine's whole and tells its power.

    Each by the best resource that answers: EnvironmentMetrics, then PowerSubsystem, then Power. Raises
    MeterUnavailable where there is none.
    """
    root = get("/redfish/v1/")
    collection = link(root, "Chassis") or "/redfish/v1/Chassis"
    found = [get(path) for path in members(get(collection))[:_MOST_CHASSIS]]
    readers = [(document, reader) for document in found if (reader := _reader(get, document))]
    if not readers:
        names = ", ".join(str(each.get("Id", "?"))[:64] for each in found) or "none at all"
        raise MeterUnavailable(
            f"no chassis of the BMC tells its power, neither by EnvironmentMetrics nor PowerSubsystem nor"
            f" Power; found {names}: its firmware may be old, or the user may not see it"
        )
    own = {id(each) for each in own_chassis([document for document, _ in readers])}
    return [
        Chassis(str(document.get("Id") or link(document).rpartition("/")[2])[:64], reader)
        for document, reader in readers
        if id(document) in own
    ]


def _reader(get: Get, chassis: Document) -> Callable[[], ChassisPower | None] | None:
    """The best way to read it; what fails now is not tried again."""
    ways: tuple[tuple[str, Callable[[Get, str], ChassisPower | None]], ...] = (
        ("EnvironmentMetrics", _environment),
        ("PowerSubsystem", _supplies),
        ("Power", _power),
    )
    for name, way in ways:
        if not (path := link(chassis, name)):
            continue
        try:
            if way(get, path) is not None:
                return partial(way, get, path)
        except (NotThere, ValueError):
            continue
    return None


def _environment(get: Get, path: str) -> ChassisPower | None:
    return of_environment(get(path))


def _power(get: Get, path: str) -> ChassisPower | None:
    return of_power(get(path))


def _supplies(get: Get, path: str) -> ChassisPower | None:
    collection = link(get(path), "PowerSupplies")
    if not collection:
        return None
    supplies = [get(each) for each in members(get(collection))]
    return of_supplies((each, get(metrics)) for each in supplies if (metrics := link(each, "Metrics")))
