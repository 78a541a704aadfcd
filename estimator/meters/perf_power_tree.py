"""Which energy counters perf's PMU `power` offers, as sysfs describes it.

Source: arch/x86/events/rapl.c; Documentation/ABI/testing/sysfs-bus-event_source-devices-events. AMD's cores
have a PMU of their own, `power_core` (kernel 6.14), with an event on one CPU of each core.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from estimator.meters.port import MeterError

DEVICES = "bus/event_source/devices"
PMUS = ("power", "power_core")

# energy-gpu is the graphics unit within the package (MSR_PP1_ENERGY_STATUS), which powercap calls uncore.
_ZONES = {
    "energy-pkg": "package",
    "energy-ram": "dram",
    "energy-cores": "core",
    "energy-core": "core",
    "energy-gpu": "uncore",
    "energy-psys": "psys",
}
_EVENT = re.compile(r"event=(0x[0-9a-f]{1,16}|[0-9]{1,19})", re.ASCII | re.IGNORECASE)
_RANGE = 2**64  # of a count


@dataclass(frozen=True, slots=True)
class EnergyEvent:
    """One event, to be opened on each CPU of the PMU's cpumask.

    path: its file in sysfs. type, config: as perf_event_open takes them. uj_per_count: microjoules.
    """

    zone: str
    path: str
    type: int
    config: int
    uj_per_count: float

    @property
    def max_energy_uj(self) -> int:
        """The end of the range; no machine has come so far."""
        return round((_RANGE - 1) * self.uj_per_count)


@dataclass(frozen=True, slots=True)
class EnergyPmu:
    """A PMU, its events, and those that are not as they should be."""

    cpumask: Path
    events: tuple[EnergyEvent, ...]
    malformed: tuple[MeterError, ...]


def scan(sysfs: Path) -> list[EnergyPmu]:
    """The PMUs that are there; nothing is raised."""
    roots = [sysfs / DEVICES / name for name in PMUS]
    return [_pmu(root) for root in roots if root.is_dir()]


def _pmu(root: Path) -> EnergyPmu:
    events, malformed = [], []
    for name, zone in _ZONES.items():
        path = root / "events" / name
        if not path.exists():
            continue
        try:
            events.append(_event(zone, root, path))
        except (OSError, ValueError) as error:
            malformed.append(MeterError(str(path), f"left out: {error}", vanished=False))
    return EnergyPmu(root / "cpumask", tuple(events), tuple(malformed))


def _event(zone: str, root: Path, path: Path) -> EnergyEvent:
    pmu_type, terms, unit = _text(root / "type"), _text(path), _text(path.with_name(f"{path.name}.unit"))
    if not (pmu_type.isascii() and pmu_type.isdigit() and len(pmu_type) < 10):
        raise ValueError(f"{root / 'type'} says {pmu_type!r:.40}, want a number")
    if not (match := _EVENT.fullmatch(terms)):
        raise ValueError(f"found {terms!r:.40}, want event=0x02 or the like")
    if unit != "Joules":
        raise ValueError(f"its unit is {unit!r:.40}, want Joules")
    return EnergyEvent(zone, str(path), int(pmu_type), int(match[1], 0), _uj_per_count(path))


def _uj_per_count(path: Path) -> float:
    text = _text(path.with_name(f"{path.name}.scale"))
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not 1e-15 < scale < 1:
        raise ValueError(f"its scale is {text!r:.40}, want joules a count such as 2.3e-10")
    return scale * 1e6


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()
