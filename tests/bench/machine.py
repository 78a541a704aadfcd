"""What a benchmark was run on, and how much of it others took meanwhile."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from ebpf.perf_events import try_events

_STEAL = 7  # of the times in the first line of /proc/stat, proc(5)


def description() -> str:
    """Kernel, CPUs, and whether the hardware counters are there."""
    missing = [name for name, failed in try_events(Path("/sys")).items() if failed]
    events = "hardware counters" if not missing else f"no hardware counter for {', '.join(missing)}"
    stand_ins = "; software events stand in for counters" if missing else ""
    kernel = f"{platform.system()} {platform.release()} {platform.machine()}"
    cpus = f"{os.cpu_count()} CPUs ({_model()})"
    return f"{kernel}, {cpus}, Python {platform.python_version()}; {events}{stand_ins}"


def cpu_times() -> list[int]:
    """User, nice, system, idle, iowait, irq, softirq, steal: ticks of all CPUs since boot."""
    return [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


def stolen(before: list[int]) -> float:
    """The share of the machine's time since then that its host gave to others."""
    spent = [after - earlier for after, earlier in zip(cpu_times(), before, strict=True)]
    return spent[_STEAL] / max(1, sum(spent))


def _model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown model")
