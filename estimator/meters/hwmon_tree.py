"""What hwmon shows: its chips, and of each the sensors of energy, power, voltage and current.

Source: Documentation/hwmon/sysfs-interface.rst. What a chip measures is said elsewhere: hwmon_table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from estimator.meters.port import MeterError

HWMON = "class/hwmon"
ENERGY, POWER, VOLTAGE, CURRENT = "energy", "power", "in", "curr"

_CHIP = re.compile(r"hwmon(\d+)")
_VALUE = re.compile(r"(energy|power|in|curr)(\d+)_(input|average)")


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor of a chip. kind: ENERGY (µJ), POWER (µW), VOLTAGE (mV) or CURRENT (mA). label: "" without.

    input_file, average_file: where it is read, "" where there is none such. average_seconds: what the average
    is over, None where the chip does not say.
    """

    kind: str
    index: int
    label: str
    input_file: str
    average_file: str = ""
    average_seconds: float | None = None

    @property
    def id(self) -> str:
        """As its files begin: power1."""
        return f"{self.kind}{self.index}"


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip. name: of its driver. device: what it sits on, such as 1-0040 (I2C) or 0000:41:00.0 (PCI).

    path: its folder, resolved, so that it tells the device. shown: the folder as users know it, hwmon3.
    update_seconds: how often it measures, None where it does not say. state_file: tells whether the device
    sleeps, "" where it never does.
    """

    name: str
    device: str
    path: str
    shown: str
    sensors: tuple[Sensor, ...]
    update_seconds: float | None = None
    state_file: str = ""


@dataclass(frozen=True, slots=True)
class HwmonTree:
    """The chips that have any such sensor, by number, and the folders that are not as they should be."""

    chips: tuple[Chip, ...]
    malformed: tuple[MeterError, ...]


def scan(root: Path) -> HwmonTree:
    """Walk <sysfs>/class/hwmon. A chip that is malformed is left out and said so; nothing is raised."""
    chips, malformed = [], []
    for folder in _folders(root):
        try:
            chip = _chip(folder)
        except (OSError, ValueError) as error:
            malformed.append(MeterError(str(folder), f"left out: {error}", vanished=False))
        else:
            chips += [chip] if chip.sensors else []
    return HwmonTree(tuple(chips), tuple(malformed))


def _folders(root: Path) -> list[Path]:
    try:
        found = [(int(match[1]), path) for path in root.iterdir() if (match := _CHIP.fullmatch(path.name))]
    except OSError:
        return []
    return [path for _, path in sorted(found)]


def _chip(folder: Path) -> Chip:
    device = folder / "device"
    # Drivers of the old kind, such as ACPI's power meter, have their files beside the device.
    place = next((path for path in (folder, device) if (path / "name").exists()), None)
    if place is None:
        if not folder.exists():
            raise ValueError(
                "a link that leads nowhere: mount the host's sysfs, and name it with --host.sysfs"
            )
        raise ValueError("no name in it")
    state = device.resolve() / "power/runtime_status"
    return Chip(
        name=_text(place / "name"),
        device=device.resolve().name if device.exists() else folder.resolve().name,
        path=str(place.resolve()),
        shown=folder.name,
        sensors=tuple(_sensors(place.resolve())),
        update_seconds=_seconds(place / "update_interval"),
        state_file=str(state) if state.exists() else "",
    )


def _sensors(place: Path) -> Iterator[Sensor]:
    files: dict[tuple[str, int], dict[str, str]] = {}
    for path in place.iterdir():
        if match := _VALUE.fullmatch(path.name):
            files.setdefault((match[1], int(match[2])), {})[match[3]] = str(path)
    for (kind, index), found in sorted(files.items()):
        stem = place / f"{kind}{index}"
        if _text(Path(f"{stem}_enable")) == "0":
            continue
        yield Sensor(
            kind,
            index,
            _text(Path(f"{stem}_label")) or _text(Path(f"{stem}_oem_info")),
            found.get("input", ""),
            found.get("average", ""),
            _seconds(Path(f"{stem}_average_interval")),
        )


def _text(path: Path) -> str:
    """What a file says; "" where it is not there or does not answer."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _seconds(path: Path) -> float | None:
    """Of a file in milliseconds."""
    text = _text(path)
    return int(text) / 1e3 if text.isascii() and text.isdigit() and 0 < int(text) < 10**9 else None
