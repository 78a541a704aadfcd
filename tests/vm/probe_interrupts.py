"""CPU time of all workloads together against /proc/stat, while interrupts take much of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from ebpf.cgroups import KERNEL_THREADS
from ebpf.counters import CPU_NS, CounterSnapshot, CounterSource
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.live import loads
from tests.live.sandbox import cgroup, hierarchies, stop

WINDOW_SECONDS = 30
TYPES = Path("/types")
_TICK_NS = 10_000_000
_COLUMNS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq")  # proc_stat(5)


def cpu_time_ns() -> dict[str, int]:
    """What the whole machine did since it was booted, by /proc/stat's own names."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    return {name: int(n) * _TICK_NS for name, n in zip(_COLUMNS, line.split()[1:], strict=False)}


def busy_ns(cpu_time: Mapping[str, int]) -> int:
    return sum(ns for name, ns in cpu_time.items() if name not in ("idle", "iowait"))


def interrupts() -> dict[str, object]:
    """Datagrams to nobody from every CPU: a third of it and more is softirqs, on no task's clock."""
    types = TYPES if TYPES.exists() else None
    with (
        contextlib.closing(open_source("core", ProgramOptions(hierarchies()["v2"], btf=types))) as source,
        cgroup("flood") as group,
    ):
        floods = [group.python(loads.DATAGRAMS, cpu=cpu) for cpu in (0, 1)]
        time.sleep(3)
        first, before, second = _read(source)
        time.sleep(WINDOW_SECONDS)
        third, after, fourth = _read(source)
        stop(*floods)
    return {
        "counted_ns": _counted(after) - _counted(before),
        "kernel_ns": _counted(after, KERNEL_THREADS) - _counted(before, KERNEL_THREADS),
        "least_ns": busy_ns(third) - busy_ns(second),
        "most_ns": busy_ns(fourth) - busy_ns(first),
        "cpu_time_ns": {name: fourth[name] - first[name] for name in first},
    }


def _read(source: CounterSource) -> tuple[dict[str, int], CounterSnapshot, dict[str, int]]:
    """Ours between two of the kernel's."""
    return cpu_time_ns(), source.read(), cpu_time_ns()


def _counted(snapshot: CounterSnapshot, cgroup_id: int | None = None) -> int:
    rows = slice(None) if cgroup_id is None else snapshot.cgroup_id == cgroup_id
    return int(snapshot.values[rows][:, :, CPU_NS].sum())
