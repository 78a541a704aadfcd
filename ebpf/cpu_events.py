"""The hardware events in the kernel's maps, one a CPU and field, when CPUs come and go.

A CPU that goes offline takes its events with it (kernel/events/core.c, perf_event_exit_cpu): they stand still
when it comes back, and have to be opened anew.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebpf import bpf_maps
from ebpf.perf_events import EVENT_FIELDS, Event, event_for, explained, hybrid_types, open_all, open_event
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
        self._opened = open_all(wanted, cpus, sysfs, procfs) if wanted else {}
        self._events = {field: wanted[field] for field in self._opened}
        self._map_fds: dict[str, int] = {}
        self.blind: set[int] = set()
        self._told = StateLog(log, _BLIND, level=logging.WARNING)

    @property
    def fields(self) -> frozenset[str]:
        """Those that are counted."""
        return frozenset(self._events)

    def put(self, map_fd: Callable[[str], int]) -> None:
        """Hand all to the kernel's maps of their names."""
        self._map_fds = {field: map_fd(field) for field in self._events}
        for field, descriptors in self._opened.items():
            for cpu, fd in descriptors.items():
                bpf_maps.update(self._map_fds[field], cpu, fd)

    def leave(self, map_fd: Callable[[str], int]) -> None:
        """Go on with what the maps hold already, of the process before this one; ours are closed."""
        self._map_fds = {field: map_fd(field) for field in self._events}
        self.close()

    def close(self) -> None:
        """Close what was opened; what a map keeps goes on counting."""
        for descriptors in self._opened.values():
            for fd in descriptors.values():
                os.close(fd)
            descriptors.clear()

    def renew(self, cpu: int) -> bool:
        """Open the events of a CPU that came, all or none, and put them into the maps; whether that worked.

        The first time a line says why.
        """
        self.remove(cpu)
        opened: dict[str, int] = {}
        hybrid = hybrid_types(self._sysfs)
        try:
            for field, event in self._events.items():
                opened[field] = open_event(event_for(event, cpu, hybrid), cpu)
                bpf_maps.update(self._map_fds[field], cpu, opened[field])
        except OSError as error:
            for field, fd in opened.items():
                bpf_maps.delete(self._map_fds[field], _key(cpu))
                os.close(fd)
            if error.errno != errno.ENODEV:  # it is gone again
                self._enter_blind(cpu, error)
            return False
        for field, fd in opened.items():
            self._opened[field][cpu] = fd
        log.info("CPU %d came: its events are opened", cpu)
        return True

    def remove(self, cpu: int) -> None:
        """Take a CPU's events out of the maps and close them; there need be none."""
        self.blind.discard(cpu)
        for field, descriptors in self._opened.items():
            bpf_maps.delete(self._map_fds[field], _key(cpu))
            if cpu in descriptors:
                os.close(descriptors.pop(cpu))

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

    def _enter_blind(self, cpu: int, error: OSError) -> None:
        self.blind.add(cpu)
        why = explained(error, self._procfs)
        self._told.enter("blind", f"CPU {cpu}: {why}; {_MEND}")


def _key(cpu: int) -> bytes:
    return np.uint32(cpu).tobytes()
