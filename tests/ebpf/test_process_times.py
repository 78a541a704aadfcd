"""CPU time by process without BPF: what procfs tells, never more than a cgroup used, the rest in one row."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpf.cgroups import KERNEL_PATH
from ebpf.counters import CPU_NS, NOTHING_KEPT
from ebpf.cpu_stat import CpuStatSource
from ebpf.hierarchy import Hierarchy
from ebpf.process_times import Grown, ProcessShares, ProcessTimes

MS = 1_000_000
TICK_MS = 1000 // os.sysconf("SC_CLK_TCK")
KERNEL_THREAD = 0x00200000


class Machine:
    """A procfs and a cgroup tree of files; times in milliseconds, cumulative."""

    def __init__(self, folder: Path, version: int) -> None:
        self.procfs, self.mount = folder / "proc", folder / "cgroup"
        self.procfs.mkdir()
        self.hierarchy = Hierarchy(version, self.mount, *((4, "cpuacct") if version == 1 else ()))

    def cgroup(self, path: str, ms: float) -> None:
        folder = Path(f"{self.mount}{path}")
        folder.mkdir(parents=True, exist_ok=True)
        if self.hierarchy.version == 2:
            (folder / "cpu.stat").write_text(f"usage_usec {round(ms * 1000)}\n")
        else:
            (folder / "cpuacct.usage").write_text(f"{round(ms * MS)}\n")

    def process(self, pid: int, path: str, ms: int, *, started: int = 1, flags: int = 0) -> None:
        folder = self.procfs / str(pid)
        folder.mkdir(exist_ok=True)
        ticks = ms // TICK_MS
        fields = ["S", "1", "1", "1", "0", "-1", flags, *[0] * 4, ticks // 2, ticks - ticks // 2]
        fields += [*[0] * 6, started, 0]
        (folder / "stat").write_text(f"{pid} (a) b ({pid}) {' '.join(map(str, fields))}\n")
        lines = {2: f"1:name=systemd:/elsewhere\n0::{path}\n", 1: f"0::/\n4:cpu,cpuacct:{path}\n"}
        (folder / "cgroup").write_text(lines[self.hierarchy.version])

    def end(self, pid: int) -> None:
        shutil.rmtree(self.procfs / str(pid))

    def open(self, source: CpuStatSource | None = None) -> CpuStatSource:
        kept = source.kept() if source else NOTHING_KEPT
        return CpuStatSource(self.hierarchy, kept, "boot", ProcessTimes(self.procfs, self.hierarchy))


@pytest.fixture(params=[2, 1], ids=["v2", "v1"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    """One cgroup with history, and a process in it that has run before."""
    made = Machine(tmp_path, request.param)
    made.cgroup("/", 9_000)
    made.cgroup("/a", 5_000)
    made.process(100, "/a", 4_000)
    return made


def read(source: CpuStatSource) -> dict[tuple[str, int], float]:
    """Milliseconds by path and PID; what has used nothing is left out."""
    snapshot = source.read()
    paths = [source.directory.path(each) or "?" for each in snapshot.cgroup_id.tolist()]
    keys = zip(paths, snapshot.tgid.tolist(), strict=True)
    ns = snapshot.values[:, 0, CPU_NS].tolist()
    assert len(set(zip(snapshot.cgroup_id.tolist(), snapshot.tgid.tolist(), strict=True))) == len(ns)
    return {key: each / MS for key, each in zip(keys, ns, strict=True) if each}


def test_a_process_has_what_it_used_since_and_its_cgroup_the_rest(machine: Machine) -> None:
    source = machine.open()
    machine.process(100, "/a", 4_300)
    machine.process(200, "/a", 100)  # new: all of it since
    machine.cgroup("/", 9_450)
    machine.cgroup("/a", 5_450)
    assert read(source) == {("/a", 100): 300, ("/a", 200): 100, ("/a", 0): 50}


def test_what_ended_in_between_is_in_its_cgroups_rest(machine: Machine) -> None:
    source = machine.open()
    machine.end(100)
    machine.cgroup("/", 9_700)
    machine.cgroup("/a", 5_700)
    assert read(source) == {("/a", 0): 700}


def test_an_ended_process_goes_and_a_pid_that_is_used_again_is_counted_from_its_start(
    machine: Machine,
) -> None:
    source = machine.open()
    machine.process(100, "/a", 30, started=99)
    machine.cgroup("/", 9_100)
    machine.cgroup("/a", 5_100)
    assert read(source) == {("/a", 100): 30, ("/a", 0): 70}
    machine.end(100)
    assert read(source) == {("/a", 0): 70}


def test_kernel_threads_are_the_kernels_and_not_the_roots(machine: Machine) -> None:
    machine.process(5, "/", 100, flags=KERNEL_THREAD)
    machine.process(6, "/", 100)
    source = machine.open()
    machine.process(5, "/", 140, flags=KERNEL_THREAD)
    machine.process(6, "/", 120)
    machine.cgroup("/", 9_100)
    assert read(source) == {(KERNEL_PATH, 5): 40, ("/", 6): 20, ("/", 0): 40}


def test_what_a_process_is_ahead_of_its_cgroup_it_gets_at_the_next_reading(machine: Machine) -> None:
    source = machine.open()
    machine.process(100, "/a", 4_100)
    machine.cgroup("/", 9_060)
    machine.cgroup("/a", 5_060)
    assert read(source) == {("/a", 100): 60}
    machine.process(100, "/a", 4_150)
    machine.cgroup("/", 9_160)
    machine.cgroup("/a", 5_160)
    assert read(source) == {("/a", 100): 150, ("/a", 0): 10}


def test_what_cannot_be_placed_stays_in_the_rest(machine: Machine) -> None:
    """A cgroup that this tree does not have, as in a cgroup namespace, and a process that hides."""
    source = machine.open()
    machine.process(100, "/../elsewhere", 4_100)
    machine.process(200, "/a", 100)
    (machine.procfs / "200/cgroup").unlink()
    machine.cgroup("/", 9_200)
    machine.cgroup("/a", 5_200)
    assert read(source) == {("/a", 0): 200}


def test_the_cgroups_have_the_same_as_without_processes(machine: Machine) -> None:
    source, plain = machine.open(), CpuStatSource(machine.hierarchy)
    for step in range(1, 4):
        machine.process(100, "/a", 4_000 + 70 * step)
        machine.cgroup("/", 9_000 + 90 * step)
        machine.cgroup("/a", 5_000 + 65 * step)
        sums: dict[str, float] = {}
        for (path, _), ms in read(source).items():
            sums[path] = sums.get(path, 0.0) + ms
        assert sums == {path: ms for (path, _), ms in read(plain).items()}


def test_what_is_taken_up_from_a_process_before_is_the_cgroups_and_counts_by_process_begin_anew(
    machine: Machine,
) -> None:
    first = machine.open()
    machine.process(100, "/a", 4_100)
    machine.cgroup("/", 9_150)
    machine.cgroup("/a", 5_150)
    assert read(first) == {("/a", 100): 100, ("/a", 0): 50}
    machine.process(100, "/a", 4_200)
    machine.cgroup("/", 9_250)
    machine.cgroup("/a", 5_250)
    second = machine.open(first)
    assert read(second) == {("/a", 0): 150}, "50 of before, and 100 while nobody was there"
    machine.process(100, "/a", 4_400)
    machine.cgroup("/", 9_450)
    machine.cgroup("/a", 5_450)
    assert read(second) == {("/a", 0): 150, ("/a", 100): 200}


paths = st.sampled_from(["/", "/a", "/b"])
growth = st.dictionaries(st.integers(1, 9), st.tuples(paths, st.integers(1, 10**10)))


@given(st.lists(st.tuples(growth, st.dictionaries(paths, st.integers(0, 10**10)))))
@settings(deadline=None)
def test_processes_never_get_more_than_their_cgroup_has_nor_more_than_they_used(
    readings: list[tuple[dict[int, tuple[str, int]], dict[str, int]]],
) -> None:
    shares = ProcessShares()
    used, got = dict.fromkeys(range(1, 10), 0), dict.fromkeys(range(1, 10), 0)
    for grown, own_ns in readings:
        given_ns = shares.share(own_ns, [Grown(pid, path, False, ns) for pid, (path, ns) in grown.items()])
        for pid, (_, ns) in grown.items():
            used[pid] += ns
        for process, ns in given_ns.items():
            assert ns >= 0
            got[process.pid] += ns
        for path, ns in own_ns.items():
            assert sum(each for process, each in given_ns.items() if process.path == path) <= ns
    assert all(got[pid] <= used[pid] for pid in used)


def test_this_very_process_is_seen_as_the_kernel_counts_it() -> None:
    times = ProcessTimes(Path("/proc"), Hierarchy(2, Path("/sys/fs/cgroup")))
    began = sum(os.times()[:2])
    while sum(os.times()[:2]) - began < 0.2:
        pass
    before = sum(os.times()[:2]) - began
    mine = [each for each in times.grown() if each.pid == os.getpid()]
    after = sum(os.times()[:2]) - began
    assert [before - 0.03 <= each.ns / 1e9 <= after + 0.03 for each in mine] == [True]
    assert not mine[0].is_kernel_thread
