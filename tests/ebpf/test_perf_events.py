"""Perf events: which PMU is asked, what an event counts, and what is said where it cannot be had."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf import perf_events
from ebpf.capabilities import CapabilitySets, mask_of
from ebpf.perf_events import (
    HARDWARE,
    TYPE_HARDWARE,
    TYPE_SOFTWARE,
    Event,
    event_for,
    explained,
    hybrid_types,
    open_event,
    start,
)

CPU_CLOCK = Event(TYPE_SOFTWARE, 0)
NO_SUCH = Event(TYPE_SOFTWARE, 0xFFFF)
DEVICES = "bus/event_source/devices"


def add_pmu(sysfs: Path, name: str, number: str, cpus: str | None) -> None:
    folder = sysfs / DEVICES / name
    folder.mkdir(parents=True)
    (folder / "type").write_text(f"{number}\n")
    if cpus is not None:
        (folder / "cpus").write_text(f"{cpus}\n")


def test_a_hybrid_machine_has_a_pmu_per_kind_of_core(tmp_path: Path) -> None:
    add_pmu(tmp_path, "cpu_core", "4", "0-3")
    add_pmu(tmp_path, "cpu_atom", "10", "4-5,8")
    add_pmu(tmp_path, "uncore_imc_0", "20", "0")
    assert hybrid_types(tmp_path) == {0: 4, 1: 4, 2: 4, 3: 4, 4: 10, 5: 10, 8: 10}


def test_any_other_machine_has_none(tmp_path: Path) -> None:
    assert hybrid_types(tmp_path / "nothing") == {}
    add_pmu(tmp_path, "cpu", "4", None)
    add_pmu(tmp_path, "software", "1", None)
    assert hybrid_types(tmp_path) == {}


def test_a_pmu_that_does_not_say_its_cpus_costs_itself_alone(tmp_path: Path) -> None:
    add_pmu(tmp_path, "cpu_core", "4", None)
    add_pmu(tmp_path, "cpu_lowpower", "eleven", "6")
    add_pmu(tmp_path, "cpu_atom", "10", "4-5")
    assert hybrid_types(tmp_path) == {4: 10, 5: 10}


def test_a_generic_event_carries_its_cpus_pmu() -> None:
    hybrid = {0: 4, 4: 10}
    assert event_for(Event(TYPE_HARDWARE, 3), 4, hybrid) == Event(TYPE_HARDWARE, 10 << 32 | 3)
    assert event_for(Event(TYPE_HARDWARE, 3), 1, hybrid) == Event(TYPE_HARDWARE, 3)
    assert event_for(Event(TYPE_HARDWARE, 3), 0, {}) == Event(TYPE_HARDWARE, 3)
    assert event_for(CPU_CLOCK, 4, hybrid) == CPU_CLOCK


def test_cache_misses_are_the_hardware_event_and_not_the_dtlb() -> None:
    """PERF_TYPE_HARDWARE, PERF_COUNT_HW_*: include/uapi/linux/perf_event.h."""
    configs = {field: (event.type, event.config) for field, event in HARDWARE.items()}
    assert configs == {"cycles": (0, 0), "instructions": (0, 1), "cache_misses": (0, 3)}


def open_or_skip(event: Event, cpu: int) -> int:
    try:
        return open_event(event, cpu)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.ENOSYS):
            pytest.skip(f"needs perf_event_open on a CPU (CAP_PERFMON): {error.strerror}")
        raise


@pytest.fixture
def clock() -> Iterator[int]:
    fd = open_or_skip(CPU_CLOCK, min(os.sched_getaffinity(0)))
    yield fd
    os.close(fd)


def test_a_software_event_counts_on_its_cpu(clock: int) -> None:
    count, enabled_ns, running_ns = struct.unpack("QQQ", os.read(clock, 24))
    time.sleep(0.02)
    later, later_enabled_ns, later_running_ns = struct.unpack("QQQ", os.read(clock, 24))
    assert later - count >= 15e6
    assert later_enabled_ns - enabled_ns == later_running_ns - running_ns >= 15e6


def test_a_descriptor_is_not_handed_to_children(clock: int) -> None:
    assert not os.get_inheritable(clock)


def test_an_event_the_kernel_does_not_have_is_named() -> None:
    os.close(open_or_skip(CPU_CLOCK, 0))
    with pytest.raises(OSError, match="perf_event_open type 1 config 65535") as raised:
        open_event(NO_SUCH, 0)
    assert raised.value.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL)


def test_a_group_counts_from_when_it_is_started_and_its_times_are_one(clock: int) -> None:
    cpu = min(os.sched_getaffinity(0))
    leader = open_event(CPU_CLOCK, cpu, at_rest=True)
    other = open_event(CPU_CLOCK, cpu, leader=leader)
    time.sleep(0.01)
    assert [struct.unpack("QQQ", os.read(fd, 24))[0] for fd in (leader, other)] == [0, 0]
    assert start(leader)
    time.sleep(0.01)
    fcntl.ioctl(leader, 0x2401, 0)  # PERF_EVENT_IOC_DISABLE: both stand still
    first, second = (struct.unpack("QQQ", os.read(fd, 24)) for fd in (leader, other))
    os.close(other)
    os.close(leader)
    assert first[1:] == second[1:]
    assert first[1] == first[2] >= 5e6


def set_paranoid(procfs: Path, level: str) -> Path:
    (procfs / "sys/kernel").mkdir(parents=True, exist_ok=True)
    (procfs / "sys/kernel/perf_event_paranoid").write_text(level)
    return procfs


DENIED = OSError(errno.EACCES, "perf_event_open type 0 config 0: Permission denied")


@pytest.mark.parametrize("level", ["-1\n", "2\n", "what\n"])
def test_what_the_mainline_kernel_takes_is_perfmon(tmp_path: Path, level: str) -> None:
    assert explained(DENIED, set_paranoid(tmp_path, level)) == (
        "Permission denied: needs CAP_PERFMON, or kernel.perf_event_paranoid at 0 or less"
    )
    assert explained(DENIED, tmp_path / "no procfs").startswith("Permission denied: needs CAP_PERFMON")


@pytest.mark.parametrize(("level", "held"), [("3", "PERFMON"), ("4", "BPF")])
def test_debians_patch_takes_sys_admin_and_the_message_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, level: str, held: str
) -> None:
    mask = mask_of([held])
    monkeypatch.setattr(perf_events, "read_sets", lambda: CapabilitySets(mask, mask, 0))
    told = explained(DENIED, set_paranoid(tmp_path, level))
    assert told.startswith(f"Permission denied: kernel.perf_event_paranoid is {level}, and beyond 2")
    with_perfmon = "" if held == "PERFMON" else " with CAP_PERFMON"
    assert f"sysctl kernel.perf_event_paranoid=2{with_perfmon}, or give CAP_SYS_ADMIN" in told


def test_what_is_no_matter_of_rights_is_not_blamed_on_them(tmp_path: Path) -> None:
    absent = OSError(errno.ENOENT, "perf_event_open type 0 config 3: No such file or directory")
    assert explained(absent, set_paranoid(tmp_path, "3")) == "No such file or directory"
