"""Which RAPL counters a powercap tree holds, and what each of them counts.

The tree is either of what kernels show in /sys/class/powercap: a flat list of links (intel-rapl:0,
intel-rapl:0:0, …) or zones nested in the directory of their parent; often both at once.
AMD's counters (kernel 5.8) go by intel-rapl too. Source: Documentation/power/powercap/powercap.rst.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from estimator.meters.port import ZONES, MeterError

POWERCAP = "class/powercap"
MACHINE_WIDE = ("psys", "platform")

_CONTROL_OR_ZONE = re.compile(r"\w+-rapl(?:-\w+)?(?::\d+)*")
_PACKAGE = re.compile(r"package-(?P<socket>\d+)(?:-die-\d+)?")
_SECOND_INTERFACE = "intel-rapl-mmio"


@dataclass(frozen=True, slots=True)
class PowercapZone:
    """One counter: what it counts, where it is read, and its range.

    zone, socket, path, max_energy_uj: as in ZoneReading. control: the driver's interface, such as intel-rapl.
    """

    zone: str
    socket: int | None
    path: str
    max_energy_uj: int
    control: str


@dataclass(frozen=True, slots=True)
class PowercapTree:
    """The zones that can be read, each counter once, and the directories that are not as they should be."""

    zones: tuple[PowercapZone, ...]
    malformed: tuple[MeterError, ...]


def scan(root: Path) -> PowercapTree:
    """Walk a powercap tree, such as /sys/class/powercap or /sys/devices/virtual/powercap.

    A zone that is malformed is left out and said so; nothing is raised.
    """
    zones, malformed = [], []
    for directory in _zone_directories(root):
        try:
            zones.append(_zone(directory))
        except (OSError, ValueError) as error:
            malformed.append(MeterError(str(directory), f"left out: {error}", vanished=False))
    return PowercapTree(tuple(_without_duplicates(zones)), tuple(malformed))


def _zone_directories(root: Path) -> Iterator[Path]:
    """Each zone once, under the flat path where it has one: that is the one that users know."""
    seen: set[Path] = set()
    level = _children(root)
    while level:
        fresh = {path.resolve(): path for path in reversed(level) if path.resolve() not in seen}
        seen.update(fresh)
        yield from (path for path in reversed(fresh.values()) if ":" in path.name)
        level = [child for path in fresh.values() for child in _children(path)]


def _children(directory: Path) -> list[Path]:
    try:
        return sorted(
            path for path in directory.iterdir() if _CONTROL_OR_ZONE.fullmatch(path.name) and path.is_dir()
        )
    except OSError:
        return []


def _zone(directory: Path) -> PowercapZone:
    name = _text(directory / "name")
    package = _PACKAGE.fullmatch(name)
    if package is None and name not in ZONES:
        raise ValueError(f"name says {name!r}, want package-<socket> or one of {', '.join(ZONES)}")
    if not (directory / "energy_uj").exists():
        raise ValueError("no energy_uj in it")
    above = package or (None if name in MACHINE_WIDE else _package_above(directory))
    return PowercapZone(
        zone="package" if package else name,
        socket=int(above["socket"]) if above else None,
        path=str(directory),
        max_energy_uj=_max_energy_uj(directory),
        control=directory.name.partition(":")[0],
    )


def _package_above(directory: Path) -> re.Match[str]:
    """The name of the package that a core, uncore or dram zone belongs to, beside it or around it."""
    top = ":".join(directory.name.split(":")[:2])
    around = [path for path in (*directory.parents, *directory.resolve().parents) if path.name == top]
    for candidate in (directory.with_name(top), *around):
        if (candidate / "name").exists():
            package = _PACKAGE.fullmatch(_text(candidate / "name"))
            if package:
                return package
    raise ValueError(f"no package above it: want {top} with the name package-<socket>")


def _max_energy_uj(directory: Path) -> int:
    text = _text(directory / "max_energy_range_uj")
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError(f"max_energy_range_uj says {text!r}, want a number of microjoules above 0")
    return int(text)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()


def _without_duplicates(zones: Sequence[PowercapZone]) -> list[PowercapZone]:
    """Leave out the counters that the second interface shows once more."""
    first = {(zone.zone, zone.socket) for zone in zones if zone.control != _SECOND_INTERFACE}
    return [
        zone for zone in zones if zone.control != _SECOND_INTERFACE or (zone.zone, zone.socket) not in first
    ]
