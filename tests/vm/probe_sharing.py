"""What hardware threads share and how long sockets are awake, on a machine of ./kit, against a trace."""

from __future__ import annotations

import contextlib
import platform
import time
from dataclasses import asdict
from pathlib import Path

from ebpf.counters import CounterSource
from ebpf.cpu_places import read_places
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.live.perf import STAND_INS
from tests.live.sandbox import hierarchies
from tests.live.sharing import Found, Phases, shared_by
from tests.live.switch_trace import traced
from tests.live.topology_tree import write_tree

SYSFS, PLAYED = Path("/sys"), Path("/played-sys")
# Periods that beat with each other, on an emulated machine's scale. A window's edges are as wide as a reading
# takes, tens of milliseconds there.
RUNNING = {
    "overlap": [Phases(0, 0.030, 0.010), Phases(1, 0.040, 0.020)],
    "long phases": [Phases(0, 0.3, 0.1), Phases(1, 0.3, 0.1, 0.05)],
    "alone": [Phases(0, 0.030, 0.010)],
    "idle": [],
}
# Where a machine's clock is its host's, a busy host takes a CPU away in the middle of a switch, too: then
# there are milliseconds between what the trace says and the task's own clock. So switches are few, and of
# three windows one may be so.
SLOW = {
    "overlap": [Phases(0, 0.9, 0.3), Phases(1, 1.2, 0.6)],
    "long phases": [Phases(0, 0.9, 0.3), Phases(1, 0.9, 0.3, 0.15)],
    "alone": [Phases(0, 0.9, 0.3)],
    "idle": [],
}
COUNTS_INSTRUCTIONS = platform.machine() == "aarch64"
_WINDOWS, _WINDOW_SECONDS = (1, 6.0) if COUNTS_INSTRUCTIONS else (3, 3.6)


def sharing() -> dict[str, object]:
    """CPUs 0 and 1 by what this machine says, or where it has no threads, by what a tree says."""
    siblings = _siblings(SYSFS)
    sysfs = SYSFS if siblings else write_tree(PLAYED, [[0, 1]])
    found = {
        name: _found(sysfs, running, siblings or {0: 1, 1: 0}, {0: (0, 1)})
        for name, running in (RUNNING if COUNTS_INSTRUCTIONS else SLOW).items()
    }
    return {"by": "the kernel" if siblings else "a tree", "found": found}


def threads() -> dict[str, object]:
    """Two sockets of one core with two threads, all of them at work; then without threads, then with them."""
    loops = [*SLOW["overlap"], Phases(2, 1.5, 0.3)]
    siblings, sockets = _siblings(SYSFS), {0: (0, 1), 1: (2, 3)}
    options = ProgramOptions(hierarchies()["v2"], events=STAND_INS)
    with contextlib.closing(open_source("core", options)) as source:
        source.read()

        def measured(sibling_of: dict[int, int], running: list[Phases]) -> dict[str, object]:
            return _told(_windows(source, running, sibling_of, sockets))

        found = {"on": measured(siblings, loops)}
        _switch_threads("off")
        source.read()
        found["off"] = measured({}, [loops[0], loops[2]])
        _switch_threads("on")
        source.read()
        found["on again"] = measured(siblings, loops)
    return {"siblings": {str(cpu): sibling for cpu, sibling in siblings.items()}, "found": found}


def _found(
    sysfs: Path, running: list[Phases], siblings: dict[int, int], sockets: dict[int, tuple[int, int]]
) -> dict[str, object]:
    options = ProgramOptions(hierarchies()["v2"], sysfs=sysfs, events=STAND_INS)
    with contextlib.closing(open_source("core", options)) as source:
        source.read()
        return _told(_windows(source, running, siblings, sockets))


def _windows(
    source: CounterSource,
    running: list[Phases],
    siblings: dict[int, int],
    sockets: dict[int, tuple[int, int]],
) -> list[Found]:
    return [
        shared_by(traced, {"core": source}, running, siblings, sockets, _WINDOW_SECONDS)["core"]
        for _ in range(_WINDOWS)
    ]


def _told(windows: list[Found]) -> dict[str, object]:
    """Of each loop and of each socket the window that is the median of how far off they are."""
    middle = len(windows) // 2
    of_loops = [
        sorted(each, key=lambda loop: loop.off_points)
        for each in zip(*(found.loops for found in windows), strict=True)
    ]
    of_sockets = {
        str(socket): sorted((found.awake[socket] for found in windows), key=lambda each: each.off_percent)
        for socket in windows[0].awake
    }
    return {
        "loops": [
            {
                **asdict(each[middle]),
                "off_points": each[middle].off_points,
                "most_shared_ns": max(loop.shared_ns for loop in each),
            }
            for each in of_loops
        ],
        "awake": {
            socket: {**asdict(each[middle]), "off_percent": each[middle].off_percent}
            for socket, each in of_sockets.items()
        },
        "available": sorted(frozenset.intersection(*(found.available for found in windows))),
    }


def _siblings(sysfs: Path) -> dict[int, int]:
    places = read_places(sysfs)
    return {cpu: place.sibling for cpu, place in places.items() if place.sibling is not None}


def _switch_threads(what: str) -> None:
    (SYSFS / "devices/system/cpu/smt/control").write_text(what)
    time.sleep(1)
