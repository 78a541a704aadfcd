"""Whose counts may go, reading by reading."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ebpf.cgroup_lives import STILL_READINGS, Activity, CgroupLives
from ebpf.cgroups import CgroupTree
from ebpf.program import KEY

SHELL, BUILD = 7, 8


def keys(*counted: tuple[int, int]) -> npt.NDArray[np.void]:
    """(cgroup id, process) each."""
    return np.array([(cgroup_id, tgid, 0) for cgroup_id, tgid in counted], KEY)


def lives() -> tuple[CgroupTree, CgroupLives]:
    tree = CgroupTree({1: "/", SHELL: "/shell", BUILD: "/build"})
    return tree, CgroupLives(tree)


def doomed(found: CgroupLives) -> list[tuple[int, int]]:
    taken = np.frombuffer(b"".join(sorted(found.take_doomed())), KEY)
    return list(zip(taken["cgroup_id"].tolist(), taken["tgid"].tolist(), strict=True))


def test_what_is_alive_stays() -> None:
    tree, found = lives()
    for _ in range(3):
        found.follow(keys((SHELL, 0), (BUILD, 0)))
        assert doomed(found) == []
    assert set(tree.paths) == {1, SHELL, BUILD}


def test_the_counts_of_an_ended_cgroup_go_at_the_next_reading_and_its_path_one_later() -> None:
    tree, found = lives()
    found.follow(keys((SHELL, 0), (BUILD, 0)))
    tree.removed(BUILD)
    found.follow(keys((SHELL, 0), (BUILD, 0)))
    assert doomed(found) == [(BUILD, 0)]
    found.follow(keys((SHELL, 0), (BUILD, 0)))
    assert tree.path(BUILD) == "/build", "its last counts are in the snapshot"
    found.follow(keys((SHELL, 0)))
    assert tree.path(BUILD) is None
    assert doomed(found) == []


def test_a_cgroup_that_ended_uncounted_is_forgotten_at_the_next_reading() -> None:
    tree, found = lives()
    tree.removed(BUILD)
    found.follow(keys((SHELL, 0)))
    assert tree.path(BUILD) == "/build"
    found.follow(keys((SHELL, 0)))
    assert tree.path(BUILD) is None


def test_an_id_that_the_kernel_uses_again_is_not_forgotten() -> None:
    tree, found = lives()
    tree.removed(BUILD)
    found.follow(keys((SHELL, 0)))
    tree.made(BUILD, "/again")
    found.follow(keys((SHELL, 0), (BUILD, 0)))
    assert tree.path(BUILD) == "/again"
    assert doomed(found) == []


def test_ended_processes_of_a_living_cgroup_go_where_they_are_told_apart() -> None:
    tree, found = lives()
    for _ in range(2):
        found.follow(keys((SHELL, 10), (SHELL, 11)), processes=[10])
    assert doomed(found) == [(SHELL, 11)]
    assert tree.is_alive(SHELL)


def test_where_ends_cannot_be_seen_a_process_goes_after_a_long_rest_alone() -> None:
    _, found = lives()
    activity, counted = Activity(), keys((SHELL, 10), (SHELL, 11), (BUILD, 11))
    for reading in range(2 * STILL_READINGS):
        cpu_ns = np.array([reading, 5, 5], np.uint64)
        found.follow(counted, activity.recent(counted, cpu_ns))
        gone = doomed(found)
        assert gone == [] or reading >= STILL_READINGS
    assert set(gone) == {(SHELL, 11), (BUILD, 11)}
    found.follow(counted, activity.recent(counted, np.array([99, 6, 5], np.uint64)))
    assert doomed(found) == [], "it runs again"


def test_a_cgroup_that_nobody_told_of_is_counted_once_and_its_counts_go() -> None:
    _, found = lives()
    found.follow(keys((99, 0), (99, 1)))
    found.follow(keys((99, 0)))
    assert found.n_nameless == 1
    assert doomed(found) == [(99, 0)]
