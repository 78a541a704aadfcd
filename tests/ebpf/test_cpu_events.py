"""The events of CPUs that come and go: opened, put into the kernel's maps, taken out, and never left open."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ebpf import bpf_maps
from ebpf.cpu_events import CpuEvents
from ebpf.group_watch import NO_TIME
from ebpf.perf_events import HARDWARE
from ebpf.program import CPU_STATE
from tests.ebpf.test_event_groups import FakeKernel, is_open
from tests.ebpf.test_perf_events import add_pmu

MAP_FDS = {"cycles": 100, "instructions": 101, "cache_misses": 102}
GROUPS = 103
ALL_MAP_FDS = {**MAP_FDS, "groups": GROUPS}


class Maps:
    """The kernel's perf event arrays: map -> CPU -> descriptor; and which CPUs programs read as a group."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entries: dict[int, dict[int, int]] = {fd: {} for fd in MAP_FDS.values()}
        self.groups: dict[int, int] = {}
        monkeypatch.setattr(bpf_maps, "update", self._update)
        monkeypatch.setattr(bpf_maps, "delete", self._delete)
        monkeypatch.setattr(bpf_maps, "lookup", self._lookup)

    def _update(self, map_fd: int, key: int, value: int) -> None:
        if map_fd == GROUPS:
            assert not value or len({*map(len, self.entries.values())}) == 1, "a group before its events"
            self.groups[key] = value
            return
        assert not self.groups.get(key), "an event is exchanged while programs read the CPU's as a group"
        self.entries[map_fd][key] = value

    def _lookup(self, map_fd: int, index: int, into: np.ndarray) -> None:
        assert map_fd == GROUPS
        into[0] = self.groups.get(index, 0)

    def _delete(self, map_fd: int, key: bytes) -> bool:
        assert not self.groups.get(int.from_bytes(key, "little"))
        return self.entries[map_fd].pop(int.from_bytes(key, "little"), None) is not None

    def group_cpus(self) -> list[int]:
        return sorted(cpu for cpu, is_group in self.groups.items() if is_group)

    def cpus(self) -> dict[str, list[int]]:
        return {field: sorted(self.entries[fd]) for field, fd in MAP_FDS.items()}


def on_each_map(cpus: list[int]) -> dict[str, list[int]]:
    return dict.fromkeys(MAP_FDS, cpus)


@pytest.fixture
def maps(monkeypatch: pytest.MonkeyPatch) -> Maps:
    return Maps(monkeypatch)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKernel]:
    made = FakeKernel(monkeypatch)
    yield made
    assert not made.open_now(), "a descriptor is left open"


@pytest.fixture
def events(kernel: FakeKernel, maps: Maps, tmp_path: Path) -> Iterator[CpuEvents]:
    """Those of CPUs 0 and 1, in the maps."""
    made = CpuEvents(HARDWARE, [0, 1], tmp_path, tmp_path)
    made.put(ALL_MAP_FDS.__getitem__)
    yield made
    made.close()


def test_at_first_every_cpu_that_is_online_has_its_events_in_the_maps(events: CpuEvents, maps: Maps) -> None:
    assert events.fields == set(HARDWARE)
    assert maps.cpus() == on_each_map([0, 1])


def test_a_cpu_that_comes_has_its_events_opened(
    events: CpuEvents, maps: Maps, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "ebpf"):
        assert events.renew(5)
    assert maps.cpus() == on_each_map([0, 1, 5])
    assert [record.getMessage() for record in caplog.records] == ["CPU 5 came: its events are opened"]


def test_a_cpu_that_comes_where_no_event_is_counted_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    events = CpuEvents()
    with caplog.at_level(logging.INFO, "ebpf"):
        events.read_apart(5)
        assert events.renew(5)
    assert caplog.records == []


def test_a_cpu_that_came_back_has_new_events_in_the_place_of_the_old(
    events: CpuEvents, maps: Maps, kernel: FakeKernel
) -> None:
    old = [entries[1] for entries in maps.entries.values()]
    assert events.renew(1)
    new = [entries[1] for entries in maps.entries.values()]
    assert kernel.opened[-3:] == new
    assert all(map(is_open, new))
    assert not any(is_open(fd) for fd in old if fd not in new)


def test_a_cpu_that_goes_takes_its_events_out_of_the_maps(events: CpuEvents, maps: Maps) -> None:
    old = [entries[1] for entries in maps.entries.values()]
    events.remove(1)
    assert maps.cpus() == on_each_map([0])
    assert not any(map(is_open, old))
    events.remove(1)  # and once more is no error


def test_maps_that_were_taken_over_get_the_events_of_a_cpu_that_comes(
    kernel: FakeKernel, maps: Maps, tmp_path: Path
) -> None:
    taken_over = CpuEvents(HARDWARE, [0, 1], tmp_path, tmp_path)
    taken_over.leave(ALL_MAP_FDS.__getitem__)
    assert not any(map(is_open, kernel.opened)), "those in the maps are another process's"
    assert taken_over.fields == set(HARDWARE)
    assert taken_over.groups == set(), "the release before this one knew none"
    assert taken_over.renew(1)
    assert maps.cpus() == on_each_map([1])
    taken_over.close()


def test_maps_that_were_taken_over_hold_the_groups_that_they_held(
    kernel: FakeKernel, maps: Maps, tmp_path: Path
) -> None:
    maps.groups = {0: 1, 1: 0}
    taken_over = CpuEvents(HARDWARE, [0, 1], tmp_path, tmp_path)
    taken_over.leave(ALL_MAP_FDS.__getitem__)
    assert taken_over.groups == {0}
    assert maps.group_cpus() == [0]


