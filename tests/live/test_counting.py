"""CPU time per cgroup against the kernel's own accounting, for every loader and hierarchy at once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ebpf.counters import CPU_NS, SWITCHES, CounterSnapshot, CounterSource
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.live import loads
from tests.live.sandbox import BUSY, Cgroup, cgroup, hierarchies, stop

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

WINDOW_SECONDS = 10
LOADERS = ("core", "bcc")
CASES = [f"{loader}-{version}" for loader in LOADERS for version in hierarchies()]


@dataclass
class Measured:
    """What one source counted in the window, by cgroup path.

    The kernel's own figures are read before and after each reading of ours: at least and at most this much
    was used between our two readings, however long the machine kept us from running in between.
    """

    counted_ns: dict[str, int]
    least_ns: dict[str, int]
    most_ns: dict[str, int]
    switches: dict[str, int]


def total(snapshot: CounterSnapshot, source: CounterSource, field: int) -> dict[str, int]:
    sums = snapshot.values[:, :, field].sum(axis=1)
    ids = snapshot.cgroup_id.tolist()
    return {source.directory.path(i) or f"unknown {i}": int(ns) for i, ns in zip(ids, sums, strict=True)}


def start_busy(group: Cgroup) -> list[subprocess.Popen[bytes]]:
    return [group.python(BUSY, cpu=0)]


def start_short(group: Cgroup) -> list[subprocess.Popen[bytes]]:
    return [group.python(loads.SHORT_PROCESSES)]


def start_threads(group: Cgroup) -> list[subprocess.Popen[bytes]]:
    first, second = group.child("first").make(), group.child("second").make()
    for each in (first, second):
        if "v2" in each.mounts:
            (each.folder("v2") / "cgroup.type").write_text("threaded")
    names = {"v1": "tasks", "v2": "cgroup.threads"}
    files = [":".join(str(g.folder(v) / names[v]) for v in g.mounts) for g in (first, second)]
    return [group.python(loads.TWO_THREADS, *files, cpu=1)]


def start_ping_pong(group: Cgroup) -> list[subprocess.Popen[bytes]]:
    ping, pong = group.child("ping").make(), group.child("pong").make()
    files = [str(pong.folder(version) / "cgroup.procs") for version in pong.mounts]
    return [ping.python(loads.PING_PONG, *files, cpu=1)]


STARTERS = {"busy": start_busy, "short": start_short, "threads": start_threads, "ping-pong": start_ping_pong}
LEAVES = {"busy": [""], "short": [""], "threads": ["first", "second"], "ping-pong": ["ping", "pong"]}


def leaves(groups: dict[str, Cgroup]) -> list[Cgroup]:
    return [
        groups[name].child(leaf) if leaf else groups[name] for name, below in LEAVES.items() for leaf in below
    ]


@pytest.fixture(scope="module")
def measured() -> Iterator[dict[str, Measured]]:
    """One window in which every load runs and every source counts."""
    with contextlib.ExitStack() as stack:
        groups = {name: stack.enter_context(cgroup(name)) for name in STARTERS}
        sources: dict[str, CounterSource] = {}
        for case in CASES:
            loader, version = case.split("-")
            sources[case] = open_source(loader, ProgramOptions(hierarchies()[version]))
            stack.callback(sources[case].close)
        for name, start in STARTERS.items():
            stack.callback(stop, *start(groups[name]))
        time.sleep(0.5)  # let the threads find their cgroups: not part of the claim
        versions = {case: case.split("-")[1] for case in CASES}
        before = {case: bracketed(source, leaves(groups), versions[case]) for case, source in sources.items()}
        time.sleep(WINDOW_SECONDS)
        after = {case: bracketed(source, leaves(groups), versions[case]) for case, source in sources.items()}
        yield {case: compare(sources[case], before[case], after[case]) for case in versions}


@dataclass
class Bracketed:
    """A reading of ours between two of the kernel's figures."""

    snapshot: CounterSnapshot
    earlier_ns: dict[str, int]
    later_ns: dict[str, int]


def bracketed(source: CounterSource, groups: Iterable[Cgroup], version: str) -> Bracketed:
    groups = list(groups)
    earlier = {group.path: group.used_ns(version) for group in groups}
    snapshot = source.read()
    return Bracketed(snapshot, earlier, {group.path: group.used_ns(version) for group in groups})


def compare(source: CounterSource, before: Bracketed, after: Bracketed) -> Measured:
    start, end = total(before.snapshot, source, CPU_NS), total(after.snapshot, source, CPU_NS)
    paths = after.later_ns
    return Measured(
        counted_ns={path: end.get(path, 0) - start.get(path, 0) for path in paths},
        least_ns={path: after.earlier_ns[path] - before.later_ns[path] for path in paths},
        most_ns={path: after.later_ns[path] - before.earlier_ns[path] for path in paths},
        switches=total(after.snapshot, source, SWITCHES),
    )


def assert_between(counted_ns: int, least_ns: int, most_ns: int, what: str) -> None:
    """Within 1 % or 20 ms, whichever is more, of what the kernel says."""
    slack = max(0.01 * most_ns, 20e6)
    assert least_ns - slack <= counted_ns <= most_ns + slack, (
        f"{what}: counted {counted_ns / 1e9:.3f} s, the kernel {least_ns / 1e9:.3f} to {most_ns / 1e9:.3f} s"
    )


