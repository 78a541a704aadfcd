"""CPU time from the usage files alone: nothing counted twice, nothing below zero, nothing from before."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpf.counters import CPU_NS, FIELDS, KernelStatistics
from ebpf.cpu_stat import CpuStatSource, own_usage, parse_cpu_stat
from ebpf.errors import SourceUnavailable
from ebpf.hierarchy import Hierarchy

MS = 1_000_000
CPU_STAT = """\
usage_usec {usec}
user_usec 12
system_usec 7
core_sched.force_idle_usec 0
nr_periods 0
"""
PATHS = ["/", "/a", "/a/b", "/a/b/c", "/a/d", "/ab", "/ab/e"]


@dataclass(frozen=True)
class Tree:
    """A cgroup tree of files: times are set in milliseconds, of the cgroup and all below it."""

    mount: Path
    version: int

    @property
    def hierarchy(self) -> Hierarchy:
        return Hierarchy(self.version, self.mount, *((4, "cpuacct") if self.version == 1 else ()))

    def folder(self, path: str) -> Path:
        return Path(f"{self.mount}{path}")

    def file(self, path: str) -> Path:
        return self.folder(path) / ("cpu.stat" if self.version == 2 else "cpuacct.usage")

    def use(self, **used_ms: int) -> None:
        """Set cumulative times by the last part of a path, "root" for the root."""
        for name, ms in used_ms.items():
            self.set("/" if name == "root" else next(p for p in PATHS if p.endswith(f"/{name}")), ms)

    def set(self, path: str, ms: int) -> None:
        self.folder(path).mkdir(parents=True, exist_ok=True)
        text = CPU_STAT.format(usec=ms * 1000) if self.version == 2 else f"{ms * MS}\n"
        self.file(path).write_text(text)

    def cgroup_id(self, path: str) -> int:
        return self.folder(path).stat().st_ino


@pytest.fixture(params=[2, 1], ids=["v2", "v1"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    """/ 100 s, /a 50 s of it, /a/b 20 s of that, /ab 10 s: history that is nobody's since the attaching."""
    made = Tree(tmp_path / "cgroup", request.param)
    made.use(root=100_000, a=50_000, b=20_000, ab=10_000)
    return made


def read(source: CpuStatSource) -> dict[str, float]:
    """path -> milliseconds, what ended included."""
    snapshot = source.read()
    ns = snapshot.values[:, 0, CPU_NS].tolist()
    paths = [source.directory.path(i) or f"unknown {i}" for i in snapshot.cgroup_id.tolist()]
    assert len(set(snapshot.cgroup_id.tolist())) == len(paths)
    return {path: each / MS for path, each in zip(paths, ns, strict=True)}


def test_usage_is_found_among_the_other_lines() -> None:
    assert parse_cpu_stat(CPU_STAT.format(usec=123_456_789)) == 123_456_789_000


@pytest.mark.parametrize("text", ["", "user_usec 3\n", "usage_usec_extra 3\n"])
def test_a_cpu_stat_without_usage_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="no usage_usec"):
        parse_cpu_stat(text)


def test_a_usage_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse_cpu_stat("usage_usec many\n")


def cumulative(own: dict[str, int]) -> dict[str, int]:
    """What usage files say, when each cgroup used that much itself."""
    below = {path: "/" if path == "/" else f"{path}/" for path in own}
    return {
        path: sum(ns for other, ns in own.items() if other == path or other.startswith(below[path]))
        for path in own
    }


amounts = st.fixed_dictionaries({path: st.integers(0, 10**12) for path in PATHS})


@given(before=amounts, own=amounts)
@settings(deadline=None)
def test_what_each_used_itself_comes_back(before: dict[str, int], own: dict[str, int]) -> None:
    after = {path: before[path] + own[path] for path in PATHS}
    found = own_usage(cumulative(after), cumulative(before))
    assert found == own
    assert sum(found.values()) == cumulative(after)["/"] - cumulative(before)["/"]


@given(own=amounts, before=amounts, new=st.sets(st.sampled_from(PATHS)))
@settings(deadline=None)
def test_a_new_cgroup_has_used_what_its_file_says(
    own: dict[str, int], before: dict[str, int], new: set[str]
) -> None:
    new = {path for path in PATHS if any(path == n or path.startswith(f"{n}/") for n in new - {"/"})}
    before = {path: 0 if path in new else ns for path, ns in before.items()}
    after = {path: before[path] + own[path] for path in PATHS}
    files_before = {path: ns for path, ns in cumulative(before).items() if path not in new}
    assert own_usage(cumulative(after), files_before) == own


@given(own=amounts, gone=st.sampled_from(PATHS[1:]))
@settings(deadline=None)
def test_what_a_removed_cgroup_still_used_is_its_nearest_parents(own: dict[str, int], gone: str) -> None:
    after = cumulative(own)
    left = {path: ns for path, ns in after.items() if path != gone and not path.startswith(f"{gone}/")}
    found = own_usage(left, {})
    parent = gone.rpartition("/")[0] or "/"
    assert found == {path: own[path] + (after[gone] if path == parent else 0) for path in left}


@given(
    after=st.dictionaries(st.sampled_from(PATHS), st.integers(0, 10**12)),
    before=st.dictionaries(st.sampled_from(PATHS), st.integers(0, 10**12)),
)
@settings(deadline=None)
def test_own_usage_is_never_negative(after: dict[str, int], before: dict[str, int]) -> None:
    found = own_usage(after, before)
    assert found.keys() == after.keys()
    assert all(ns >= 0 for ns in found.values())