def test_every_cpus_events_are_read_as_a_group_where_they_are_one(
    kernel: FakeKernel, maps: Maps, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.no_group = {1}
    events = CpuEvents(HARDWARE, [0, 1], tmp_path, tmp_path)
    with caplog.at_level(logging.INFO, "ebpf"):
        events.put(ALL_MAP_FDS.__getitem__)
    assert events.groups == {0}
    assert maps.group_cpus() == [0]
    assert [record.getMessage() for record in caplog.records] == [
        "CPU 1: each event is opened and read by itself: Invalid argument"
    ]
    kernel.no_group = set()
    events.read_apart(1)
    assert events.renew(1)
    assert maps.group_cpus() == [0, 1]
    events.remove(0)
    assert maps.group_cpus() == [1]
    events.close()


def test_a_group_that_gets_no_time_on_the_pmu_is_opened_apart_and_that_is_said(
    events: CpuEvents, maps: Maps, kernel: FakeKernel, caplog: pytest.LogCaptureFixture
) -> None:
    assert events.starved(states((0, 0, 0), (0, 0, 0))) == []
    assert events.starved(states((3_000_000_000,) * 3, (0, 0, 0))) == [0]
    events.read_apart(0)
    with caplog.at_level(logging.INFO, "ebpf"):
        assert events.renew(0)
    assert [record.getMessage() for record in caplog.records] == [
        f"CPU 0: each event is opened and read by itself: {NO_TIME}"
    ]
    assert maps.group_cpus() == [1]
    assert maps.cpus() == on_each_map([0, 1])
    alone = {entries[0] for entries in maps.entries.values()}
    assert not kernel.leaders.keys() & alone
    assert events.starved(states((9_000_000_000,) * 3, (0, 0, 0))) == [], "alone they are left alone"
    events.remove(0)
    assert events.renew(0), "its CPU came back"
    assert maps.group_cpus() == [0, 1]


def test_a_cpu_of_another_kind_has_the_events_of_its_own_pmu(
    events: CpuEvents, kernel: FakeKernel, tmp_path: Path
) -> None:
    add_pmu(tmp_path, "cpu_core", "4", "0-1")
    add_pmu(tmp_path, "cpu_atom", "10", "5")  # its cores came with it
    assert events.renew(5)
    assert [event.config >> 32 for event, cpu in kernel.asked if cpu == 5] == [10, 10, 10]


def refuse(kernel: FakeKernel, number: int, field: str) -> None:
    kernel.without, kernel.error = HARDWARE[field], number


def test_without_the_right_a_cpu_goes_without_events_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
    events: CpuEvents,
    kernel: FakeKernel,
    maps: Maps,
) -> None:
    refuse(kernel, errno.EACCES, "instructions")
    assert not events.renew(5)
    assert not events.renew(6)
    assert events.blind == {5, 6}
    assert maps.cpus() == on_each_map([0, 1]), "all or none"
    [record] = caplog.records
    assert (
        "a CPU came whose cycles and the like are not counted: CPU 5: Permission denied"
        in record.getMessage()
    )
    assert record.getMessage().endswith("a restart of podjoule opens them")
    events.remove(5)
    assert events.blind == {6}, "one that is gone lacks nothing"


def test_a_cpu_that_is_gone_again_is_no_fault(
    caplog: pytest.LogCaptureFixture,
    events: CpuEvents,
    kernel: FakeKernel,
) -> None:
    refuse(kernel, errno.ENODEV, "cycles")
    assert not events.renew(5)
    assert events.blind == set()
    assert caplog.records == []


def states(*clocks_ns: tuple[int, int, int]) -> np.ndarray:
    """Of CPUs whose three events have been enabled for so long."""
    made = np.zeros(len(clocks_ns), CPU_STATE)
    made["events"]["enabled_ns"] = clocks_ns
    return made


def test_events_that_were_looked_at_and_did_not_go_on_stand_still(events: CpuEvents) -> None:
    before = states((5, 5, 5), (9, 9, 9), (0, 0, 0), (7, 7, 7))
    after = states((6, 6, 6), (9, 9, 9), (0, 0, 0), (7, 7, 7))
    assert events.standing_still(before, after, np.array([0, 1, 2])) == [1, 2], "CPU 3: who knows"


def test_one_event_that_stands_still_is_enough(events: CpuEvents) -> None:
    assert events.standing_still(states((5, 5, 5)), states((6, 5, 6)), np.array([0])) == [0]


def test_what_is_not_counted_at_all_does_not_stand_still(
    kernel: FakeKernel, maps: Maps, tmp_path: Path
) -> None:
    kernel.without = HARDWARE["cache_misses"]
    events = CpuEvents(HARDWARE, [0], tmp_path, tmp_path)
    assert events.fields == {"cycles", "instructions"}
    assert events.standing_still(states((5, 5, 0)), states((6, 6, 0)), np.array([0])) == []
    assert CpuEvents().standing_still(states((0, 0, 0)), states((0, 0, 0)), np.array([0])) == []
    events.close()


def test_a_blind_cpu_is_not_tried_at_every_reading(events: CpuEvents, kernel: FakeKernel) -> None:
    refuse(kernel, errno.EACCES, "cycles")
    events.renew(0)
    assert events.standing_still(states((5, 5, 5)), states((5, 5, 5)), np.array([0])) == []
