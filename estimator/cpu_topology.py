"""Which socket each CPU sits in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CpuTopology:
    """The CPUs and sockets of the machine.

    online: CPU numbers, ascending. socket_of_cpu: for every possible CPU, by its number, the index of its
    socket in physical_ids; 0 for CPUs that are offline, whose topology the kernel hides. physical_ids: the
    packages' numbers as the kernel and the meters give them, ascending; (0,) where nothing is known.
    """

    online: tuple[int, ...]
    socket_of_cpu: tuple[int, ...]
    physical_ids: tuple[int, ...]

    @property
    def n_sockets(self) -> int:
        """The number of sockets, at least 1."""
        return len(self.physical_ids)

    @property
    def n_cpu(self) -> int:
        """The number of CPUs online, at least 1."""
        return len(self.online)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """The kernel's list format: "0-3,8" -> (0, 1, 2, 3, 8), ascending; "" -> (). ValueError if malformed.

    Source: Linux Documentation/admin-guide/cputopology.rst.
    """
    cpus: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None:
            raise ValueError(f"not a CPU list: {text.strip()!r}")
        first, last = match.groups()
        cpus.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(cpus))


def read_topology(sysfs: Path) -> CpuTopology:
    """The topology under <sysfs>/devices/system/cpu; one socket where files are missing or say -1."""
    root = sysfs / "devices" / "system" / "cpu"
    present = _cpu_directories(root)
    online = _read_cpu_list(root / "online") or present or (0,)
    possible = _read_cpu_list(root / "possible") or present or online
    return assemble(online, possible, {cpu: _physical_id(root, cpu) for cpu in online})


def assemble(online: Iterable[int], possible: Iterable[int], physical_id: dict[int, int]) -> CpuTopology:
    """Number the sockets densely; physical_id: by CPU, negative where the kernel does not know."""
    online = tuple(online)
    known = {cpu: max(0, number) for cpu, number in physical_id.items()}
    ids = tuple(sorted(set(known.values()))) or (0,)
    n_possible = max((*possible, *online)) + 1
    sockets = tuple(ids.index(known[cpu]) if cpu in known else 0 for cpu in range(n_possible))
    return CpuTopology(online, sockets, ids)


def _cpu_directories(root: Path) -> tuple[int, ...]:
    try:
        names = [path.name for path in root.iterdir()]
    except OSError:
        return ()
    return tuple(sorted(int(name[3:]) for name in names if re.fullmatch(r"cpu\d+", name)))


def _read_cpu_list(path: Path) -> tuple[int, ...]:
    try:
        return parse_cpu_list(path.read_text())
    except (OSError, ValueError):
        return ()


def _physical_id(root: Path, cpu: int) -> int:
    try:
        return int((root / f"cpu{cpu}" / "topology" / "physical_package_id").read_text())
    except (OSError, ValueError):
        return -1
