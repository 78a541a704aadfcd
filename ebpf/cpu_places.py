"""Which core and which socket each CPU sits in, told to the kernel's programs, when CPUs come and go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ebpf import bpf_maps
from ebpf.cpus import online_cpus, package_number, parse_cpu_list

CPU_PLACE = np.dtype([("sibling", "<u4"), ("socket", "<u4")])
SOCKET_STATE = np.dtype(
    [
        ("busy", "<u8"),
        ("since_ns", "<u8"),
        ("base_ns", "<u8"),
        ("total_ns", "<u8"),
        ("physical", "<u8"),
        ("unused", "<u8", 11),
    ]
)


def socket_entries(n_cpu: int) -> int:
    """How many sockets the map has room for: one a CPU, twice, since a board may number them anew."""
    return 2 * n_cpu


@dataclass(frozen=True, slots=True)
class Place:
    """sibling: the other hardware thread of a core that has two online; None elsewhere."""

    sibling: int | None
    physical: int


def read_places(sysfs: Path) -> dict[int, Place]:
    """Those of the CPUs that are online."""
    return {
        cpu: Place(_sibling(sysfs, cpu), max(0, package_number(sysfs, cpu))) for cpu in online_cpus(sysfs)
    }


def _sibling(sysfs: Path, cpu: int) -> int | None:
    """More than two threads of a core (SMT4, SMT8) are not told apart."""
    path = sysfs / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    try:
        threads = parse_cpu_list(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return next(other for other in threads if other != cpu) if len(threads) == 2 and cpu in threads else None


class CpuPlaces:
    """What the programs' maps `places` and `sockets` hold, filled by put() and kept by follow().

    A socket keeps its entry for as long as the maps live, whichever of its CPUs are online. had_siblings:
    whether some core had two threads online, now or before.
    """

    def __init__(self, sysfs: Path = Path("/sys"), n_cpu: int = 0) -> None:
        self._sysfs, self._n_cpu = sysfs, n_cpu
        self._places: Mapping[int, Place] = {}
        self._entry_of: dict[int, int] = {}
        self._places_fd = self._sockets_fd = -1
        self.had_siblings = False

    @property
    def are_told(self) -> bool:
        """Whether there are programs that count by them."""
        return bool(self._entry_of)

    def put(self, map_fd: Callable[[str], int]) -> None:
        """Fill the maps, of which the process before this one may have filled some."""
        self._places_fd, self._sockets_fd = map_fd("places"), map_fd("sockets")
        for entry in range(socket_entries(self._n_cpu)):
            physical = int(self._socket(entry)["physical"]) - 1
            if physical < 0:
                break
            self._entry_of[physical] = entry
        self.follow()

    def follow(self) -> list[int]:
        """Read the machine again; the CPUs that sit elsewhere than was told."""
        before, self._places = self._places, read_places(self._sysfs)
        self.had_siblings |= any(place.sibling is not None for place in self._places.values())
        moved = [cpu for cpu, place in self._places.items() if place != before.get(cpu) and cpu < self._n_cpu]
        for cpu in moved:
            place = self._places[cpu]
            entry = self._entry(place.physical)
            numbers = [0 if number is None else number + 1 for number in (place.sibling, entry)]
            bpf_maps.store(self._places_fd, cpu, np.array([tuple(numbers)], CPU_PLACE))
        return moved

    def awake_ns(self) -> dict[int, int]:
        """How long each socket was awake, by its number; empty where no program counts it."""
        return {physical: int(self._socket(entry)["total_ns"]) for physical, entry in self._entry_of.items()}

    def _entry(self, physical: int) -> int | None:
        """The entry of a socket; a new one is marked with its number before any CPU goes there.

        None where sockets were numbered anew more often than there is room for: nobody counts that one.
        """
        entry = self._entry_of.get(physical, len(self._entry_of))
        if entry == socket_entries(self._n_cpu):
            return None
        if physical not in self._entry_of:
            marked = np.zeros(1, SOCKET_STATE)
            marked["physical"] = physical + 1
            bpf_maps.store(self._sockets_fd, entry, marked)
            self._entry_of[physical] = entry
        return entry

    def _socket(self, entry: int) -> Any:
        state = np.zeros(1, SOCKET_STATE)
        bpf_maps.lookup(self._sockets_fd, entry, state)
        return state[0]
