"""The meter of a virtual machine whose host tells it what it was billed, as a powercap tree.

The host's podjoule writes the tree each of its ticks (vm.shareDir): each file anew, in one step. So a file
that was not written since the last reading tells nothing yet, and one that is not written at all any more
tells that the host's podjoule is gone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from estimator.errors import MeterUnavailable
from estimator.meters.difference import PLAUSIBLE_WATTS
from estimator.meters.port import MeterError, ZoneReading
from estimator.meters.powercap import boottime_ns
from estimator.meters.powercap_counter import energy_file, meter_error, parse_energy_uj
from estimator.meters.powercap_tree import HOSTS_MARK, PowercapZone, scan, why_empty

MARK, SCHEMA = HOSTS_MARK, "podjoule.guest/1"
"""The file in a host's tree that tells it from the kernel's, and what it says that it is."""

# Inode and time: each write makes a file beside the last one, so that its inode is another.
_File = tuple[int, int]

_LONGEST_NUMBER = 32
_STALE_SECONDS = 60.0
_LOOK_READS = 12

# A machine that wakes up is billed a hundred times what it was before: what its host can draw at the most is
# that of eight sockets.
_MOST_WATTS = 4_000.0
_NOT_WRITTEN = (
    f"energy_uj was not written for {_STALE_SECONDS:.0f} s: what it drew is told once the host's podjoule"
    " writes again; is it running?"
)


def host_source(root: Path) -> str | None:
    """Where the host has the energy from that it tells in this tree; None for a tree that is no host's."""
    try:
        told = json.loads((root / MARK).read_bytes())
        return str(told["source"]) if told["schema"] == SCHEMA else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class _Written:
    """What was read last, and when it was first seen."""

    file: _File
    energy_uj: int
    seen_ns: int


class HostMeter:
    """Reads a host's tree. Its zones are all of this machine, whatever sockets either has.

    zones: which to serve, empty for all. name: "host-model" where the host has no meter itself, else "host".
    clock: CLOCK_BOOTTIME. Raises MeterUnavailable, with the path and the mend, where no zone is there.
    """

    def __init__(
        self, root: Path, zones: Sequence[str] = (), *, clock: Callable[[], int] = boottime_ns
    ) -> None:
        self.name = "host-model" if host_source(root) == "model" else "host"
        self.errors: Sequence[MeterError] = ()
        self._root, self._wanted, self._clock = root, frozenset(zones), clock
        self._reads = 0
        self._zones: dict[str, PowercapZone] = {}
        self._known: dict[str, _Written] = {}
        self._look_for_zones()
        if not self._zones:
            raise MeterUnavailable(f"no zone in the host's tree {root}: {why_empty(root)}")

    @property
    def zones(self) -> Set[str]:
        """Those that the host tells."""
        return {zone.zone for zone in self._zones.values()}

    def read(self) -> list[ZoneReading]:
        """The zones that the host has written since the last read."""
        self._reads += 1
        if self._reads % _LOOK_READS == 0:
            self._look_for_zones()
        readings, errors = [], []
        for zone in self._zones.values():
            try:
                reading = self._read(zone)
            except TimeoutError:
                errors.append(MeterError(zone.path, _NOT_WRITTEN, vanished=False))
            except (OSError, ValueError) as error:
                errors.append(meter_error(zone, error))
            else:
                readings += [reading] if reading else []
        self.errors = errors
        return readings

    def close(self) -> None:
        """Nothing is held: each file is a new one at each write."""

    def _look_for_zones(self) -> None:
        for zone in scan(self._root).zones:
            if not self._wanted or zone.zone in self._wanted:
                self._zones[zone.path] = zone

    def _read(self, zone: PowercapZone) -> ZoneReading | None:
        """None where it says what was read already: a machine that was billed nothing has no news either.

        Raises TimeoutError where it was not written for long.
        """
        file, content = _read_twice(energy_file(zone))
        now_ns = self._clock()
        known = self._known.get(zone.path)
        if known and file == known.file:
            if now_ns - known.seen_ns > _STALE_SECONDS * 1e9:
                raise TimeoutError
            return None
        energy_uj = parse_energy_uj(content)
        self._known[zone.path] = _Written(file, energy_uj, now_ns)
        if known and energy_uj == known.energy_uj:
            return None
        most_watts = max(_MOST_WATTS, PLAUSIBLE_WATTS.get(zone.zone, 0.0))
        return ZoneReading(zone.zone, None, zone.path, energy_uj, zone.max_energy_uj, now_ns, most_watts)


def _read_twice(path: str) -> tuple[_File, bytes]:
    """Which file it is and what it holds; once more where another took its place as it was opened."""
    try:
        return _content(path)
    except FileNotFoundError:
        return _content(path)


def _content(path: str) -> tuple[_File, bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        return (status.st_ino, status.st_mtime_ns), os.read(descriptor, _LONGEST_NUMBER)
    finally:
        os.close(descriptor)
