"""Which CPUs and processes there are, as the kernel lists them."""

from __future__ import annotations

import os
import re
from pathlib import Path


def parse_cpu_list(text: str) -> list[int]:
    """The kernel's list format, ascending: "0-3,8" -> [0, 1, 2, 3, 8]; "" -> []. ValueError if malformed.

    Source: Linux Documentation/admin-guide/cputopology.rst.
    """
    cpus: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part, re.ASCII)
        span = range(int(match[1]), int(match[2] or match[1]) + 1) if match else ()
        if not span:
            raise ValueError(f"not a CPU list: {text.strip()!r}")
        cpus.update(span)
    return sorted(cpus)


def online_cpus(sysfs: Path) -> list[int]:
    """The CPUs that are online now; where this sysfs does not say, as many as there are, from 0 on."""
    try:
        return parse_cpu_list((sysfs / "devices/system/cpu/online").read_text())
    except (OSError, ValueError):
        return list(range(os.cpu_count() or 1))


def offline_cpus(sysfs: Path) -> frozenset[int]:
    """The CPUs that the kernel has room for and that are not online; none where this sysfs does not say."""
    try:
        possible = parse_cpu_list((sysfs / "devices/system/cpu/possible").read_text())
    except (OSError, ValueError):
        return frozenset()
    return frozenset(possible) - frozenset(online_cpus(sysfs))


def package_number(sysfs: Path, cpu: int) -> int:
    """The number of the socket that a CPU sits in; negative where the kernel does not know, or hides it."""
    try:
        return int((sysfs / f"devices/system/cpu/cpu{cpu}/topology/physical_package_id").read_text())
    except (OSError, ValueError):
        return -1


class OnlineCpus:
    """The CPUs that are online, followed by one system call at each asking, through a kept-open file."""

    def __init__(self, sysfs: Path) -> None:
        self.cpus = frozenset(online_cpus(sysfs))
        self._text = b""
        try:
            self._fd = os.open(sysfs / "devices/system/cpu/online", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
        self.changes()

    def changes(self) -> tuple[frozenset[int], frozenset[int]]:
        """Which came and which went since the last asking; none where this sysfs does not say."""
        before, self.cpus = self.cpus, self._read()
        return self.cpus - before, before - self.cpus

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _read(self) -> frozenset[int]:
        try:
            text = os.pread(self._fd, 4096, 0) if self._fd >= 0 else self._text
            if text != self._text:
                self._text = text
                return frozenset(parse_cpu_list(text.decode()))
        except (OSError, ValueError):
            pass
        return self.cpus


class OnlineList:
    """The CPUs that are online, ascending; parsed only where the kernel's list is another than last time."""

    def __init__(self, sysfs: Path) -> None:
        self._sysfs = sysfs
        self._file = sysfs / "devices/system/cpu/online"
        self._text = b""
        self._cpus: tuple[int, ...] = ()

    def read(self) -> tuple[int, ...]:
        """See online_cpus."""
        try:
            with self._file.open("rb", buffering=0) as file:
                text = file.read(4096)
        except OSError:
            text = b""
        if text != self._text or not text:
            self._text, self._cpus = text, tuple(online_cpus(self._sysfs))
        return self._cpus


def shows_every_process(procfs: Path) -> bool:
    """Whether a procfs shows the kernel's own PIDs, all of them.

    PID 2 is kthreadd there and in no other PID namespace; hidepid hides it with the rest.
    """
    try:
        return (procfs / "2/comm").read_bytes() == b"kthreadd\n"
    except OSError:
        return False


def running_processes(procfs: Path) -> list[int]:
    """The process ids that procfs lists."""
    return [int(entry.name) for entry in procfs.iterdir() if entry.name.isdigit()]
