"""RAPL through perf: the PMU `power`, which takes CAP_PERFMON and not the right to read root's files.

A count begins at 0 when its event is opened, has 64 bits and does not wrap. A zone of a socket is the sum of
its events: of its dies, and on AMD of its cores.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from ebpf.cpus import package_number, parse_cpu_list
from estimator.errors import MeterAbsent, MeterUnavailable
from estimator.meters.perf_power_tree import DEVICES, EnergyEvent, EnergyPmu, scan
from estimator.meters.port import MeterError, ZoneReading
from estimator.meters.powercap import boottime_ns
from estimator.meters.powercap_tree import MACHINE_WIDE

# Opens an event by type and config on a CPU: a descriptor. Raises OSError.
OpenEvent = Callable[[int, int, int], int]
ReadEvent = Callable[[int], bytes]

_COUNT_BYTES = 8
# What could not be opened is tried again once in so many reads: a minute, as a rule.
_RETRY_READS = 12


def read_event(descriptor: int) -> bytes:
    """The count, and what else the event's read_format asks for."""
    return os.read(descriptor, 64)


@dataclass(slots=True)
class _Counter:
    """One zone of one socket. before: what events counted that are closed by now."""

    event: EnergyEvent
    socket: int
    by_cpu: dict[int, int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)
    before: int = 0

    @property
    def path(self) -> str:
        return f"{self.event.path}:{self.socket}"

    def close(self, cpus: Sequence[int]) -> None:
        for cpu in cpus:
            os.close(self.by_cpu.pop(cpu))
            self.before += self.last.pop(cpu, 0)


class PerfPowerMeter:
    """Reads the PMUs' events, one on each CPU of their cpumask, which is followed.

    open_event: see OpenEvent. zones: which to serve; empty means all. Raises MeterAbsent where there is no
    such PMU, MeterUnavailable, with the reason, where no event of it can be opened.
    """

    name = "perf"

    def __init__(
        self,
        sysfs: Path,
        open_event: OpenEvent,
        zones: Sequence[str] = (),
        *,
        clock: Callable[[], int] = boottime_ns,
        read_event: ReadEvent = read_event,
    ) -> None:
        self.errors: Sequence[MeterError] = ()
        self._sysfs, self._clock = sysfs, clock
        self._open_event, self._read_event = open_event, read_event
        self._wanted = frozenset(name.lower() for name in zones)
        self._pmus = scan(sysfs)
        self._masks: dict[Path, str] = {}
        self._reads, self._is_complete = 0, True
        self._counters: dict[tuple[str, int], _Counter] = {}
        self._failures = [error for pmu in self._pmus for error in pmu.malformed]
        self._follow_masks()
        if not self._counters:
            raise self._why_none()

    @property
    def zones(self) -> Set[str]:
        """Those of the events that are open."""
        return {counter.event.zone for counter in self._counters.values()}

    def read(self) -> list[ZoneReading]:
        """Every zone whose events all answer; what failed, and what could not be opened, is in `errors` until
        the next read."""
        self._reads += 1
        self._follow_masks()
        failures, self._failures = self._failures, []
        readings = []
        for key, counter in tuple(self._counters.items()):
            try:
                readings.append(self._read(counter))
            except OSError as error:
                failures.append(_gone(counter.path, error))
                counter.close(tuple(counter.by_cpu))
                del self._counters[key]
                self._is_complete = False
        self.errors = failures
        return readings

    def close(self) -> None:
        """Close every event."""
        for counter in self._counters.values():
            counter.close(tuple(counter.by_cpu))
        self._counters.clear()

    def _read(self, counter: _Counter) -> ZoneReading:
        for cpu, descriptor in counter.by_cpu.items():
            content = self._read_event(descriptor)
            if len(content) < _COUNT_BYTES:  # the kernel says so of an event that it had to give up
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            counter.last[cpu] = int.from_bytes(content[:_COUNT_BYTES], sys.byteorder)
        counts, event = counter.before + sum(counter.last.values()), counter.event
        return ZoneReading(
            event.zone,
            None if event.zone in MACHINE_WIDE else counter.socket,
            counter.path,
            round(counts * event.uj_per_count),
            event.max_energy_uj,
            self._clock(),
            is_own=True,
        )

    def _follow_masks(self) -> None:
        """Open what is on CPUs that came, and once in a while what could not be opened."""
        masks = {pmu.cpumask: _mask(pmu) for pmu in self._pmus}
        if masks == self._masks and (self._is_complete or self._reads % _RETRY_READS):
            return
        self._masks, self._is_complete = masks, True
        for pmu in self._pmus:
            try:
                cpus = parse_cpu_list(masks[pmu.cpumask])
            except ValueError as error:
                self._failures.append(MeterError(str(pmu.cpumask), str(error), False))
            else:
                self._open(pmu, self._by_socket(cpus))

    def _by_socket(self, cpus: Sequence[int]) -> Mapping[int, list[int]]:
        by_socket: dict[int, list[int]] = {}
        for cpu in cpus:
            by_socket.setdefault(max(0, package_number(self._sysfs, cpu)), []).append(cpu)
        return by_socket

    def _open(self, pmu: EnergyPmu, cpus_by_socket: Mapping[int, Sequence[int]]) -> None:
        for event in pmu.events:
            if self._wanted and event.zone not in self._wanted:
                continue
            for key, counter in tuple(self._counters.items()):
                if counter.event is event and counter.socket not in cpus_by_socket:
                    self._failures.append(MeterError(counter.path, "its socket is gone", True))
                    counter.close(tuple(counter.by_cpu))
                    del self._counters[key]
            for socket, cpus in cpus_by_socket.items():
                self._open_on(self._counters.get((event.path, socket)) or _Counter(event, socket), cpus)

    def _open_on(self, counter: _Counter, cpus: Sequence[int]) -> None:
        """As many events as the mask has CPUs in the socket. Where a CPU of the mask has gone, the kernel has
        moved its event to the one that took its place."""
        strays = [cpu for cpu in counter.by_cpu if cpu not in cpus]
        counter.close(strays[: max(0, len(counter.by_cpu) - len(cpus))])
        lacking = [cpu for cpu in cpus if cpu not in counter.by_cpu]
        try:
            for cpu in lacking[: len(cpus) - len(counter.by_cpu)]:
                counter.by_cpu[cpu] = self._open_event(counter.event.type, counter.event.config, cpu)
        except OSError as error:
            self._failures.append(_gone(counter.path, error))
            counter.close(tuple(counter.by_cpu))
            self._counters.pop((counter.event.path, counter.socket), None)
            self._is_complete = False
        else:
            self._counters[counter.event.path, counter.socket] = counter

    def _why_none(self) -> MeterUnavailable:
        where = self._sysfs / DEVICES
        if not self._pmus:
            return MeterAbsent(f"no PMU named power in {where}: a machine with RAPL has one, a VM has none")
        if self._failures:
            first = self._failures[0]
            return MeterUnavailable(f"no event of {where}/power serves: {first.path} {first.message}")
        found = ", ".join(sorted({event.zone for pmu in self._pmus for event in pmu.events}))
        wanted = ", ".join(sorted(self._wanted)) or "any"
        return MeterUnavailable(
            f"rapl.zones asks for {wanted}, but {where}/power has {found or 'none'} alone"
        )


def _mask(pmu: EnergyPmu) -> str:
    """The CPUs on which its events are opened; 0 where the kernel does not say."""
    try:
        return pmu.cpumask.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return "0"


def _gone(path: str, error: OSError) -> MeterError:
    return MeterError(path, f"cannot be read: {error.strerror or error}", vanished=True)
