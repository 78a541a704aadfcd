"""What podjoule itself costs, as the process_* families that every Prometheus client has."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from exporter.exposition import Family

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# Fields of /proc/PID/stat behind the command's name, counted from the state (proc(5) numbers that 3).
_UTIME, _STIME, _STARTTIME, _VSIZE, _RSS = 11, 12, 19, 20, 21

# Names and help of prometheus_client's ProcessCollector.
_FAMILIES = (
    ("process_virtual_memory_bytes", "Virtual memory size in bytes.", "gauge"),
    ("process_resident_memory_bytes", "Resident memory size in bytes.", "gauge"),
    ("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", "gauge"),
    ("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", "counter"),
    ("process_open_fds", "Number of open file descriptors.", "gauge"),
    ("process_max_fds", "Maximum number of open file descriptors.", "gauge"),
)

Readings = dict[str, float]


def process_families(procfs: Path = Path("/proc")) -> list[Family]:
    """The six process_* families from `procfs`/self, in seconds, bytes and files.

    A family whose file is absent, unreadable or malformed has no series; nothing is raised.
    """
    readings: Readings = {}
    for read in (_usage, _start_time, _open_fds, _max_fds):
        readings |= _readable(read, procfs)
    return [_family(name, text, type_, readings) for name, text, type_ in _FAMILIES]


def _family(name: str, text: str, type_: str, readings: Readings) -> Family:
    values = [readings[name]] if name in readings else []
    return Family(name, text, type_, (), [()] * len(values), values)


def _readable(read: Callable[[Path], Readings], procfs: Path) -> Readings:
    try:
        return read(procfs)
    except (OSError, ValueError, IndexError, StopIteration):
        return {}


def _usage(procfs: Path) -> Readings:
    stat = _stat(procfs)
    return {
        "process_virtual_memory_bytes": float(stat[_VSIZE]),
        "process_resident_memory_bytes": float(stat[_RSS]) * _PAGE_BYTES,
        "process_cpu_seconds_total": (float(stat[_UTIME]) + float(stat[_STIME])) / _TICKS_PER_SECOND,
    }


def _start_time(procfs: Path) -> Readings:
    boot = _field(procfs / "stat", b"btime ", 1)
    return {"process_start_time_seconds": float(_stat(procfs)[_STARTTIME]) / _TICKS_PER_SECOND + float(boot)}


def _open_fds(procfs: Path) -> Readings:
    with os.scandir(procfs / "self" / "fd") as entries:
        return {"process_open_fds": float(sum(1 for _ in entries))}


def _max_fds(procfs: Path) -> Readings:
    soft = _field(procfs / "self" / "limits", b"Max open files", 3)
    return {"process_max_fds": float("inf") if soft == b"unlimited" else float(soft)}


def _stat(procfs: Path) -> list[bytes]:
    # The command's name stands in parentheses and may itself hold any of them.
    return (procfs / "self" / "stat").read_bytes().rpartition(b")")[2].split()


def _field(path: Path, start: bytes, index: int) -> bytes:
    lines = path.read_bytes().splitlines()
    return next(line for line in lines if line.startswith(start)).split()[index]
