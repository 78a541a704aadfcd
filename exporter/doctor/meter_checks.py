"""Check of all meters together: which serves each zone, what else has it, and how far the two are apart."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from estimator.energy import ZoneEnergy
from estimator.machine.identity import read_identity
from estimator.meters.agreement import ratio
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import CPU_ZONES, ZONES
from exporter.configuration.config import Config
from exporter.doctor.finding import Check, Machine
from exporter.tick.meters import open_meters

# Between two readings of meters that are compared: RAPL moves every millisecond, board meters every second.
_COMPARED_SECONDS = 1.0
_FAR_APART = 0.1


@dataclass(frozen=True, slots=True)
class TriedMeters:
    """What was found. zones: by zone, the names of the meters that have it, the one that serves first.
    watts: by name and zone, the power in the moment of comparing. unserving: by name, why not."""

    zones: Mapping[str, Sequence[str]]
    watts: Mapping[tuple[str, str], float]
    unserving: Mapping[str, str]

    @property
    def has_cpu(self) -> bool:
        """Whether one of them has the CPU's energy."""
        return bool(CPU_ZONES & self.zones.keys())

    def apart(self, zone: str) -> float | None:
        """How far the second meter of a zone is from the first."""
        first, *others = (self.watts.get((name, zone)) for name in self.zones[zone])
        return ratio(first, others[0]) if others else None


def try_meters(machine: Machine, config: Config) -> TriedMeters:
    """Open what `run` would open, in its order, and read twice where two have the same zone."""
    host = replace(config.host, sysfs=machine.sysfs, procfs=machine.procfs, powercap=machine.powercap)
    with _unsaid():
        opened = open_meters(replace(config, host=host), read_identity(machine.procfs))
        try:
            by_zone = _by_zone(opened.meters)
            watts = _compare(opened.meters) if any(len(names) > 1 for names in by_zone.values()) else {}
        finally:
            for meter in opened.meters:
                meter.close()
    return TriedMeters(by_zone, watts, opened.unserving)


def check_meters(found: TriedMeters) -> Check:
    """Which meter each zone is from, and why."""
    served = "; ".join(_served(found, zone, names) for zone, names in found.zones.items())
    unserving = {name: why for name, why in found.unserving.items() if name != "rapl"}
    refused = "; ".join(f"{name} does not serve: {why}" for name, why in unserving.items())
    far = [zone for zone in found.zones if (found.apart(zone) or 0.0) > _FAR_APART]
    said = "; ".join(filter(None, (served, refused))) or "none has any zone, see rapl"
    if refused:
        return Check("meters", "warn", said, "mend what it says, or leave it out of --meters.preferred")
    if far:
        mend = "ask again under steady load; the first of --meters.preferred is believed, see docs/meters.md"
        return Check("meters", "warn", said, mend)
    return Check("meters", "ok", said)


def _served(found: TriedMeters, zone: str, names: Sequence[str]) -> str:
    first, *others = names
    if not others:
        return f"{zone} by {first}"
    apart = found.apart(zone)
    by_how_much = "" if apart is None else f", {100 * apart:.1f} % apart"
    return f"{zone} by {first}, preferred to {', '.join(others)}{by_how_much}"


def _by_zone(meters: Sequence[MeteredEnergy]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for zone in ZONES:
        if having := [meter.info.source for meter in meters if zone in meter.zones]:
            names[zone] = having
    return names


def _compare(meters: Sequence[MeteredEnergy]) -> dict[tuple[str, str], float]:
    for meter in meters:
        meter.poll()
        meter.told()
    time.sleep(_COMPARED_SECONDS)
    watts: dict[tuple[str, str], float] = {}
    for meter in meters:
        meter.poll()
        for energy in meter.told():
            key = meter.info.source, energy.zone
            watts[key] = watts.get(key, 0.0) + _power(energy)
    return watts


def _power(energy: ZoneEnergy) -> float:
    return energy.joules / energy.interval_seconds if energy.interval_seconds > 0 else 0.0


@contextmanager
def _unsaid() -> Iterator[None]:
    """What `run` would say of meters in its log stands in the doctor's own lines."""
    logger = logging.getLogger("exporter.power")
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False
