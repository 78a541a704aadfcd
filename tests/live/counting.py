"""The loads whose CPU time is known, and reading ours between two of the kernel's figures.

Without pytest: the machines of tests/vm have none.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ebpf.cgroups import KERNEL_THREADS
from ebpf.counters import CPU_NS, SWITCHES, CounterSnapshot, CounterSource
from tests.live import loads
from tests.live.sandbox import BUSY, Cgroup, cgroup, stop

# An emulated machine brings one that starts in less time.
SHORT_PROGRAM = os.environ.get("SHORT_PROGRAM", "/bin/true")


@dataclass
class Measured:
    """What one source counted in the window, by cgroup path.

    The kernel's own figures are read before and after each reading of ours: at least and at most this much
    was used between our two readings, however long the machine kept us from running in between.
    """

    counted_ns: dict[str, int]
    least_ns: dict[str, int]
    most_ns: dict[str, int]
    switches: dict[str, int]


def total(snapshot: CounterSnapshot, source: CounterSource, field: int) -> dict[str, int]:
    sums = snapshot.values[:, :, field].sum(axis=1)
    ids = snapshot.cgroup_id.tolist()
    return {source.directory.path(i) or f"unknown {i}": int(ns) for i, ns in zip(ids, sums, strict=True)}


def start_busy(group: Cgroup) -> list[subprocess.Popen[bytes]]:
    return [group.python(BUSY, cpu=0)]


def start_short(group: Cgroup) -> list[subprocess.Popen[bytes]]:
    return [group.python(loads.SHORT_PROCESSES, SHORT_PROGRAM)]


def start_threads(group: Cgroup) -> list[subprocess.Popen[bytes]]:
    first, second = group.child("first").make(), group.child("second").make()
    for each in (first, second):
        if "v2" in each.mounts:
            (each.folder("v2") / "cgroup.type").write_text("threaded")
    names = {"v1": "tasks", "v2": "cgroup.threads"}
    files = [":".join(str(g.folder(v) / names[v]) for v in g.mounts) for g in (first, second)]
    return [group.python(loads.TWO_THREADS, *files, cpu=1)]


def start_ping_pong(group: Cgroup) -> list[subprocess.Popen[bytes]]:
    ping, pong = group.child("ping").make(), group.child("pong").make()
    files = [str(pong.folder(version) / "cgroup.procs") for version in pong.mounts]
    return [ping.python(loads.PING_PONG, *files, cpu=1)]


STARTERS = {"busy": start_busy, "short": start_short, "threads": start_threads, "ping-pong": start_ping_pong}
LEAVES = {"busy": [""], "short": [""], "threads": ["first", "second"], "ping-pong": ["ping", "pong"]}


def leaves(groups: dict[str, Cgroup]) -> list[Cgroup]:
    return [
        groups[name].child(leaf) if leaf else groups[name] for name, below in LEAVES.items() for leaf in below
    ]


@dataclass
class Bracketed:
    """A reading of ours between two of the kernel's figures."""

    snapshot: CounterSnapshot
    earlier_ns: dict[str, int]
    later_ns: dict[str, int]


def bracketed(source: CounterSource, groups: Iterable[Cgroup], version: str) -> Bracketed:
    groups = list(groups)
    earlier = {group.path: group.used_ns(version) for group in groups}
    snapshot = source.read()
    return Bracketed(snapshot, earlier, {group.path: group.used_ns(version) for group in groups})


def compare(source: CounterSource, before: Bracketed, after: Bracketed) -> Measured:
    start, end = total(before.snapshot, source, CPU_NS), total(after.snapshot, source, CPU_NS)
    paths = after.later_ns
    return Measured(
        counted_ns={path: end.get(path, 0) - start.get(path, 0) for path in paths},
        least_ns={path: after.earlier_ns[path] - before.later_ns[path] for path in paths},
        most_ns={path: after.later_ns[path] - before.earlier_ns[path] for path in paths},
        switches=total(after.snapshot, source, SWITCHES),
    )


def is_within(counted_ns: int, least_ns: int, most_ns: int) -> bool:
    """Within 1 % or 20 ms, whichever is more, of what the kernel says."""
    slack = max(0.01 * most_ns, 20e6)
    return least_ns - slack <= counted_ns <= most_ns + slack


@dataclass(frozen=True)
class ShortLife:
    """A cgroup that came and went between two readings. counted: its row afterwards, None without one."""

    path: str
    cgroup_id: int
    counted: np.ndarray | None
    true_ns: int

    @property
    def counted_ns(self) -> int | None:
        return None if self.counted is None else int(self.counted[CPU_NS])


def short_life(source: CounterSource, version: str) -> ShortLife:
    """50 ms of a busy loop in a cgroup of its own, which is gone when the source is read."""
    source.read()
    with cgroup("short-lived") as group:
        cgroup_id = group.cgroup_id(version)
        process = group.python(BUSY)
        time.sleep(0.05)
        stop(process)
        true_ns = group.used_ns(version)
    return ShortLife(group.path, cgroup_id, counters_of(source.read(), cgroup_id), true_ns)


def counters_of(snapshot: CounterSnapshot, cgroup_id: int) -> np.ndarray | None:
    rows = np.flatnonzero(snapshot.cgroup_id == cgroup_id)
    return snapshot.values[rows[0]].sum(axis=0) if len(rows) else None


_TICK_NS = 10_000_000  # USER_HZ is 100 on every architecture of ours
_COLUMNS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq")  # proc_stat(5)


def machine_time_ns() -> dict[str, int]:
    """What all CPUs did since the machine was booted, by /proc/stat's own names; stolen time is in none."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    return {name: int(n) * _TICK_NS for name, n in zip(_COLUMNS, line.split()[1:], strict=False)}


@dataclass(frozen=True)
class WholeMachine:
    """What everything together used between two readings of ours, between what /proc/stat says of it."""

    counted_ns: int
    kernel_ns: int
    least_ns: int
    most_ns: int
    by_column_ns: Mapping[str, int]


@dataclass(frozen=True)
class WholeReading:
    """A reading of ours between two of /proc/stat."""

    earlier: Mapping[str, int]
    snapshot: CounterSnapshot
    later: Mapping[str, int]

    def since(self, before: WholeReading) -> WholeMachine:
        after_ns, before_ns = (
            snapshot.values[:, :, CPU_NS].sum() for snapshot in (self.snapshot, before.snapshot)
        )
        after, was = (counters_of(snapshot, KERNEL_THREADS) for snapshot in (self.snapshot, before.snapshot))
        return WholeMachine(
            counted_ns=int(after_ns - before_ns),
            kernel_ns=int(0 if after is None else after[CPU_NS]) - int(0 if was is None else was[CPU_NS]),
            least_ns=_busy_ns(self.earlier) - _busy_ns(before.later),
            most_ns=_busy_ns(self.later) - _busy_ns(before.earlier),
            by_column_ns={name: self.later[name] - before.earlier[name] for name in self.later},
        )


def read_whole(source: CounterSource) -> WholeReading:
    return WholeReading(machine_time_ns(), source.read(), machine_time_ns())


def _busy_ns(by_column: Mapping[str, int]) -> int:
    return sum(ns for name, ns in by_column.items() if name not in ("idle", "iowait"))
