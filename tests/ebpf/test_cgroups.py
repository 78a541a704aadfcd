"""The cgroups there are: one walk, then events, whatever happens in between."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ebpf.cgroups import MADE, REMOVED, RENAMED, CgroupTree, walk
from ebpf.errors import SourceUnavailable

PODS = ["kubepods/pod1/c1", "kubepods/pod1/c2", "kubepods/pod2", "system.slice/a b.service"]


def record(cgroup_id: int, kind: int, path: bytes = b"") -> bytes:
    """As the kernel sends it: the path with its NUL, nothing of the unused tail."""
    sent = path + b"\0" if kind != REMOVED else b""
    return struct.pack("<QII", cgroup_id, kind, len(sent)) + sent


def alive(tree: CgroupTree) -> dict[int, str | None]:
    return {cgroup_id: tree.path(cgroup_id) for cgroup_id in tree}


def make_tree(mount: Path) -> dict[int, str]:
    """Folders with files in them, and what a walk should find."""
    for pod in PODS:
        (mount / pod).mkdir(parents=True)
        (mount / pod / "cgroup.procs").write_text("")
    folders = [mount, *(path for path in mount.rglob("*") if path.is_dir())]
    return {path.stat().st_ino: f"/{path.relative_to(mount)}".removesuffix(".") for path in folders}


def test_a_walk_finds_every_cgroup_by_its_inode(tmp_path: Path) -> None:
    expected = make_tree(tmp_path)
    assert walk(tmp_path) == (expected, [])
    assert {"/", "/kubepods", "/kubepods/pod1/c1", "/system.slice/a b.service"} <= set(expected.values())


def test_a_walk_follows_no_links(tmp_path: Path) -> None:
    expected = make_tree(tmp_path)
    (tmp_path / "kubepods/loop").symlink_to(tmp_path)
    assert walk(tmp_path) == (expected, [])


@pytest.mark.parametrize("refusal", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_what_a_walk_could_not_see_has_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int, caplog: pytest.LogCaptureFixture
) -> None:
    expected = make_tree(tmp_path)
    tree = CgroupTree(dict(expected))
    (tmp_path / "gone").mkdir()
    tree.replace(*walk(tmp_path))
    (tmp_path / "gone").rmdir()
    scandir = os.scandir

    def refusing(path: str) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("/kubepods"):
            raise OSError(refusal, os.strerror(refusal))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    tree.replace(*walk(tmp_path))
    assert alive(tree) == expected
    assert "kubepods cannot be listed" in caplog.text


def test_a_name_that_is_not_utf8_is_found(tmp_path: Path) -> None:
    name = b"caf\xe9"
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)) / "below").mkdir(parents=True)
    assert {os.fsencode(path) for path in walk(tmp_path).paths.values()} == {
        b"/",
        b"/" + name,
        b"/" + name + b"/below",
    }


@pytest.mark.parametrize("victim", ["kubepods/pod1", "kubepods/pod1/c2", "system.slice"])
def test_a_cgroup_that_vanishes_during_a_walk_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    expected = make_tree(tmp_path)
    scandir = os.scandir

    def removing(path: str) -> Iterator[os.DirEntry[str]]:
        if str(path) == str(tmp_path / victim):
            monkeypatch.undo()
            shutil.rmtree(tmp_path / victim)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", removing)
    found = walk(tmp_path).paths
    kept = {i: path for i, path in expected.items() if not path.startswith(f"/{victim}")}
    assert kept.items() <= found.items() <= expected.items()
    assert not (tmp_path / victim).exists()


def test_a_cgroup_that_vanishes_once_its_parent_was_listed(tmp_path: Path) -> None:
    """The kernel lists a removed directory as empty: nothing to catch."""
    (tmp_path / "gone").mkdir()
    with os.scandir(tmp_path / "gone") as entries:
        (tmp_path / "gone").rmdir()
        assert list(entries) == []


def test_a_walk_needs_no_more_descriptors_for_more_cgroups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(200):
        (tmp_path / f"pod{i}/container").mkdir(parents=True)
    scandir, in_use = os.scandir, []

    def watching(path: str) -> Iterator[os.DirEntry[str]]:
        in_use.append(len(list(Path("/proc/self/fd").iterdir())))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watching)
    assert len(walk(tmp_path).paths) == 401
    assert max(in_use) - in_use[0] < 10


def test_a_mount_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"cgroup tree .*/nowhere cannot be read: No such file"):
        walk(tmp_path / "nowhere")


def test_an_ended_cgroup_keeps_its_path_until_it_is_forgotten() -> None:
    tree = CgroupTree({1: "/", 2: "/a"})
    tree.removed(2)
    assert (tree.path(2), tree.is_alive(2), tree.ended) == ("/a", False, frozenset({2}))
    assert list(tree) == [1]
    tree.forget(2)
    assert (tree.path(2), tree.is_alive(2), tree.ended) == (None, False, frozenset())


def test_what_was_never_seen_is_neither_alive_nor_ended() -> None:
    tree = CgroupTree({1: "/"})
    tree.removed(99)
    tree.forget(98)
    assert (tree.path(99), tree.is_alive(99), tree.ended) == (None, False, frozenset())


def test_an_id_that_is_used_again_is_a_new_cgroup() -> None:
    tree = CgroupTree({1: "/", 2: "/old"})
    tree.removed(2)
    tree.made(2, "/new")
    assert (tree.path(2), tree.is_alive(2), tree.ended) == ("/new", True, frozenset())


def test_a_path_that_is_used_again_is_another_id() -> None:
    tree = CgroupTree({1: "/", 2: "/a"})
    tree.removed(2)
    tree.made(3, "/a")
    tree.forget(2)
    assert alive(tree) == {1: "/", 3: "/a"}


def test_a_rename_takes_along_what_is_below_and_nothing_that_only_begins_alike() -> None:
    tree = CgroupTree({1: "/", 2: "/a", 3: "/a/b", 4: "/a/b/c", 5: "/ab", 6: "/x/a/b"})
    tree.renamed(2, "/z")
    assert alive(tree) == {1: "/", 2: "/z", 3: "/z/b", 4: "/z/b/c", 5: "/ab", 6: "/x/a/b"}


def test_a_rename_of_something_unseen_makes_it_known() -> None:
    tree = CgroupTree({1: "/"})
    tree.renamed(7, "/late")
    assert alive(tree) == {1: "/", 7: "/late"}


def test_a_new_walk_ends_what_it_does_not_have() -> None:
    tree = CgroupTree({1: "/", 2: "/gone", 3: "/old name", 4: "/came back"})
    tree.removed(4)
    tree.replace({1: "/", 3: "/new name", 4: "/came back", 5: "/new"})
    assert alive(tree) == {1: "/", 3: "/new name", 4: "/came back", 5: "/new"}
    assert tree.ended == {2}
    assert tree.path(2) == "/gone"


def test_a_tree_keeps_no_hold_on_what_it_was_made_from() -> None:
    paths = {1: "/"}
    CgroupTree(paths).made(2, "/a")
    assert paths == {1: "/"}


def test_records_are_applied_as_the_kernel_sends_them() -> None:
    tree = CgroupTree({1: "/"})
    tree.apply(record(2, MADE, b"/a"))
    tree.apply(record(3, MADE, b"/a/b"))
    tree.apply(record(2, RENAMED, b"/z"))
    tree.apply(record(3, REMOVED))
    assert alive(tree) == {1: "/", 2: "/z"}
    assert (tree.path(3), tree.ended) == ("/z/b", {3})


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        (record(2, MADE, b"/a") + b"tail of an older path", "/a"),
        (struct.pack("<QII", 2, MADE, 200) + b"/cut", "/cut"),
        (struct.pack("<QII", 2, MADE, 4) + b"/a\0b", "/a"),
        (record(2, MADE, "/größe".encode()), "/größe"),
        (record(2, MADE, b"/" + b"x" * 2000), "/" + "x" * 2000),
    ],
)
def test_the_path_ends_at_its_nul_or_with_the_record(sent: bytes, path: str) -> None:
    tree = CgroupTree()
    tree.apply(sent)
    assert alive(tree) == {2: path}


def test_a_path_that_the_kernel_cut_is_completed_by_a_walk(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*(f"{i}{'d' * 200}" for i in range(6)))
    deep.mkdir(parents=True)
    whole, cgroup_id = f"/{deep.relative_to(tmp_path)}", deep.stat().st_ino
    tree = CgroupTree({1: "/"})
    tree.apply(record(cgroup_id, MADE, whole.encode()[:1023]))
    tree.apply(record(77, MADE, whole.encode()[:1023]))
    assert tree.is_cut
    assert tree.path(cgroup_id) is None
    assert tree.is_alive(cgroup_id)
    assert whole[:1023] not in tree.paths.values()
    tree.replace(*walk(tmp_path))
    assert tree.path(cgroup_id) == whole
    assert tree.path(77) is None, "it ended before anyone could look"
    assert not tree.is_cut
    tree.forget(77)
    assert not tree.is_alive(77)


def test_an_unknown_kind_changes_nothing() -> None:
    tree = CgroupTree({1: "/"})
    tree.apply(record(1, 9, b"/a"))
    assert alive(tree) == {1: "/"}


def test_an_event_and_a_walk_give_one_cgroup_one_path(tmp_path: Path) -> None:
    name = b"caf\xe9"
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).mkdir()
    cgroup_id, walked = next((i, path) for i, path in walk(tmp_path).paths.items() if path != "/")
    tree = CgroupTree()
    tree.apply(record(cgroup_id, MADE, b"/" + name))
    assert tree.path(cgroup_id) == walked


@pytest.mark.parametrize("sent", [b"", b"\1", bytes(15)])
def test_a_record_without_a_whole_header_changes_nothing(sent: bytes) -> None:
    tree = CgroupTree({1: "/"})
    tree.apply(sent)
    assert alive(tree) == {1: "/"}


ids = st.integers(2, 9)
names = st.sampled_from(["/a", "/b", "/a/c", "/b/c", "/a/c/d", "/ab"])


class Events(RuleBasedStateMachine):
    """Any order of events, sensible or not, beside a model: id -> path, and the ids that ended."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = CgroupTree({1: "/"})
        self.paths = {1: "/"}
        self.over: set[int] = set()

    @rule(cgroup_id=ids, path=names)
    def make(self, cgroup_id: int, path: str) -> None:
        self.tree.apply(record(cgroup_id, MADE, path.encode()))
        self.paths[cgroup_id] = path
        self.over.discard(cgroup_id)

    @rule(cgroup_id=ids)
    def remove(self, cgroup_id: int) -> None:
        self.tree.apply(record(cgroup_id, REMOVED))
        self.over |= {cgroup_id} & self.paths.keys()

    @rule(cgroup_id=ids, name=st.sampled_from(["a", "b", "z"]))
    def rename(self, cgroup_id: int, name: str) -> None:
        old = self.paths.get(cgroup_id)
        path = f"{(old or '').rpartition('/')[0]}/{name}"  # cgroup1_rename keeps the parent
        self.tree.apply(record(cgroup_id, RENAMED, path.encode()))
        self.paths[cgroup_id] = path
        for other, other_path in list(self.paths.items()):
            if old and other_path.startswith(old + "/") and other != cgroup_id:
                self.paths[other] = path + other_path.removeprefix(old)

    @precondition(lambda self: self.over)
    @rule(choice=st.integers(0))
    def forget(self, choice: int) -> None:
        cgroup_id = sorted(self.over)[choice % len(self.over)]
        self.tree.forget(cgroup_id)
        self.over.discard(cgroup_id)
        del self.paths[cgroup_id]

    @rule(walked=st.dictionaries(ids, names))
    def walk_again(self, walked: dict[int, str]) -> None:
        walked = {1: "/", **walked}
        self.tree.replace(walked)
        self.over = self.paths.keys() - walked.keys()
        self.paths |= walked

    @invariant()
    def agrees(self) -> None:
        assert alive(self.tree) == {i: path for i, path in self.paths.items() if i not in self.over}
        assert self.tree.ended == self.over
        assert all(self.tree.is_alive(i) == (i in self.paths and i not in self.over) for i in range(12))
        assert all(self.tree.path(i) == self.paths.get(i) for i in range(12))


Events.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestEvents = Events.TestCase


def test_the_revision_is_another_after_every_change() -> None:
    tree = CgroupTree({1: "/", 2: "/a"})
    seen = {tree.revision}
    for change in (
        lambda: tree.apply(record(3, MADE, b"/a/b")),
        lambda: tree.apply(record(2, RENAMED, b"/c")),
        lambda: tree.apply(record(3, REMOVED)),
        lambda: tree.forget(3),
        lambda: tree.apply(record(4, MADE, b"/" + b"x" * 1022)),  # cut
        lambda: tree.replace({1: "/", 2: "/c", 4: "/whole"}),
        lambda: tree.replace({1: "/", 4: "/whole"}),
        lambda: tree.replace({1: "/", 2: "/c", 4: "/whole"}),  # the id is used again
    ):
        change()
        assert tree.revision not in seen
        seen.add(tree.revision)


def test_a_walk_that_meets_what_is_known_changes_nothing() -> None:
    tree = CgroupTree({1: "/", 2: "/a"})
    before = tree.revision
    tree.replace({1: "/", 2: "/a"})
    tree.removed(99)
    assert tree.revision == before
