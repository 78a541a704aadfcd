"""A powercap tree in a temporary directory, laid out and linked as the kernel's, whose counters count."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

XEON_RANGE_UJ = 262_143_328_850
AMD_RANGE_UJ = 65_532_610_987
DRAM_RANGE_UJ = 65_712_999_613


@dataclass
class _Zone:
    name: str
    energy_uj: int
    max_energy_uj: int


class RaplTree:
    """`root` is a sysfs: zones are real directories below root/devices/virtual/powercap, nested, and flat
    links to them in root/class/powercap. Zones go by their id, such as intel-rapl:0:1."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zones: dict[str, _Zone] = {}
        (root / "class/powercap").mkdir(parents=True)

    @classmethod
    def two_sockets(cls, root: Path) -> RaplTree:
        """The usual Xeon: two packages, each with its DRAM."""
        tree = cls(root)
        for socket in (0, 1):
            tree.add_zone(f"intel-rapl:{socket}", f"package-{socket}", 1_000_000 * (socket + 1))
            tree.add_zone(f"intel-rapl:{socket}:0", "dram", 7_000_000, DRAM_RANGE_UJ)
        return tree

    def add_zone(
        self, zone_id: str, name: str, energy_uj: int = 0, max_energy_uj: int = XEON_RANGE_UJ
    ) -> Path:
        """Make a zone; the answer is the path under which a meter reads it."""
        self._zones[zone_id] = _Zone(name, energy_uj, max_energy_uj)
        self.restore(zone_id)
        return self.path(zone_id)

    def path(self, zone_id: str) -> Path:
        return self.root / "class/powercap" / zone_id

    def energy_uj(self, zone_id: str) -> int:
        return self._zones[zone_id].energy_uj

    def advance(self, zone_id: str, joules: float) -> None:
        """Let a zone draw energy; past its range it goes on from 0, as the hardware does."""
        zone = self._zones[zone_id]
        zone.energy_uj = (zone.energy_uj + round(joules * 1e6)) % (zone.max_energy_uj + 1)
        if self.path(zone_id).exists():
            self._write_energy(zone_id)

    def advance_all(self, joules: float) -> None:
        for zone_id in self._zones:
            self.advance(zone_id, joules)

    def remove(self, zone_id: str) -> None:
        """Take the zone away, and with it those below it, as when the last CPU of a socket goes offline."""
        for each in self._zones:
            if each == zone_id or each.startswith(f"{zone_id}:"):
                self.path(each).unlink(missing_ok=True)
        shutil.rmtree(self._device(zone_id))

    def rename(self, zone_id: str, name: str) -> None:
        """Let a zone that is away come back as another one."""
        self._zones[zone_id].name = name

    def restore(self, zone_id: str, energy_uj: int | None = None) -> None:
        """Bring a zone back, and with it those below it."""
        if energy_uj is not None:
            self._zones[zone_id].energy_uj = energy_uj
        for each in self._zones:
            if each == zone_id or each.startswith(f"{zone_id}:"):
                self._make(each)

    def _make(self, zone_id: str) -> None:
        zone, device = self._zones[zone_id], self._device(zone_id)
        device.mkdir(parents=True, exist_ok=True)
        (device / "name").write_text(f"{zone.name}\n")
        (device / "max_energy_range_uj").write_text(f"{zone.max_energy_uj}\n")
        (device / "enabled").write_text("1\n")
        self._link(device / "subsystem", self.root / "class/powercap")
        self._link(self.path(zone_id), device)
        self._link(self.path(zone_id.partition(":")[0]), self._device(zone_id.partition(":")[0]))
        self._write_energy(zone_id)

    def _link(self, link: Path, target: Path) -> None:
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(target, link.parent))

    def _device(self, zone_id: str) -> Path:
        """devices/virtual/powercap/intel-rapl/intel-rapl:0/intel-rapl:0:1 for intel-rapl:0:1."""
        parts = zone_id.split(":")
        nested = [":".join(parts[: depth + 1]) for depth in range(len(parts))]
        return self.root.joinpath("devices/virtual/powercap", *nested)

    def _write_energy(self, zone_id: str) -> None:
        """In place, as a reader in another process keeps the file open; it takes the first line alone,
        so it never sees half of a number."""
        text = f"{self._zones[zone_id].energy_uj}\n".encode()
        descriptor = os.open(self._device(zone_id) / "energy_uj", os.O_WRONLY | os.O_CREAT, 0o400)
        try:
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))
        finally:
            os.close(descriptor)
