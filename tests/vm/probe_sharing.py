"""What hardware threads share and how long sockets are awake, on a machine of ./kit, against a trace."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from pathlib import Path

from ebpf.cpu_places import read_places
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.live.perf import STAND_INS
from tests.live.sandbox import hierarchies
from tests.live.sharing import Found, Phases, shared_by
from tests.live.switch_trace import traced
from tests.live.topology_tree import write_tree

SYSFS, PLAYED = Path("/sys"), Path("/played-sys")
_WINDOW_SECONDS = 6  # each edge is as wide as a reading takes, tens of milliseconds there
# Periods that beat with each other, on an emulated machine's scale.
RUNNING = {
    "overlap": [Phases(0, 0.030, 0.010), Phases(1, 0.040, 0.020)],
    "long phases": [Phases(0, 0.3, 0.1), Phases(1, 0.3, 0.1, 0.05)],
    "alone": [Phases(0, 0.030, 0.010)],
    "idle": [],
}
# Four CPUs that take turns on one thread of the host: in the middle of a switch, the others' turns come, and
# lie between what the trace says and the task's own clock, a millisecond and more on a slow host.
SLOW_OVERLAP = [Phases(0, 0.3, 0.1), Phases(1, 0.4, 0.2), Phases(2, 0.5, 0.1)]


def sharing() -> dict[str, object]:
    """CPUs 0 and 1 by what this machine says, or where it has no threads, by what a tree says."""
    siblings = _siblings(SYSFS)
    sysfs = SYSFS if siblings else write_tree(PLAYED, [[0, 1]])
    found = {
        name: _found(sysfs, running, siblings or {0: 1, 1: 0}, {0: (0, 1)})
        for name, running in RUNNING.items()
    }
    return {"by": "the kernel" if siblings else "a tree", "found": found}


def threads() -> dict[str, object]:
    """Two sockets of one core with two threads, all of them at work; then without threads, then with them."""
    loops = SLOW_OVERLAP
    siblings, sockets = _siblings(SYSFS), {0: (0, 1), 1: (2, 3)}
    options = ProgramOptions(hierarchies()["v2"], events=STAND_INS)
    with contextlib.closing(open_source("core", options)) as source:
        source.read()

        def measured(sibling_of: dict[int, int], running: list[Phases]) -> dict[str, object]:
            by = shared_by(traced, {"core": source}, running, sibling_of, sockets, _WINDOW_SECONDS)
            return _told(by["core"])

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
        by = shared_by(traced, {"core": source}, running, siblings, sockets, _WINDOW_SECONDS)
        return _told(by["core"])


def _told(found: Found) -> dict[str, object]:
    return {
        "loops": [{**asdict(loop), "off_points": loop.off_points} for loop in found.loops],
        "awake": {
            str(socket): {**asdict(awake), "off_percent": awake.off_percent}
            for socket, awake in found.awake.items()
        },
        "available": sorted(found.available),
    }


def _siblings(sysfs: Path) -> dict[int, int]:
    places = read_places(sysfs)
    return {cpu: place.sibling for cpu, place in places.items() if place.sibling is not None}


def _switch_threads(what: str) -> None:
    (SYSFS / "devices/system/cpu/smt/control").write_text(what)
    time.sleep(1)
