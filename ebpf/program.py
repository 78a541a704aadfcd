"""What a loader hands over: kernel programs that run, by descriptor, whoever compiled them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ebpf import libbpf
from ebpf.counters import NOTHING_KEPT, Kept
from ebpf.hierarchy import Hierarchy
from ebpf.perf_events import HARDWARE, Event

EVENT_FIELDS = ("cycles", "instructions", "cache_misses")
# program -> tracepoint. The cgroup ones come first: what is made while the tree is walked must be heard of.
HOOKS = {
    "on_mkdir": "cgroup_mkdir",
    "on_rmdir": "cgroup_rmdir",
    "on_rename": "cgroup_rename",
    "on_attach": "cgroup_attach_task",
    "on_switch": "sched_switch",
}
# What outlives the process where it is pinned: all of the programs' maps but settings and scratch room.
PINNED_MAPS = ("counts", "cpus", *EVENT_FIELDS, "cgroup_events", "lost_events")
MAPS = ("counts", "cpus", "cgroup_events", "lost_events")

LAYOUT_VERSION = 2
# The numpy side of counters.h, held together by tests/ebpf/test_layout.py.
KEY = np.dtype([("cgroup_id", "<u8"), ("tgid", "<u4"), ("pad", "<u4")])
COUNTERS = np.dtype(
    [("cpu_ns", "<u8"), ("events", "<u8", 3), ("switches", "<u8"), ("blind_ns", "<u8", 3)],
)
EVENT_READING = np.dtype([("count", "<u8"), ("enabled_ns", "<u8"), ("running_ns", "<u8")])
CPU_STATE = np.dtype(
    [
        ("owner", KEY),
        ("css_set", "<u8"),
        ("runtime_ns", "<u8"),
        ("left_runtime_ns", "<u8"),
        ("pending_ns", "<u8"),
        ("pending_switches", "<u8"),
        ("moved_ns", "<u8"),
        ("moved_runtime_ns", "<u8"),
        ("watched_since_ns", "<u8"),
        ("pid", "<u4"),
        ("moved_pid", "<u4"),
        ("events", EVENT_READING, 3),
        ("dropped", COUNTERS),
    ]
)
SETTINGS = np.dtype(
    [(name, "<u4") for name in ("n_cpu", "event_mask", "by_process", "hierarchy", "v1_cpuacct")]
)


@dataclass(frozen=True, slots=True)
class ProgramOptions:
    """How the programs are to count. map_entries: live (cgroup, process) pairs that fit.

    pin: directory on a bpffs below which maps and links outlive the process; None for nowhere.
    kept: what the process before this one left.
    """

    hierarchy: Hierarchy
    sysfs: Path = Path("/sys")
    procfs: Path = Path("/proc")
    map_entries: int = 16384
    by_process: bool = False
    events: Mapping[str, Event] = field(default_factory=lambda: HARDWARE)
    pin: Path | None = None
    kept: Kept = NOTHING_KEPT


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """Programs attached to the scheduler and the cgroup tracepoints.

    maps: name -> descriptor. programs: name -> descriptor, for statistics. charge_running: the program to run
    on a CPU before a reading. available: the fields that are counted. close: detaches and frees everything
    that is not pinned. identity: of the counts, where they outlive the process.
    """

    maps: Mapping[str, int]
    programs: Mapping[str, int]
    charge_running: int
    n_cpu: int
    available: frozenset[str]
    close: Callable[[], None]
    identity: str = ""


def event_mask(events: Mapping[str, object]) -> int:
    """Which of EVENT_FIELDS were opened, as `struct settings` has it."""
    return sum(1 << i for i, field in enumerate(EVENT_FIELDS) if field in events)


def put_events(events: Mapping[str, Mapping[int, int]], map_fd: Callable[[str], int]) -> None:
    """Hand every opened event, field -> cpu -> descriptor, to the kernel's map of that name."""
    for name, descriptors in events.items():
        for cpu, fd in descriptors.items():
            libbpf.update(map_fd(name), cpu, fd)


def settings_of(options: ProgramOptions, n_cpu: int, event_mask: int) -> bytes:
    """`struct settings` for these options."""
    hierarchy = options.hierarchy
    values = (n_cpu, event_mask, options.by_process, hierarchy.number, hierarchy.controller == "cpuacct")
    return np.array(values, SETTINGS).tobytes()


def layout_of(options: ProgramOptions, n_cpu: int, event_mask: int) -> str:
    """The name of all that two programs must have in common to count in the same maps."""
    events = sorted((name, event.type, event.config) for name, event in options.events.items())
    dtypes = [dtype.descr for dtype in (KEY, COUNTERS, CPU_STATE)]
    common = (dtypes, settings_of(options, n_cpu, event_mask), options.map_entries, events)
    return f"podjoule_{LAYOUT_VERSION}_{hashlib.sha256(repr(common).encode()).hexdigest()[:12]}"
