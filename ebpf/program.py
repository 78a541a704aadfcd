"""What a loader hands over: kernel programs that run, by descriptor, whoever compiled them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ebpf.counters import NOTHING_KEPT, Kept
from ebpf.cpu_events import CpuEvents
from ebpf.cpu_places import CPU_PLACE, SOCKET_STATE, CpuPlaces
from ebpf.hierarchy import Hierarchy
from ebpf.perf_events import EVENT_FIELDS, HARDWARE, Event

# program -> tracepoint. The cgroup ones come first: what is made while the tree is walked must be heard of.
HOOKS = {
    "on_mkdir": "cgroup_mkdir",
    "on_rmdir": "cgroup_rmdir",
    "on_rename": "cgroup_rename",
    "on_attach": "cgroup_attach_task",
    "on_switch": "sched_switch",
}
_TELLING = frozenset({"on_mkdir", "on_rmdir", "on_rename"})  # through the ring buffer
# What outlives the process where it is pinned: all of the programs' maps but settings and scratch room.
_FIRST_PINNED = ("counts", "cpus", "places", "sockets", *EVENT_FIELDS, "cgroup_events", "lost_events")
# "groups": the release that began this layout has none; where it counts none of the events are a group.
PINNED_MAPS = (*_FIRST_PINNED, "groups")
MAPS = ("counts", "cpus", "cgroup_events", "lost_events", "interrupts")

LAYOUT_VERSION = 4
# The numpy side of counters.h, held together by tests/ebpf/test_layout.py.
KEY = np.dtype([("cgroup_id", "<u8"), ("tgid", "<u4"), ("pad", "<u4")])
COUNTERS = np.dtype(
    [
        ("cpu_ns", "<u8"),
        ("events", "<u8", 3),
        ("switches", "<u8"),
        ("shared_ns", "<u8"),
        ("shared_cycles", "<u8"),
        ("blind_ns", "<u8", 3),
    ],
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
        ("activity", "<u8"),
        ("sibling_busy_ns", "<u8"),
        ("place", CPU_PLACE),
        ("pid", "<u4"),
        ("moved_pid", "<u4"),
        ("events", EVENT_READING, 3),
        ("dropped", COUNTERS),
        ("idle", COUNTERS),
    ]
)
BUSY = np.uint64(1)  # lowest bit of a CPU's activity
SETTINGS = np.dtype(
    [(name, "<u4") for name in ("n_cpu", "event_mask", "by_process", "hierarchy", "v1_cpuacct", "by_copy")]
)


@dataclass(frozen=True, slots=True)
class ProgramOptions:
    """How the programs are to count. map_entries: live (cgroup, process) pairs that fit.

    pin: directory on a bpffs below which maps and links outlive the process; None for nowhere.
    kept: what the process before this one left. btf: file of kernel types, for kernels that have none of
    their own. by_copy: load as on such a kernel, whatever this one knows of itself.
    """

    hierarchy: Hierarchy
    sysfs: Path = Path("/sys")
    procfs: Path = Path("/proc")
    map_entries: int = 16384
    by_process: bool = False
    events: Mapping[str, Event] = field(default_factory=lambda: HARDWARE)
    pin: Path | None = None
    kept: Kept = NOTHING_KEPT
    btf: Path | None = None
    by_copy: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """Which programs and maps there are: without ring buffers (has_ring) nobody tells of cgroups."""

    has_ring: bool = True

    @property
    def hooks(self) -> dict[str, str]:
        """Those of HOOKS that are attached."""
        return {hook: at for hook, at in HOOKS.items() if self.has_ring or hook not in _TELLING}

    @property
    def maps(self) -> tuple[str, ...]:
        """Those of MAPS that are read."""
        return self._present(MAPS)

    @property
    def pinned_maps(self) -> tuple[str, ...]:
        """Those of PINNED_MAPS that are pinned."""
        return self._present(PINNED_MAPS)

    @property
    def first_pinned_maps(self) -> tuple[str, ...]:
        """Those that every release with this layout pins."""
        return self._present(_FIRST_PINNED)

    def _present(self, maps: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in maps if self.has_ring or name != "cgroup_events")


WHOLE = Parts()


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """Programs attached to the scheduler and the cgroup tracepoints.

    maps: name -> descriptor; without "cgroup_events" on a kernel without ring buffers. programs: name ->
    descriptor, for statistics. charge_running: the program to run on a CPU before a reading. available: the
    fields that are counted wherever CPUs sit. close: detaches and frees everything that is not pinned.
    identity: of the counts, where they outlive the process. events, places: in the maps, for CPUs that come
    and go. put_to_rest: the program to run with the number of a CPU that went. read_interrupts: the program
    that fills the map "interrupts", or says that there is nothing to fill it with.
    """

    maps: Mapping[str, int]
    programs: Mapping[str, int]
    charge_running: int
    n_cpu: int
    available: frozenset[str]
    close: Callable[[], None]
    identity: str = ""
    events: CpuEvents = field(default_factory=CpuEvents)
    places: CpuPlaces = field(default_factory=CpuPlaces)
    put_to_rest: int = -1
    read_interrupts: int = -1


def event_mask(fields: Collection[str]) -> int:
    """Which of EVENT_FIELDS were opened, as `struct settings` has it."""
    return sum(1 << i for i, field in enumerate(EVENT_FIELDS) if field in fields)


def settings_of(options: ProgramOptions, n_cpu: int, event_mask: int, *, by_copy: bool = False) -> bytes:
    """`struct settings` for these options."""
    hierarchy = options.hierarchy
    v1_cpuacct = hierarchy.controller == "cpuacct"
    values = (n_cpu, event_mask, options.by_process, hierarchy.number, v1_cpuacct, by_copy)
    return np.array(values, SETTINGS).tobytes()


def layout_of(options: ProgramOptions, n_cpu: int, event_mask: int, parts: Parts = WHOLE) -> str:
    """The name of all that two programs must have in common to count in the same maps.

    How a program gets at the kernel's structs is not among it.
    """
    events = sorted((name, event.type, event.config) for name, event in options.events.items())
    dtypes = [dtype.descr for dtype in (KEY, COUNTERS, CPU_STATE, SOCKET_STATE)]
    settings = settings_of(options, n_cpu, event_mask)
    common = (dtypes, settings, options.map_entries, events, parts.first_pinned_maps)
    return f"podjoule_{LAYOUT_VERSION}_{hashlib.sha256(repr(common).encode()).hexdigest()[:12]}"
