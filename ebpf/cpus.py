"""Which CPUs and processes there are, as the kernel lists them."""

from __future__ import annotations

from pathlib import Path


def parse_cpu_list(text: str) -> list[int]:
    """The numbers in a kernel CPU list such as "0-3,8". Raises ValueError for anything else."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def online_cpus(sysfs: Path) -> list[int]:
    """The CPUs that are online now. Raises OSError or ValueError where sysfs does not say."""
    return parse_cpu_list((sysfs / "devices/system/cpu/online").read_text())


def running_processes(procfs: Path) -> list[int]:
    """The process ids that procfs lists."""
    return [int(entry.name) for entry in procfs.iterdir() if entry.name.isdigit()]