def test_a_cgroup_whose_parent_cannot_be_read_is_taken_out_of_the_next_above() -> None:
    assert own_usage({"/": 10, "/a/b": 7}, {}) == {"/": 3, "/a/b": 7}


def test_what_was_used_before_is_not_counted(tree: Tree) -> None:
    assert read(CpuStatSource(tree.hierarchy)) == {"/": 0, "/a": 0, "/a/b": 0, "/ab": 0}


def test_each_cgroup_has_what_it_used_itself(tree: Tree) -> None:
    source = CpuStatSource(tree.hierarchy)
    tree.use(root=100_700, a=50_600, b=20_400, ab=10_000)
    assert read(source) == {"/": 100, "/a": 200, "/a/b": 400, "/ab": 0}
    tree.use(root=100_800, a=50_700, b=20_500)
    assert read(source) == {"/": 100, "/a": 200, "/a/b": 500, "/ab": 0}


def test_a_new_cgroup_is_counted_from_its_beginning(tree: Tree) -> None:
    source = CpuStatSource(tree.hierarchy)
    tree.use(root=100_500, a=50_500, d=300)
    assert read(source) == {"/": 0, "/a": 200, "/a/b": 0, "/a/d": 300, "/ab": 0}


def test_the_rest_of_a_removed_cgroup_goes_to_its_parent(tree: Tree) -> None:
    source = CpuStatSource(tree.hierarchy)
    tree.use(root=100_100, a=50_100, b=20_100)
    read(source)
    shutil.rmtree(tree.folder("/a/b"))
    tree.use(root=100_250, a=50_250)  # of which /a/b used 150 ms before its end
    assert read(source) == {"/": 0, "/a": 150, "/a/b": 100, "/ab": 0}


def test_a_cgroup_that_ended_stays_for_one_more_reading(tree: Tree) -> None:
    source = CpuStatSource(tree.hierarchy)
    tree.use(root=100_100, a=50_100, b=20_100)
    read(source)
    ended = tree.cgroup_id("/a/b")
    shutil.rmtree(tree.folder("/a/b"))
    assert read(source)["/a/b"] == 100
    assert not source.directory.is_alive(ended)
    assert source.directory.path(ended) == "/a/b"
    assert "/a/b" not in read(source)
    assert source.directory.path(ended) is None


def test_nothing_ever_goes_down(tree: Tree) -> None:
    source = CpuStatSource(tree.hierarchy)
    tree.use(root=100_100, a=50_100, b=20_100, ab=10_000)
    first = read(source)
    tree.use(root=100_050, a=50_000, b=20_200, ab=0)  # the child ahead of its parent, a file that went back
    second = read(source)
    assert all(second[path] >= first[path] for path in first)


def replace_by_another(tree: Tree, path: str, ms: int) -> None:
    """Remove a cgroup and make one of the same name: surely another inode."""
    tree.set("/ab/e", ms)
    shutil.rmtree(tree.folder(path))
    tree.folder("/ab/e").rename(tree.folder(path))


def test_a_cgroup_made_anew_under_the_same_path_is_counted_from_its_beginning(tree: Tree) -> None:
    source = CpuStatSource(tree.hierarchy)
    read(source)
    old = tree.cgroup_id("/a/b")
    replace_by_another(tree, "/a/b", 300)
    tree.use(root=100_300, a=50_300)
    snapshot = source.read()
    used = dict(zip(snapshot.cgroup_id.tolist(), snapshot.values[:, 0, CPU_NS].tolist(), strict=True))
    assert (used[old], used[tree.cgroup_id("/a/b")], used[tree.cgroup_id("/a")]) == (0, 300 * MS, 0)


def test_a_renamed_cgroup_is_counted_on(tree: Tree) -> None:
    source = CpuStatSource(tree.hierarchy)
    tree.folder("/ab").rename(tree.folder("/z"))
    assert read(source) == {"/": 0, "/a": 0, "/a/b": 0, "/z": 0}


def test_a_file_that_could_not_be_read_once_is_counted_on(tree: Tree) -> None:
    source = CpuStatSource(tree.hierarchy)
    tree.file("/ab").write_text("")
    read(source)
    tree.use(root=100_200, ab=10_200)
    assert read(source)["/ab"] == 200


def test_a_cgroup_that_cannot_be_read_costs_itself_alone(tree: Tree) -> None:
    source = CpuStatSource(tree.hierarchy)
    tree.file("/ab").unlink()
    tree.use(root=100_100, a=50_100, b=20_100)
    assert read(source) == {"/": 0, "/a": 0, "/a/b": 100, "/ab": 0}


def test_a_snapshot_says_what_it_does_not_know(tree: Tree) -> None:
    source = CpuStatSource(tree.hierarchy)
    first, second = source.read(), source.read()
    n = len(first.cgroup_id)
    assert first.values.shape == (n, 1, len(FIELDS))
    assert first.dropped.shape == (1, len(FIELDS))
    assert (first.values.dtype, first.cgroup_id.dtype, first.tgid.dtype) == (np.uint64, np.uint64, np.uint32)
    assert first.available == {"cpu_ns"}
    assert not first.tgid.any()
    assert second.monotonic_ns > first.monotonic_ns
    assert set(first.cgroup_id.tolist()) == set(source.directory)
    assert source.statistics() == KernelStatistics(map_entries=n)
    source.close()


def test_without_any_usage_file_there_is_no_source(tree: Tree) -> None:
    for file in tree.mount.rglob(tree.file("/").name):
        file.unlink()
    with pytest.raises(
        SourceUnavailable, match=rf"no cgroup below {tree.mount} has a readable {tree.file('/').name}"
    ):
        CpuStatSource(tree.hierarchy)
