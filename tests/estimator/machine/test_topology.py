"""Sockets and CPUs from /sys, whole or full of holes."""

from __future__ import annotations

from pathlib import Path

from estimator.machine.topology import CpuTopology, read_topology


def write(sysfs: Path, name: str, text: str) -> None:
    path = sysfs / "devices" / "system" / "cpu" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def packages(sysfs: Path, *ids: int) -> None:
    for cpu, package in enumerate(ids):
        write(sysfs, f"cpu{cpu}/topology/physical_package_id", str(package))


def test_sockets_are_numbered_densely_and_keep_their_physical_ids(tmp_path: Path) -> None:
    write(tmp_path, "online", "0-3")
    write(tmp_path, "possible", "0-3")
    packages(tmp_path, 0, 3, 0, 3)
    topology = read_topology(tmp_path)
    assert topology == CpuTopology((0, 1, 2, 3), (0, 1, 0, 1), (0, 3))
    assert (topology.n_sockets, topology.n_cpu) == (2, 4)


def test_offline_cpus_have_a_place_and_no_say(tmp_path: Path) -> None:
    write(tmp_path, "online", "0,2")
    write(tmp_path, "possible", "0-7")
    write(tmp_path, "cpu0/topology/physical_package_id", "0")
    write(tmp_path, "cpu2/topology/physical_package_id", "1")
    assert read_topology(tmp_path) == CpuTopology((0, 2), (0, 0, 1, 0, 0, 0, 0, 0), (0, 1))


def test_minus_one_as_on_arm64_is_one_socket(tmp_path: Path) -> None:
    write(tmp_path, "online", "0-1")
    packages(tmp_path, -1, -1)
    assert read_topology(tmp_path) == CpuTopology((0, 1), (0, 0), (0,))


def test_without_lists_the_directories_say_which_cpus_there_are(tmp_path: Path) -> None:
    packages(tmp_path, 0, 0, 1)
    write(tmp_path, "cpufreq/boost", "1")
    assert read_topology(tmp_path) == CpuTopology((0, 1, 2), (0, 0, 1), (0, 1))


def test_an_empty_tree_is_one_cpu_on_one_socket(tmp_path: Path) -> None:
    assert read_topology(tmp_path) == CpuTopology((0,), (0,), (0,))
