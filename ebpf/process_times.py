"""CPU time by process as procfs tells it, where no program of ours counts: in the kernel's ticks of 10 ms."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ebpf.cpus import running_processes
from ebpf.hierarchy import Hierarchy

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD, include/linux/sched.h
# What stands where in the fields of `read_stat`: proc(5), fields 9, 14, 15, 22, 23 and 24.
FLAGS, USER, SYSTEM, STARTED, VIRTUAL, RESIDENT = 6, 11, 12, 19, 20, 21


def read_stat(process: Path) -> list[bytes]:
    """The fields of /proc/PID/stat behind the name, in which anything may stand. Raises OSError."""
    return (process / "stat").read_bytes().rpartition(b")")[2].split()


class Grown(NamedTuple):
    """What a process used since the last reading. path: of its cgroup, "" where that cannot be read."""

    pid: int
    path: str
    is_kernel_thread: bool
    ns: int


@dataclass(frozen=True, slots=True)
class _Clock:
    started: int
    ns: int
    is_kernel_thread: bool


class ProcessTimes:
    """Reads /proc/PID/stat of every process that this procfs shows; anybody may, unless hidepid forbids it.

    The cgroup is asked for only of those that ran. hierarchy: whose paths are meant.
    """

    def __init__(self, procfs: Path, hierarchy: Hierarchy) -> None:
        self._procfs, self._hierarchy = procfs, hierarchy
        self._tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        self._clocks = dict(self._read())

    @property
    def running(self) -> Container[int]:
        """The PIDs at the last call."""
        return self._clocks

    def grown(self) -> list[Grown]:
        """Those that ran since the last call; one that is new has run since its start."""
        before, self._clocks = self._clocks, dict(self._read())
        return list(self._compared(before))

    def _compared(self, before: dict[int, _Clock]) -> Iterator[Grown]:
        for pid, clock in self._clocks.items():
            last = before.get(pid)
            ns = clock.ns - (last.ns if last and last.started == clock.started else 0)
            if ns > 0:
                yield Grown(pid, self._path(pid), clock.is_kernel_thread, ns)

    def _read(self) -> Iterator[tuple[int, _Clock]]:
        for pid in running_processes(self._procfs):
            try:
                fields = read_stat(self._procfs / str(pid))
                ticks = int(fields[USER]) + int(fields[SYSTEM])
                is_kernel_thread = bool(int(fields[FLAGS]) & _KERNEL_THREAD)
                yield pid, _Clock(int(fields[STARTED]), ticks * self._tick_ns, is_kernel_thread)
            except (OSError, ValueError, IndexError):
                continue  # ended meanwhile, or hidden from us

    def _path(self, pid: int) -> str:
        """The path of its cgroup; "" where that cannot be read."""
        try:
            text = os.fsdecode((self._procfs / str(pid) / "cgroup").read_bytes())
        except OSError:
            return ""
        for line in text.splitlines():
            _, controllers, path = line.split(":", 2)
            wanted = self._hierarchy.controller
            if wanted in controllers.split(",") if wanted else not controllers:
                return path
        return ""


class ProcessShares:
    """Shares a cgroup's own time out to its processes, a reading at a time.

    The two are read one after the other and in other units: of what a process is said to have used more than
    its cgroup has to give, it is owed, at most for the reading that follows.
    """

    def __init__(self) -> None:
        self._owed_ns: dict[int, int] = {}

    def share(self, own_ns: Mapping[str, int], grown: Iterable[Grown]) -> dict[Grown, int]:
        """Nanoseconds by process: no more of a cgroup's processes together than is its own.

        own_ns: by path. What the processes of a cgroup leave of it, those used that ended meanwhile.
        """
        owed_ns, self._owed_ns = self._owed_ns, {}
        wanted_ns = {each: each.ns + owed_ns.get(each.pid, 0) for each in grown if each.path in own_ns}
        asked_ns: Counter[str] = Counter()
        for each, ns in wanted_ns.items():
            asked_ns[each.path] += ns
        given_ns = {
            each: ns * min(own_ns[each.path], asked_ns[each.path]) // asked_ns[each.path]
            for each, ns in wanted_ns.items()
        }
        self._owed_ns = {each.pid: min(ns - given_ns[each], each.ns) for each, ns in wanted_ns.items()}
        return given_ns
