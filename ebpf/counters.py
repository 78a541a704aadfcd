"""The port between the kernel and the estimator: cumulative counters per cgroup and CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

# shared_ns: what of cpu_ns the core's other hardware thread was busy in; shared_cycles: the cycles of it.
FIELDS = ("cpu_ns", "cycles", "instructions", "cache_misses", "switches", "shared_ns", "shared_cycles")
CPU_NS, CYCLES, INSTRUCTIONS, CACHE_MISSES, SWITCHES, SHARED_NS, SHARED_CYCLES = range(len(FIELDS))
AWAKE_NS = "awake_ns"  # among what is available: counted, by socket

CounterArray = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class CounterSnapshot:
    """What every cgroup has used since the source was attached; nothing in it ever goes down.

    cgroup_id: shape (n,). tgid: shape (n,), 0 unless processes are told apart.
    values: shape (n, n_cpu, n_fields) in the order of FIELDS; the CPU axis has length 1
    where the source cannot tell CPUs apart. dropped: shape (n_cpu, n_fields), what the kernel's
    map could not hold. available: the fields that are measured; the others hold zeros that mean nothing.
    The idle task is counted in nothing. Time of interrupts that the kernel keeps out of tasks' clocks is the
    kernel threads', and since the machine was booted. monotonic_ns: CLOCK_MONOTONIC at the reading.
    awake_ns: by physical socket, how long some CPU of it was busy; empty where nobody counts it.
    """

    cgroup_id: npt.NDArray[np.uint64]
    tgid: npt.NDArray[np.uint32]
    values: CounterArray
    dropped: CounterArray
    available: frozenset[str]
    monotonic_ns: int
    awake_ns: Mapping[int, int] = field(default_factory=dict)


class CgroupDirectory(Protocol):
    """Which cgroups there are, by the id that the counters carry."""

    def path(self, cgroup_id: int) -> str | None:
        """The path below the hierarchy's root ("/" for the root, "[kernel]" for its kernel threads).

        None for an id that was never seen.
        """

    def is_alive(self, cgroup_id: int) -> bool:
        """False once the cgroup has been removed, or was never seen."""

    def __iter__(self) -> Iterator[int]:
        """The ids of the cgroups that are alive."""

    @property
    def revision(self) -> int:
        """Another number whenever a cgroup has come, gone, been renamed or been forgotten."""


@dataclass(frozen=True, slots=True)
class KernelStatistics:
    """What our own kernel programs cost and could not do; all cumulative but map_entries and blind_cpus.

    run_count and run_ns stay None where kernel.bpf_stats_enabled is 0 or there is no program. nameless:
    cgroups that were counted and that nobody told of. blind_cpus: CPUs that came and whose events cannot be
    opened.
    """

    run_count: dict[str, int] = field(default_factory=dict)
    run_ns: dict[str, int] = field(default_factory=dict)
    map_entries: int = 0
    dropped_ns: int = 0
    lost_events: int = 0
    nameless: int = 0
    blind_cpus: int = 0


def _no_files() -> CounterArray:
    return np.zeros((0, 3), np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What a source leaves to the process after this one.

    identity: of the counters in the kernel; empty where they end with the process. A source of the same
    identity goes on counting in them. paths: of the cgroups that its snapshots may still name, by id.
    files: shape (n, 3), id, usage and own sum in nanoseconds, where usage files are what is counted from.
    """

    identity: str = ""
    paths: Mapping[int, str] = field(default_factory=dict)
    files: CounterArray = field(default_factory=_no_files)


NOTHING_KEPT = Kept()


class CounterSource(Protocol):
    """Cumulative counters of every cgroup on the node."""

    name: str

    @property
    def directory(self) -> CgroupDirectory:
        """The cgroups that the snapshots' ids stand for."""

    def read(self) -> CounterSnapshot:
        """Count everything up to now. A cgroup that ended is in one more reading after its end."""

    def statistics(self) -> KernelStatistics:
        """What the source itself costs."""

    def kept(self) -> Kept:
        """What the process after this one needs to go on from the last reading."""

    def close(self) -> None:
        """Detach; nothing of the source stays in the kernel but what was pinned on purpose."""
