"""Where CPUs sit, as sysfs has it, and that the maps are told so once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ebpf import bpf_maps
from ebpf.cpu_places import CPU_PLACE, SOCKET_STATE, CpuPlaces, Place, read_places, socket_entries
from tests.live.topology_tree import write_tree


def test_two_threads_of_a_core_are_siblings_and_four_are_none(tmp_path: Path) -> None:
    write_tree(tmp_path, [[0, 4], [1], [2, 3, 5, 6]], {1: 2})
    assert read_places(tmp_path) == {
        0: Place(4, 0),
        4: Place(0, 0),
        1: Place(None, 2),
        **{cpu: Place(None, 0) for cpu in (2, 3, 5, 6)},
    }


@pytest.mark.parametrize("content", ["", "all\n", "5-6\n"])
def test_a_list_that_does_not_hold_the_cpu_tells_no_sibling(tmp_path: Path, content: str) -> None:
    write_tree(tmp_path, [[0, 1]])
    (tmp_path / "devices/system/cpu/cpu0/topology/thread_siblings_list").write_text(content)
    assert read_places(tmp_path)[0] == Place(None, 0)


def test_a_socket_without_a_number_is_the_first(tmp_path: Path) -> None:
    write_tree(tmp_path, [[0], [1]], {0: -1})
    (tmp_path / "devices/system/cpu/cpu1/topology/physical_package_id").unlink()
    assert read_places(tmp_path) == {0: Place(None, 0), 1: Place(None, 0)}


class Maps:
    """The two maps in memory, and what was stored in them, in its order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, n_cpu: int) -> None:
        self.of = {
            0: np.zeros(n_cpu, CPU_PLACE),
            1: np.zeros(socket_entries(n_cpu), SOCKET_STATE),
        }
        self.stored: list[tuple[int, int]] = []
        monkeypatch.setattr(bpf_maps, "store", self._store)
        monkeypatch.setattr(bpf_maps, "lookup", self._lookup)

    def fd(self, name: str) -> int:
        return {"places": 0, "sockets": 1}[name]

    def _store(self, map_fd: int, index: int, value: np.ndarray) -> None:
        self.stored.append((map_fd, index))
        self.of[map_fd][index] = value[0]

    def _lookup(self, map_fd: int, index: int, into: np.ndarray) -> None:
        into[0] = self.of[map_fd][index]


def test_a_socket_is_marked_before_any_cpu_is_sent_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps, places = Maps(monkeypatch, 4), CpuPlaces(write_tree(tmp_path, [[0, 1], [2, 3]], {2: 5, 3: 5}), 4)
    places.put(maps.fd)
    assert maps.stored == [(1, 0), (0, 0), (0, 1), (1, 1), (0, 2), (0, 3)]
    assert maps.of[0].tolist() == [(2, 1), (1, 1), (4, 2), (3, 2)]
    assert maps.of[1]["physical"][:3].tolist() == [1, 6, 0]
    assert places.had_siblings


def test_what_a_process_before_filled_keeps_its_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = Maps(monkeypatch, 2)
    maps.of[1]["physical"][0], maps.of[1]["total_ns"][0] = 8, 99
    places = CpuPlaces(write_tree(tmp_path, [[0], [1]], {0: 3, 1: 7}), 2)
    places.put(maps.fd)
    assert places.awake_ns() == {7: 99, 3: 0}
    assert maps.of[0]["socket"].tolist() == [2, 1]
    assert not places.had_siblings


def test_only_who_moved_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps, places = Maps(monkeypatch, 3), CpuPlaces(write_tree(tmp_path, [[0, 1], [2]]), 3)
    places.put(maps.fd)
    assert places.follow() == []
    write_tree(tmp_path, [[0], [2]])
    assert places.follow() == [0]
    write_tree(tmp_path, [[0, 1], [2]])
    assert places.follow() == [0, 1]
    assert maps.of[0]["sibling"].tolist() == [2, 1, 0]
    assert places.had_siblings


def test_sockets_beyond_the_room_there_is_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps, places = Maps(monkeypatch, 1), CpuPlaces(write_tree(tmp_path, [[0]], {0: 0}), 1)
    places.put(maps.fd)
    for number in (1, 2):
        write_tree(tmp_path, [[0]], {0: number})
        places.follow()
    assert maps.of[0]["socket"].tolist() == [0]
    assert places.awake_ns().keys() == {0, 1}


def test_before_there_are_programs_nothing_is_counted() -> None:
    assert not CpuPlaces().are_told
    assert CpuPlaces().awake_ns() == {}
