"""Events of a CPU are a group where the PMU takes them so; where not, none is left open or claimed."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf import event_groups
from ebpf.event_groups import open_all, open_on_cpu, tell_apart
from ebpf.perf_events import HARDWARE, TYPE_SOFTWARE, Event
from tests.ebpf.test_perf_events import add_pmu

NO_ROOM = "the PMU has no room for all at once"


class FakeKernel:
    """perf_event_open that gives real descriptors, and fails for one CPU or event.

    no_group: CPUs whose PMU refuses a group; starving: those where it takes one that then does not run.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.without_cpu: int | None = None
        self.without: Event | None = None
        self.error = errno.ENOENT
        self.no_group: set[int] = set()
        self.starving: set[int] = set()
        self.asked: list[tuple[Event, int]] = []
        self.opened: list[int] = []
        self.leaders: dict[int, int] = {}  # of each that joined one
        self.started: set[int] = set()
        self._cpus: dict[int, int] = {}
        monkeypatch.setattr(event_groups, "open_event", self.open_event)
        monkeypatch.setattr(event_groups, "start", self.start)

    def open_event(self, event: Event, cpu: int, *, leader: int = -1, at_rest: bool = False) -> int:
        self.asked.append((event, cpu))
        if cpu == self.without_cpu or event == self.without:
            raise OSError(self.error, f"perf_event_open type 0 config 0: {os.strerror(self.error)}")
        if leader >= 0 and cpu in self.no_group:
            raise OSError(errno.EINVAL, "perf_event_open type 0 config 0: Invalid argument")
        fd = os.open("/dev/null", os.O_RDONLY)
        self.opened.append(fd)
        self.leaders.pop(fd, None)
        if leader >= 0:
            self.leaders[fd] = leader
        self.started.discard(fd)
        if not at_rest and leader < 0:
            self.started.add(fd)
        self._cpus[fd] = cpu
        return fd

    def start(self, leader: int) -> bool:
        self.started.add(leader)
        return self._cpus[leader] not in self.starving

    def counts(self, fd: int) -> bool:
        return is_open(fd) and self.leaders.get(fd, fd) in self.started

    def open_now(self) -> set[int]:
        return {fd for fd in self.opened if is_open(fd)}


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKernel]:
    made = FakeKernel(monkeypatch)
    yield made
    for fd in made.open_now():
        os.close(fd)


def test_a_cpus_events_are_one_group_that_the_first_of_them_leads(kernel: FakeKernel) -> None:
    opened = open_on_cpu(HARDWARE, 5, {})
    cycles, *others = opened.descriptors.values()
    assert opened.is_group
    assert list(opened.descriptors) == list(HARDWARE)
    assert [kernel.leaders[fd] for fd in others] == [cycles, cycles]
    assert all(map(kernel.counts, opened.descriptors.values()))


@pytest.mark.parametrize("refusal", ["the PMU has too few counters", "somebody else has some of them"])
def test_where_the_pmu_takes_no_group_each_is_opened_alone_and_no_other_stays_open(
    kernel: FakeKernel, refusal: str
) -> None:
    (kernel.no_group if "few" in refusal else kernel.starving).add(5)
    opened = open_on_cpu(HARDWARE, 5, {})
    assert opened.apart == ("Invalid argument" if "few" in refusal else NO_ROOM)
    fds = set(opened.descriptors.values())
    assert kernel.open_now() == fds
    assert not kernel.leaders.keys() & fds
    assert all(map(kernel.counts, fds))


def test_no_event_is_no_group_either(kernel: FakeKernel) -> None:
    opened = open_on_cpu({}, 5, {})
    assert not opened.is_group
    assert not opened.descriptors
    assert kernel.asked == []


def test_one_event_is_no_group_and_nothing_to_tell_of(
    kernel: FakeKernel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "ebpf"):
        opened = open_on_cpu({"cycles": HARDWARE["cycles"]}, 0, {})
        tell_apart({0: opened})
    assert not opened.is_group
    assert kernel.counts(opened.descriptors["cycles"])
    assert caplog.records == []


def test_where_events_are_no_group_a_line_a_reason_says_so(
    kernel: FakeKernel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.no_group, kernel.starving = {1}, {2, 3}
    _, opened = open_all(HARDWARE, range(5), tmp_path, tmp_path)
    with caplog.at_level(logging.INFO, "ebpf"):
        tell_apart(opened)
    assert [cpu for cpu, each in opened.items() if each.is_group] == [0, 4]
    assert [record.getMessage() for record in caplog.records] == [
        "CPU 1: each event is opened and read by itself: Invalid argument",
        f"CPU 2, 3: each event is opened and read by itself: {NO_ROOM}",
    ]


def test_an_event_that_cannot_be_had_is_left_out_and_said_and_the_others_are_a_group(
    kernel: FakeKernel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.without = HARDWARE["cache_misses"]
    with caplog.at_level(logging.INFO, "ebpf"):
        wanted, opened = open_all(HARDWARE, [0, 1], tmp_path, tmp_path)
    assert wanted.keys() == {"cycles", "instructions"}
    assert all(each.is_group and each.descriptors.keys() == wanted.keys() for each in opened.values())
    assert [record.getMessage() for record in caplog.records] == [
        "not counted: cache misses (No such file or directory)"
    ]
    assert kernel.open_now() == {fd for each in opened.values() for fd in each.descriptors.values()}


def test_where_one_cpu_lacks_them_none_is_counted_and_none_stays_open(
    kernel: FakeKernel, tmp_path: Path
) -> None:
    kernel.without_cpu = 5
    assert open_all(HARDWARE, [0, 2, 5, 6], tmp_path, tmp_path) == ({}, {})
    assert kernel.open_now() == set()
    assert (HARDWARE["cycles"], 6) not in kernel.asked


def test_generic_events_are_opened_on_the_pmu_that_sysfs_names(kernel: FakeKernel, tmp_path: Path) -> None:
    add_pmu(tmp_path, "cpu_core", "4", "0")
    add_pmu(tmp_path, "cpu_atom", "10", "1")
    open_all({"cycles": HARDWARE["cycles"]}, [0, 1], tmp_path, tmp_path)
    assert kernel.asked == [(Event(0, 4 << 32), 0), (Event(0, 10 << 32), 1)]


def test_on_a_hybrid_machine_every_cpu_has_a_group_on_its_own_pmu(kernel: FakeKernel, tmp_path: Path) -> None:
    add_pmu(tmp_path, "cpu_core", "4", "0-3")
    add_pmu(tmp_path, "cpu_atom", "10", "4-5")
    wanted, opened = open_all(HARDWARE, range(6), tmp_path, tmp_path)
    assert wanted.keys() == HARDWARE.keys()
    assert all(opened[cpu].is_group for cpu in range(6))
    pmus = {(cpu, event.config >> 32) for event, cpu in kernel.asked}
    assert pmus == {(0, 4), (1, 4), (2, 4), (3, 4), (4, 10), (5, 10)}


def test_a_group_of_the_real_kernel_is_one(tmp_path: Path) -> None:
    """Of software events, which are always on."""
    cpu = min(os.sched_getaffinity(0))
    clocks = {"cycles": Event(TYPE_SOFTWARE, 0), "instructions": Event(TYPE_SOFTWARE, 2)}
    opened = open_on_cpu(clocks, cpu, {})
    refused = [error.errno for error in opened.refused.values()]
    if refused and set(refused) <= {errno.EACCES, errno.EPERM, errno.ENOSYS}:
        pytest.skip("needs perf_event_open on a CPU (CAP_PERFMON)")
    assert opened.is_group, opened.apart
    opened.close()