@pytest.mark.parametrize("load", list(STARTERS))
@pytest.mark.parametrize("case", CASES)
def test_cpu_time_agrees_with_the_kernel(measured: dict[str, Measured], case: str, load: str) -> None:
    result = measured[case]
    paths = [path for path in result.most_ns if f"-{load}" in path]
    assert len(paths) == len(LEAVES[load])
    for path in paths:
        assert result.most_ns[path] > 0.1e9, f"{path} hardly ran: the load is broken"
        assert_between(result.counted_ns[path], result.least_ns[path], result.most_ns[path], path)


@pytest.mark.parametrize("case", CASES)
def test_a_ping_pong_switches_cgroups_thousands_of_times(measured: dict[str, Measured], case: str) -> None:
    switches = measured[case].switches
    ping = next(count for path, count in switches.items() if path.endswith("/ping"))
    pong = next(count for path, count in switches.items() if path.endswith("/pong"))
    assert ping > 5_000
    assert pong == pytest.approx(ping, rel=0.2)


@pytest.fixture(params=CASES)
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[CounterSource, str]]:
    loader, version = request.param.split("-")
    source = open_source(loader, ProgramOptions(hierarchies()[version]))
    yield source, version
    source.close()


def counters_of(snapshot: CounterSnapshot, cgroup_id: int) -> np.ndarray | None:
    rows = np.flatnonzero(snapshot.cgroup_id == cgroup_id)
    return snapshot.values[rows[0]].sum(axis=0) if len(rows) else None


def test_a_cgroup_that_lived_50_ms_is_counted_and_named(opened: tuple[CounterSource, str]) -> None:
    source, version = opened
    source.read()
    with cgroup("short-lived") as group:
        path, cgroup_id = group.path, group.cgroup_id(version)
        process = group.python(BUSY)
        time.sleep(0.05)
        stop(process)
        true_ns = group.used_ns(version)
    counted = counters_of(source.read(), cgroup_id)
    assert counted is not None, "no count of a cgroup that ended between two readings"
    assert source.directory.path(cgroup_id) == path
    assert not source.directory.is_alive(cgroup_id)
    assert abs(int(counted[CPU_NS]) - true_ns) <= 20e6


def test_an_ended_cgroup_leaves_the_kernels_map_and_our_memory(opened: tuple[CounterSource, str]) -> None:
    source, version = opened
    with cgroup("ended") as group:
        cgroup_id = group.cgroup_id(version)
        stop(group.python("pass"))
    assert counters_of(source.read(), cgroup_id) is not None
    for _ in range(3):
        snapshot = source.read()
    assert counters_of(snapshot, cgroup_id) is None
    assert source.directory.path(cgroup_id) is None


def test_a_task_moved_while_it_runs_is_split_at_the_move(opened: tuple[CounterSource, str]) -> None:
    source, version = opened
    with cgroup("from") as old, cgroup("to") as new:
        process = old.python(BUSY, cpu=1)
        time.sleep(1)
        new.add(process.pid)
        time.sleep(0.5)
        after = bracketed(source, (old, new), version)
        stop(process)
        for group in (old, new):
            counted = counters_of(after.snapshot, group.cgroup_id(version))
            assert counted is not None
            assert_between(
                int(counted[CPU_NS]), after.earlier_ns[group.path], after.later_ns[group.path], group.path
            )


def test_a_task_that_never_switches_is_charged_at_each_reading(opened: tuple[CounterSource, str]) -> None:
    source, version = opened
    with cgroup("fifo") as group:
        process = group.python(BUSY, cpu=1)
        os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(1))
        time.sleep(0.2)
        seen = []
        for _ in range(4):
            reading = bracketed(source, [group], version)
            counted = counters_of(reading.snapshot, group.cgroup_id(version))
            assert counted is not None
            seen.append((int(counted[CPU_NS]), reading.earlier_ns[group.path], reading.later_ns[group.path]))
            time.sleep(0.3)
        stop(process)
    for counted_ns, least_ns, most_ns in seen:
        assert_between(counted_ns, least_ns, most_ns, "a SCHED_FIFO loop")
    assert seen[-1][1] - seen[0][2] > 0.3e9, "the loop hardly ran"


def idle_ns() -> int:
    """What every CPU has idled, waiting for I/O included."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def test_the_idle_task_is_counted_in_nothing(opened: tuple[CounterSource, str]) -> None:
    source, _ = opened
    before, began, idle = source.read(), time.monotonic_ns(), idle_ns()
    time.sleep(2)
    idle, capacity = idle_ns() - idle, (time.monotonic_ns() - began) * (os.cpu_count() or 1)
    after = source.read()
    used = int(after.values[:, :, CPU_NS].sum()) - int(before.values[:, :, CPU_NS].sum())
    assert used <= capacity - idle + 0.05 * capacity


def test_what_the_map_cannot_hold_is_counted_as_dropped() -> None:
    options = ProgramOptions(hierarchies()["v2"], map_entries=2)
    source = open_source("core", options)
    with contextlib.ExitStack() as stack:
        stack.callback(source.close)
        groups = [stack.enter_context(cgroup(f"full-{i}")) for i in range(4)]
        before = source.read()
        processes = [group.python(BUSY) for group in groups]
        time.sleep(2)
        stop(*processes)
        after = source.read()
        true_ns = sum(group.used_ns("v2") for group in groups)
        counted = [counters_of(after, group.cgroup_id("v2")) for group in groups]
        held = sum(int(values[CPU_NS]) for values in counted if values is not None)
        dropped = int(after.dropped[:, CPU_NS].sum()) - int(before.dropped[:, CPU_NS].sum())
        assert dropped > 0.2e9
        assert source.statistics().dropped_ns >= dropped
        assert held + dropped >= true_ns - 20e6  # the rest of the machine may add to it, nothing may be lost
