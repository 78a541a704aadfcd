"""Which CPUs and processes there are, as the kernel lists them."""

from __future__ import annotations

import os
from pathlib import Path


def parse_cpu_list(text: str) -> list[int]:
    """The numbers in a kernel CPU list such as "0-3,8". Raises ValueError for anything else."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, dash, last = part.partition("-")
            span = range(int(first), int(last if dash else first) + 1)
            if not span:
                raise ValueError(f"not a range of CPUs: {part!r}")
            cpus.extend(span)
    return cpus


def online_cpus(sysfs: Path) -> list[int]:
    """The CPUs that are online now; where this sysfs does not say, as many as there are, from 0 on."""
    try:
        return parse_cpu_list((sysfs / "devices/system/cpu/online").read_text())
    except (OSError, ValueError):
        return list(range(os.cpu_count() or 1))


def running_processes(procfs: Path) -> list[int]:
    """The process ids that procfs lists."""
    return [int(entry.name) for entry in procfs.iterdir() if entry.name.isdigit()]
