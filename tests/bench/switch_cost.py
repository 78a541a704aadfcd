"""What our program costs at sched_switch, against an empty one on the same hook, by the kernel's own count.

Two processes hand a byte to and fro on one CPU, so that nearly all switches of the machine are theirs. Each
round attaches the programs one after the other: whatever the machine does meanwhile, it does to all of them.
Ours count what hardware threads share and how long the socket is awake: a tree of sysfs says that their CPU
has a sibling, whatever this machine is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ebpf import core_loader, libbpf
from ebpf.bpf_source import open_program
from ebpf.errors import PodjouleError
from ebpf.program import ProgramOptions
from tests.bench.compiled import bpf_object, program
from tests.bench.rows import Row, at_most, note
from tests.live.sandbox import Cgroup, cgroup, hierarchies, stop
from tests.live.test_events import STAND_INS
from tests.live.topology_tree import write_tree

ROUNDS, SETTLE_SECONDS, WINDOW_SECONDS = 9, 0.02, 0.12
EVENTS = {"no events": {}, "three software events": STAND_INS}
BUDGETS = {
    ("one cgroup", "no events"): 1.5,
    ("one cgroup", "three software events"): 1.5,
    ("two cgroups", "no events"): 4.5,
    ("two cgroups", "three software events"): 11.0,
}
RUN_TIME = 0  # BPF_STATS_RUN_TIME


@dataclass(frozen=True, slots=True)
class _Cost:
    """Of one window: nanoseconds a run, and how many runs."""

    ns: float
    runs: int


Attach = Callable[[], Iterator[int]]


def bench_switch_cost() -> list[Row]:
    """Between tasks of one cgroup and of two, in every hierarchy there is, without events and with three."""
    image = bpf_object(Path(__file__).with_name("empty.bpf.c"))
    versions = hierarchies()
    with (
        _kernel_counts_runs(),
        _on_another_cpu() as cpu,
        program("ping_pong") as ping_pong,
        TemporaryDirectory() as folder,
    ):
        sysfs = write_tree(Path(folder), [sorted({0, cpu})])
        programs = {("empty", ""): partial(_empty, image)} | {
            (version, events): partial(_ours, ProgramOptions(hierarchy, sysfs, events=EVENTS[events]))
            for version, hierarchy in versions.items()
            for events in EVENTS
        }
        rows = []
        for places in ("one cgroup", "two cgroups"):
            with _ping_pong(ping_pong, cpu, apart=places == "two cgroups"):
                costs = _rounds(programs)
            rows += [_row(places, key, costs) for key in programs]
        return rows


def _rounds(programs: dict[tuple[str, str], Attach]) -> dict[tuple[str, str], list[_Cost]]:
    costs: dict[tuple[str, str], list[_Cost]] = {key: [] for key in programs}
    for _ in range(ROUNDS):
        for key, attach in programs.items():
            with contextmanager(attach)() as descriptor:
                costs[key].append(_window(descriptor))
    return costs


def _window(descriptor: int) -> _Cost:
    time.sleep(SETTLE_SECONDS)
    runs_before, ns_before = libbpf.run_statistics(descriptor)
    time.sleep(WINDOW_SECONDS)
    runs, ns = libbpf.run_statistics(descriptor)
    return _Cost((ns - ns_before) / (runs - runs_before), runs - runs_before)


def _row(places: str, key: tuple[str, str], costs: dict[tuple[str, str], list[_Cost]]) -> Row:
    mine, empty = costs[key], costs["empty", ""]
    ns, a_second = median(cost.ns for cost in mine), median(cost.runs for cost in mine) / WINDOW_SECONDS
    measured = f"{ns:.0f} ns, {round(a_second, -3):,.0f} a second"
    version, events = key
    if version == "empty":
        return note(f"sched_switch, {places}, empty program", measured, ns, "ns")
    ratio = median(ours.ns / nothing.ns for ours, nothing in zip(mine, empty, strict=True))
    what = f"sched_switch, {places} ({version}), {events}"
    return at_most(what, measured, ratio, BUDGETS[places, events], "x empty")


def _empty(image: bytes) -> Iterator[int]:
    with closing(libbpf.Object(image)) as program:
        program.load()
        program.attach("empty")
        yield program.program_fd("empty")


def _ours(options: ProgramOptions) -> Iterator[int]:
    loaded = core_loader.load(options)
    with closing(open_program("core", loaded, options)):
        if not options.events.keys() <= loaded.available:
            raise PodjouleError(f"of the events {', '.join(options.events)} some cannot be opened here")
        yield loaded.programs["on_switch"]


@contextmanager
def _kernel_counts_runs() -> Iterator[None]:
    """The kernel counts for as long as the descriptor is open, whatever kernel.bpf_stats_enabled says."""
    descriptor = libbpf.library().bpf_enable_stats(RUN_TIME)
    if descriptor < 0:
        raise PodjouleError("the kernel does not count the runs of BPF programs: needs 5.8 and CAP_SYS_ADMIN")
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _on_another_cpu() -> Iterator[int]:
    """A CPU that this process keeps away from, where there are two."""
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cpus[:-1] or cpus)
    try:
        yield cpus[-1]
    finally:
        os.sched_setaffinity(0, cpus)


@contextmanager
def _ping_pong(command: str, cpu: int, apart: bool) -> Iterator[None]:
    with cgroup("here") as here, cgroup("there") as there:
        process = here.spawn([command, *(_procs(there) if apart else [])], cpu)
        try:
            yield
        finally:
            stop(process)


def _procs(group: Cgroup) -> list[str]:
    return [str(group.folder(version) / "cgroup.procs") for version in group.mounts]
