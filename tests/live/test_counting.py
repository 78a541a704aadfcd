"""CPU time per cgroup against the kernel's own accounting, for every loader and hierarchy at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.btf import OWN_TYPES
from ebpf.counters import CPU_NS, CounterSource
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.live.counting import (
    LEAVES,
    STARTERS,
    Measured,
    bracketed,
    compare,
    counters_of,
    is_within,
    leaves,
    short_life,
)
from tests.live.lesser_kernels import open_named
from tests.live.sandbox import BUSY, cgroup, hierarchies, stop

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

WINDOW_SECONDS = 10
LOADERS = ("core", "bcc", "core by copy")
CASES = [f"{loader}-{version}" for loader in LOADERS for version in hierarchies()]


def open_case(case: str, btf: Path) -> CounterSource:
    """A source as on this kernel, or ("by copy") as on one that does not know its types, which btf has."""
    loader, version = case.split("-")
    return open_named(loader, ProgramOptions(hierarchies()[version], btf=btf))


@pytest.fixture(scope="module")
def btf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This kernel's types in a file, as BTFHub has those of others."""
    return Path(shutil.copy(OWN_TYPES, tmp_path_factory.mktemp("btf") / "this.btf"))


@pytest.fixture(scope="module")
def measured(btf: Path) -> Iterator[dict[str, Measured]]:
    """One window in which every load runs and every source counts."""
    with contextlib.ExitStack() as stack:
        groups = {name: stack.enter_context(cgroup(name)) for name in STARTERS}
        sources: dict[str, CounterSource] = {}
        for case in CASES:
            sources[case] = open_case(case, btf)
            stack.callback(sources[case].close)
        for name, start in STARTERS.items():
            stack.callback(stop, *start(groups[name]))
        time.sleep(0.5)  # let the threads find their cgroups: not part of the claim
        versions = {case: case.split("-")[1] for case in CASES}
        before = {case: bracketed(source, leaves(groups), versions[case]) for case, source in sources.items()}
        time.sleep(WINDOW_SECONDS)
        after = {case: bracketed(source, leaves(groups), versions[case]) for case, source in sources.items()}
        yield {case: compare(sources[case], before[case], after[case]) for case in versions}


def assert_between(counted_ns: int, least_ns: int, most_ns: int, what: str) -> None:
    assert is_within(counted_ns, least_ns, most_ns), (
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


@pytest.mark.parametrize("case", [case for case in CASES if "by copy" in case])
def test_a_program_that_copies_counts_what_one_that_follows_pointers_does(
    measured: dict[str, Measured], case: str
) -> None:
    copied, followed = measured[case], measured[case.replace(" by copy", "")]
    for path, counted_ns in followed.counted_ns.items():
        assert abs(copied.counted_ns[path] - counted_ns) <= max(0.01 * counted_ns, 20e6), path


@pytest.fixture(scope="module", params=CASES)
def opened(request: pytest.FixtureRequest, btf: Path) -> Iterator[tuple[CounterSource, str]]:
    """One source for all that is asked of it: bcc compiles for seconds. Each test has cgroups of its own."""
    source = open_case(request.param, btf)
    yield source, request.param.split("-")[1]
    source.close()


def test_a_cgroup_that_lived_50_ms_is_counted_and_named(opened: tuple[CounterSource, str]) -> None:
    source, version = opened
    life = short_life(source, version)
    assert life.counted_ns is not None, "no count of a cgroup that ended between two readings"
    assert source.directory.path(life.cgroup_id) == life.path
    assert not source.directory.is_alive(life.cgroup_id)
    assert abs(life.counted_ns - life.true_ns) <= 20e6


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
    time.sleep(1)
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
