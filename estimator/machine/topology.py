"""Which socket each CPU sits in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ebpf.cpus import package_number, parse_cpu_list


@dataclass(frozen=True, slots=True)
class CpuTopology:
    """The CPUs and sockets of the machine.

    online: CPU numbers, ascending. socket_of_cpu: for every possible CPU, by its number, the index of its
    socket in physical_ids; 0 for CPUs that were never online, whose topology the kernel hides. physical_ids:
    the packages' numbers as the kernel and the meters give them, ascending; (0,) where nothing is known.
    placed: the CPUs whose socket is known.
    """

    online: tuple[int, ...]
    socket_of_cpu: tuple[int, ...]
    physical_ids: tuple[int, ...]
    placed: frozenset[int] = field(default=frozenset(), compare=False)

    @property
    def socket_index(self) -> dict[int, int]:
        """From a package's number to the index of its socket."""
        return {physical: index for index, physical in enumerate(self.physical_ids)}

    @property
    def n_sockets(self) -> int:
        """The number of sockets, at least 1."""
        return len(self.physical_ids)

    @property
    def n_cpu(self) -> int:
        """The number of CPUs online, at least 1."""
        return len(self.online)


def read_topology(sysfs: Path, before: CpuTopology | None = None) -> CpuTopology:
    """The topology under <sysfs>/devices/system/cpu; one socket where files are missing or say -1.

    before: what was read when other CPUs were online; those that went offline since keep their place.
    """
    root = sysfs / "devices" / "system" / "cpu"
    present = _cpu_directories(root)
    online = _read_cpu_list(root / "online") or present or (0,)
    possible = _read_cpu_list(root / "possible") or present or online
    known = {cpu: before.physical_ids[before.socket_of_cpu[cpu]] for cpu in before.placed} if before else {}
    return assemble(online, possible, known | {cpu: package_number(sysfs, cpu) for cpu in online})


def assemble(online: Iterable[int], possible: Iterable[int], physical_id: dict[int, int]) -> CpuTopology:
    """Number the sockets densely; physical_id: by CPU, negative where the kernel does not know."""
    online = tuple(online)
    known = {cpu: max(0, number) for cpu, number in physical_id.items()}
    ids = tuple(sorted(set(known.values()))) or (0,)
    n_possible = max((*possible, *online)) + 1
    sockets = tuple(ids.index(known[cpu]) if cpu in known else 0 for cpu in range(n_possible))
    return CpuTopology(online, sockets, ids, frozenset(known))


def _cpu_directories(root: Path) -> tuple[int, ...]:
    try:
        names = [path.name for path in root.iterdir()]
    except OSError:
        return ()
    return tuple(sorted(int(name[3:]) for name in names if re.fullmatch(r"cpu\d+", name)))


def _read_cpu_list(path: Path) -> tuple[int, ...]:
    try:
        return tuple(parse_cpu_list(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return ()
