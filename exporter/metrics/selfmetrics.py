"""What podjoule itself costs: process_* and python_*, as every Prometheus client in Python names them.

Read here, since importing prometheus_client brings its HTTP servers: a megabyte and a half.
"""

from __future__ import annotations

import gc
import os
import platform
import resource
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ebpf.process_times import RESIDENT, STARTED, SYSTEM, USER, VIRTUAL, read_stat
from exporter.metrics.exposition import Family

T = TypeVar("T")

_PROCESS = {
    "process_virtual_memory_bytes": "Virtual memory size in bytes.",
    "process_resident_memory_bytes": "Resident memory size in bytes.",
    "process_start_time_seconds": "Start time of the process since unix epoch in seconds.",
    "process_cpu_seconds_total": "Total user and system CPU time spent in seconds.",
    "process_open_fds": "Number of open file descriptors.",
    "process_max_fds": "Maximum number of open file descriptors.",
}
_COLLECTOR = (
    ("python_gc_objects_collected_total", "Objects collected during gc", "collected"),
    ("python_gc_objects_uncollectable_total", "Uncollectable objects found during GC", "uncollectable"),
    ("python_gc_collections_total", "Number of times this generation was collected", "collections"),
)


class OwnFamilies:
    """The families of this process, read from `procfs`/self and from the interpreter.

    start_seconds: the Unix time at which their counters were 0, where procfs does not say when it began.
    """

    def __init__(self, procfs: Path = Path("/proc"), start_seconds: float = 0.0) -> None:
        self._procfs = procfs
        self._start_seconds = start_seconds
        self._boot_seconds = _known(lambda: _boot_seconds(procfs / "stat")) or 0.0
        self._python = _python_info()

    def read(self) -> list[Family]:
        """In seconds, bytes and files. What is absent, unreadable or malformed has no family."""
        process = _known(self._of_process) or {}
        start = process.get("process_start_time_seconds") or self._start_seconds
        return [
            *(_family(name, _PROCESS[name], [((), value)], start) for name, value in process.items()),
            *(
                _family(name, text, _by_generation(key), start, "generation")
                for name, text, key in _COLLECTOR
            ),
            self._python,
        ]

    def _of_process(self) -> Mapping[str, float]:
        """By family. Raises ValueError and LookupError for what no kernel writes."""
        own = self._procfs / "self"
        return {**_usage(own, self._boot_seconds), **_files(own)} if self._boot_seconds else {}


def _usage(own: Path, boot_seconds: float) -> dict[str, float]:
    """Memory and time."""
    try:
        fields = read_stat(own)
    except OSError:
        return {}
    ticks = os.sysconf("SC_CLK_TCK")
    return {
        "process_virtual_memory_bytes": float(fields[VIRTUAL]),
        "process_resident_memory_bytes": float(fields[RESIDENT]) * resource.getpagesize(),
        "process_start_time_seconds": float(fields[STARTED]) / ticks + boot_seconds,
        "process_cpu_seconds_total": (float(fields[USER]) + float(fields[SYSTEM])) / ticks,
    }


def _files(own: Path) -> dict[str, float]:
    try:
        lines = (own / "limits").read_text().splitlines()
        n_open = len(list((own / "fd").iterdir()))
    except OSError:
        return {}
    most = next(line for line in lines if line.startswith("Max open files")).split()[3]
    return {"process_open_fds": float(n_open), "process_max_fds": float(most)}


def _boot_seconds(stat: Path) -> float:
    lines = stat.read_text().splitlines()
    return float(next(line for line in lines if line.startswith("btime ")).split()[1])


def _known(read: Callable[[], T]) -> T | None:
    """What a file says; None for one that is not there or that no kernel writes so: no tick fails of it."""
    try:
        return read()
    except (OSError, ValueError, LookupError, StopIteration):
        return None


def _by_generation(key: str) -> Sequence[tuple[tuple[str, ...], float]]:
    return [((str(number),), float(of[key])) for number, of in enumerate(gc.get_stats())]


def _python_info() -> Family:
    major, minor, patchlevel = platform.python_version_tuple()
    info = {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "major": major,
        "minor": minor,
        "patchlevel": patchlevel,
    }
    return Family(
        "python_info", "Python platform information", "gauge", tuple(info), [tuple(info.values())], [1.0]
    )


def _family(
    name: str,
    text: str,
    series: Sequence[tuple[tuple[str, ...], float]],
    start_seconds: float,
    *label_names: str,
) -> Family:
    labels, values = [each[0] for each in series], [each[1] for each in series]
    if not name.endswith("_total"):
        return Family(name, text, "gauge", label_names, labels, values)
    return Family(name, text, "counter", label_names, labels, values, [start_seconds] * len(values))
