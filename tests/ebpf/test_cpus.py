"""CPU and process lists as the kernel prints them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpf.cpus import (
    OnlineCpus,
    OnlineList,
    online_cpus,
    parse_cpu_list,
    running_processes,
    shows_every_process,
)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0\n", [0]),
        ("0-3\n", [0, 1, 2, 3]),
        ("0-1,8,10-11\n", [0, 1, 8, 10, 11]),
        ("2,0-1", [0, 1, 2]),
        ("0-1023", list(range(1024))),
        ("\n", []),  # a PMU with no CPU online
        ("", []),
    ],
)
def test_a_list_is_its_cpus(text: str, cpus: list[int]) -> None:
    assert parse_cpu_list(text) == cpus


def kernel_list(cpus: set[int]) -> str:
    """As the kernel's %*pbl prints a set."""
    starts = sorted(cpu for cpu in cpus if cpu - 1 not in cpus)
    ends = sorted(cpu for cpu in cpus if cpu + 1 not in cpus)
    spans = zip(starts, ends, strict=True)
    return ",".join(f"{start}" if start == end else f"{start}-{end}" for start, end in spans) + "\n"


@given(st.sets(st.integers(0, 300)))
@settings(deadline=None)
def test_every_set_of_cpus_comes_back(cpus: set[int]) -> None:
    assert parse_cpu_list(kernel_list(cpus)) == sorted(cpus)


@pytest.mark.parametrize("text", ["all", "0-x", "-3", "0 1", "1.5", "0:3", "0-3:2", "3-1", "1-", "1--3", "٣"])
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a CPU list"):
        parse_cpu_list(text)


def test_the_online_cpus_are_those_sysfs_lists(tmp_path: Path) -> None:
    folder = tmp_path / "devices/system/cpu"
    folder.mkdir(parents=True)
    (folder / "online").write_text("0,2-3\n")
    assert online_cpus(tmp_path) == [0, 2, 3]


@pytest.mark.parametrize("content", [None, "all of them\n"])
def test_a_tree_that_does_not_say_has_as_many_as_the_machine(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "devices/system/cpu").mkdir(parents=True)
        (tmp_path / "devices/system/cpu/online").write_text(content)
    assert online_cpus(tmp_path) == list(range(os.cpu_count() or 1))


def test_a_procfs_that_hides_the_kernels_threads_shows_not_every_process(tmp_path: Path) -> None:
    assert not shows_every_process(tmp_path), "hidepid"
    (tmp_path / "2").mkdir()
    (tmp_path / "2/comm").write_text("sleep\n")
    assert not shows_every_process(tmp_path), "another PID namespace"
    (tmp_path / "2/comm").write_text("kthreadd\n")
    assert shows_every_process(tmp_path)


def test_the_running_processes_are_the_numbers_in_procfs(tmp_path: Path) -> None:
    for name in ("1", "4711", "self", "sys", "99x"):
        (tmp_path / name).mkdir()
    assert sorted(running_processes(tmp_path)) == [1, 4711]
    assert os.getpid() in running_processes(Path("/proc"))


def online_file(sysfs: Path) -> Path:
    folder = sysfs / "devices/system/cpu"
    folder.mkdir(parents=True)
    return folder / "online"


def test_cpus_that_come_and_go_are_told_once(tmp_path: Path) -> None:
    file = online_file(tmp_path)
    file.write_text("0-3\n")
    online = OnlineCpus(tmp_path)
    assert online.cpus == {0, 1, 2, 3}
    assert online.changes() == (set(), set())
    file.write_text("0,2-5\n")
    assert online.changes() == ({4, 5}, {1})
    assert online.changes() == (set(), set())
    online.close()
    online.close()
    assert online.changes() == (set(), set())


def test_a_sysfs_that_does_not_say_has_no_changes(tmp_path: Path) -> None:
    online = OnlineCpus(tmp_path)
    assert online.cpus == set(range(os.cpu_count() or 1))
    assert online.changes() == (set(), set())
    file = online_file(tmp_path / "rubbish")
    file.write_text("0-1\n")
    online = OnlineCpus(tmp_path / "rubbish")
    file.write_text("what\n")
    assert online.changes() == (set(), set())
    online.close()


def test_the_list_of_cpus_follows_the_file_however_it_comes_and_goes(tmp_path: Path) -> None:
    file = tmp_path / "devices/system/cpu/online"
    online = OnlineList(tmp_path)
    n_cpu = os.cpu_count() or 1
    assert online.read() == tuple(range(n_cpu))
    file.parent.mkdir(parents=True)
    for text, cpus in (("0-3\n", (0, 1, 2, 3)), ("0,3\n", (0, 3)), ("0,3\n", (0, 3))):
        file.write_text(text)
        assert online.read() == cpus
    file.unlink()
    assert online.read() == tuple(range(n_cpu))
