"""What perf itself counts for a cgroup, beside what we count for it; without pytest, as counting.py.

Software events stand in for the hardware ones that a machine may lack; they take the same way.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from ebpf.counters import CACHE_MISSES, CYCLES, INSTRUCTIONS, CounterSource
from ebpf.cpus import online_cpus
from ebpf.perf_events import TYPE_SOFTWARE, Event, open_event
from tests.live.sandbox import Cgroup

CPU_CLOCK, PAGE_FAULTS, MINOR_FAULTS = 0, 2, 5
STAND_INS = {
    "cycles": Event(TYPE_SOFTWARE, CPU_CLOCK),
    "instructions": Event(TYPE_SOFTWARE, PAGE_FAULTS),
    "cache_misses": Event(TYPE_SOFTWARE, MINOR_FAULTS),
}
FIELD_INDEX = {"cycles": CYCLES, "instructions": INSTRUCTIONS, "cache_misses": CACHE_MISSES}


@contextlib.contextmanager
def perf_of(group: Cgroup, events: Mapping[str, Event] = STAND_INS) -> Iterator[dict[str, list[int]]]:
    """Descriptors of perf's own counters for one cgroup, every CPU."""
    folder = os.open(group.folder("v2"), os.O_RDONLY | os.O_DIRECTORY)
    cpus = online_cpus(Path("/sys"))
    opened = {field: [open_event(event, cpu, folder) for cpu in cpus] for field, event in events.items()}
    try:
        yield opened
    finally:
        for fd in [folder, *(fd for fds in opened.values() for fd in fds)]:
            os.close(fd)


def perf_counts(opened: dict[str, list[int]]) -> dict[str, int]:
    return {
        field: sum(struct.unpack("QQQ", os.read(fd, 24))[0] for fd in fds) for field, fds in opened.items()
    }


def our_counts(source: CounterSource, group: Cgroup) -> dict[str, int]:
    snapshot = source.read()
    rows = snapshot.values[snapshot.cgroup_id == group.cgroup_id("v2")].sum(axis=(0, 1))
    return {field: int(rows[index]) for field, index in FIELD_INDEX.items()}
