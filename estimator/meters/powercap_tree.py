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
HOSTS_MARK = "podjoule.json"
"""The file by which a tree is known that a host's podjoule writes; see host_tree."""
MACHINE_WIDE = ("psys", "platform")

# The kernel numbers zones in hexadecimal: the eleventh package is intel-rapl:a (powercap_sys.c).
_CONTROL_OR_ZONE = re.compile(r"\w+-rapl(?:-\w+)?(?::[0-9a-f]+)*")
_PACKAGE = re.compile(r"package-(?P<socket>\d+)(?:-die-\d+)?")
# Where several packages have a psys of their own, the second and later ones bear the package's number.
_NUMBERED = re.compile(r"(?P<zone>psys)-\d+")
_SECOND_INTERFACE = "intel-rapl-mmio"

# Packages of 15 W draw 60 for a while; none is made for more than 1 kW.
_MOST_OF_MADE_FOR = 4.0
_MOST_LIMIT_WATTS = 1_000.0


@dataclass(frozen=True, slots=True)
class PowercapZone:
    """One counter: what it counts, where it is read, and its range.

    zone, socket, path, max_energy_uj, most_watts: as in ZoneReading. control: the driver's interface, such as
    intel-rapl.
    """

    zone: str
    socket: int | None
    path: str
    max_energy_uj: int
    control: str
    most_watts: float | None = None


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


def is_still(zone: PowercapZone) -> bool:
    """Whether this zone, rather than another or none, is at its path."""
    try:
        return _zone(Path(zone.path)) == zone
    except (OSError, ValueError):
        return False


def why_empty(root: Path) -> str:
    """Why a tree holds no zone, and how to mend it."""
    if not root.is_dir():
        return (
            "it is not there: modprobe intel_rapl_msr (bare metal, Intel or AMD; a VM has none), "
            "or in a container mount the host's and name it with --host.powercap"
        )
    if (root / "energy_uj").exists():
        return f"it is a zone itself: name the directory that holds all of them, such as {root.parent}"
    if dangling := [path for path in root.iterdir() if path.is_symlink() and not path.exists()]:
        return (
            f"{dangling[0].name} and what is beside it are links that lead nowhere: mount the host's "
            "/sys/devices/virtual/powercap, and name it with --host.powercap"
        )
    if not any(root.iterdir()):
        return (
            "it is empty, as in virtual machines and where a container's runtime masks it: there mount the "
            "host's /sys/devices/virtual/powercap and name it with --host.powercap"
        )
    return "want intel-rapl:0 and so on: modprobe intel_rapl_msr (bare metal, Intel or AMD)"


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
    package, numbered = _PACKAGE.fullmatch(name), _NUMBERED.fullmatch(name)
    name = numbered["zone"] if numbered else name
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
        most_watts=_most_watts(directory),
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


def _most_watts(directory: Path) -> float | None:
    """What the zone can draw at the most, by its constraints; None where they say nothing that can be true.

    The long term's highest power is what it is made for (TDP); the short term's limit is kept for seconds. On
    boards without limits both say thousands of watts.
    """
    watts: dict[str, tuple[float, float]] = {}
    for entry in directory.glob("constraint_*_name"):
        stem = entry.name.removesuffix("_name")
        try:
            watts[_text(entry)] = tuple(
                _watts(directory / f"{stem}_{what}") for what in ("max_power_uw", "power_limit_uw")
            )  # type: ignore[assignment]
        except OSError:
            continue
    made_for, limit = watts.get("long_term", (0.0, 0.0))
    made_for = made_for or (limit if limit <= _MOST_LIMIT_WATTS else 0.0)
    if not 0 < made_for <= _MOST_LIMIT_WATTS:
        return None
    most, short = _MOST_OF_MADE_FOR * made_for, 1.5 * watts.get("short_term", (0.0, 0.0))[1]
    return max(most, short if short <= 3 * most else 0.0)


def _watts(path: Path) -> float:
    text = _text(path) if path.exists() else ""
    return int(text) / 1e6 if text.isascii() and text.isdigit() else 0.0


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()


def _without_duplicates(zones: Sequence[PowercapZone]) -> list[PowercapZone]:
    """Leave out the counters that the second interface shows once more."""
    first = {(zone.zone, zone.socket) for zone in zones if zone.control != _SECOND_INTERFACE}
    return [
        zone for zone in zones if zone.control != _SECOND_INTERFACE or (zone.zone, zone.socket) not in first
    ]
