"""The hardware events in the kernel's maps, one a CPU and field, when CPUs come and go.

A CPU that goes offline takes its events with it (kernel/events/core.c, perf_event_exit_cpu): they stand still
when it comes back, and have to be opened anew.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebpf import bpf_maps
from ebpf.event_groups import Opened, open_all, open_on_cpu, tell_apart
from ebpf.group_watch import NO_TIME, GroupWatch
from ebpf.perf_events import EVENT_FIELDS, Event, explained, hybrid_types
from ebpf.state_log import StateLog

log = logging.getLogger("ebpf")

_MEND = "a restart of podjoule opens them"
_BLIND = "a CPU came whose cycles and the like are not counted"


class CpuEvents:
    """The events that programs read, on the CPUs that are online at first, and then on those that come.

    wanted: field -> event. A field that one CPU lacks at first is not counted at all.
    blind: CPUs that came later and whose events could not be opened.
    """

    def __init__(
        self,
        wanted: Mapping[str, Event] = {},
        cpus: Sequence[int] = (),
        sysfs: Path = Path("/sys"),
        procfs: Path = Path("/proc"),
    ) -> None:
        self._sysfs, self._procfs = sysfs, procfs
        self._events, self._opened = open_all(wanted, cpus, sysfs, procfs) if wanted else ({}, {})
        self._map_fds: dict[str, int] = {}
        self._groups_fd = -1
        self._groups = GroupWatch()
        self.blind: set[int] = set()
        self._told = StateLog(log, _BLIND, level=logging.WARNING)

    @property
    def fields(self) -> frozenset[str]:
        """Those that are counted."""
        return frozenset(self._events)

    @property
    def groups(self) -> frozenset[int]:
        """CPUs whose events the programs read as one group."""
        return frozenset(self._groups.cpus)

    def put(self, map_fd: Callable[[str], int]) -> None:
        """Hand all to the kernel's maps of their names."""
        self._know(map_fd)
        for cpu, opened in self._opened.items():
            self._hand_over(cpu, opened)
        tell_apart(self._opened)

    def leave(self, map_fd: Callable[[str], int]) -> None:
        """Go on with what the maps hold already, of the process before this one; ours are closed."""
        self._know(map_fd)
        for cpu in self._opened:
            if _is_set(self._groups_fd, cpu):
                self._groups.cpus.add(cpu)
        self.close()

    def close(self) -> None:
        """Close what was opened; what a map keeps goes on counting."""
        for opened in self._opened.values():
            opened.close()

    def read_apart(self, cpu: int) -> None:
        """Let programs read each event of a CPU by itself from now on; one that runs there now may not."""
        self._groups.cpus.discard(cpu)
        if self._events:
            bpf_maps.update(self._groups_fd, cpu, 0)

    def renew(self, cpu: int) -> bool:
        """Open the events of a CPU that came, all or none, and put them into the maps; whether that worked.

        As no group where that one got no time on the PMU. The first time a line says why it did not work.
        To be called after read_apart(), once no program that began before it runs there: one that did would
        take the times of the new first event for those of the old others.
        """
        apart = NO_TIME if cpu in self._groups.starved else ""
        self.remove(cpu)
        opened = open_on_cpu(self._events, cpu, hybrid_types(self._sysfs), apart=apart)
        try:
            for error in opened.refused.values():
                raise error
            self._hand_over(cpu, opened)
        except OSError as error:
            self.remove(cpu)
            opened.close()
            if error.errno != errno.ENODEV:  # it is gone again
                self._enter_blind(cpu, error)
            return False
        self._opened[cpu] = opened
        if self._events and not apart:
            log.info("CPU %d came: its events are opened", cpu)
        tell_apart({cpu: opened})
        return True

    def remove(self, cpu: int) -> None:
        """Take a CPU's events out of the maps and close them; there need be none."""
        self.blind.discard(cpu)
        self._groups.starved.discard(cpu)
        self.read_apart(cpu)
        for map_fd in self._map_fds.values():
            bpf_maps.delete(map_fd, _key(cpu))
        if opened := self._opened.pop(cpu, None):
            opened.close()

    def starved(self, states: npt.NDArray[np.void]) -> list[int]:
        """CPUs whose group has been off the PMU for too long, by their states at this reading (CPU_STATE)."""
        leader = next((i for i, field in enumerate(EVENT_FIELDS) if field in self._events), 0)
        return self._groups.look(states["events"][:, leader])

    def standing_still(
        self, before: npt.NDArray[np.void], after: npt.NDArray[np.void], settled: npt.NDArray[np.intp]
    ) -> list[int]:
        """CPUs whose events did not go on between two readings of their states.

        before, after: CPU_STATE, shape (n_cpu,). settled: those whose events the program has looked at in
        between. Those that are blind are left out.
        """
        counted = [i for i, field in enumerate(EVENT_FIELDS) if field in self._events]
        clocks = [states["events"]["enabled_ns"][settled][:, counted] for states in (before, after)]
        still = settled[(clocks[0] == clocks[1]).any(axis=1)]
        return [int(cpu) for cpu in still if cpu not in self.blind]

    def _know(self, map_fd: Callable[[str], int]) -> None:
        self._map_fds = {field: map_fd(field) for field in self._events}
        self._groups_fd = map_fd("groups") if self._events else -1

    def _hand_over(self, cpu: int, opened: Opened) -> None:
        for field, fd in opened.descriptors.items():
            bpf_maps.update(self._map_fds[field], cpu, fd)
        if opened.is_group:
            bpf_maps.update(self._groups_fd, cpu, 1)
            self._groups.cpus.add(cpu)

    def _enter_blind(self, cpu: int, error: OSError) -> None:
        self.blind.add(cpu)
        why = explained(error, self._procfs)
        self._told.enter("blind", f"CPU {cpu}: {why}; {_MEND}")


def _key(cpu: int) -> bytes:
    return np.uint32(cpu).tobytes()


def _is_set(map_fd: int, cpu: int) -> bool:
    value = np.zeros(1, np.uint32)
    bpf_maps.lookup(map_fd, cpu, value)
    return bool(value[0])
