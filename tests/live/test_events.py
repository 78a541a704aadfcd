"""The counter path through the real kernel: what perf itself counts for the same cgroup.

Software events stand in for the hardware ones that this machine may lack; they take the same way.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.counters import CACHE_MISSES, CYCLES, INSTRUCTIONS, CounterSource
from ebpf.cpus import online_cpus
from ebpf.perf_events import TYPE_SOFTWARE, Event, open_event
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.live import loads
from tests.live.sandbox import BUSY, Cgroup, cgroup, hierarchies, stop

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

CPU_CLOCK, PAGE_FAULTS, MINOR_FAULTS = 0, 2, 5
STAND_INS = {
    "cycles": Event(TYPE_SOFTWARE, CPU_CLOCK),
    "instructions": Event(TYPE_SOFTWARE, PAGE_FAULTS),
    "cache_misses": Event(TYPE_SOFTWARE, MINOR_FAULTS),
}
FIELD_INDEX = {"cycles": CYCLES, "instructions": INSTRUCTIONS, "cache_misses": CACHE_MISSES}


@pytest.fixture(params=["core", "bcc"])
def source(request: pytest.FixtureRequest) -> Iterator[CounterSource]:
    # perf knows a cgroup by the hierarchy perf_event is in: v2, unless it is mounted as v1
    opened = open_source(request.param, ProgramOptions(hierarchies()["v2"], events=STAND_INS))
    yield opened
    opened.close()


@contextlib.contextmanager
def perf_of(group: Cgroup) -> Iterator[dict[str, list[int]]]:
    """Descriptors of perf's own counters for one cgroup, every CPU."""
    folder = os.open(group.folder("v2"), os.O_RDONLY | os.O_DIRECTORY)
    cpus = online_cpus(Path("/sys"))
    opened = {field: [open_event(event, cpu, folder) for cpu in cpus] for field, event in STAND_INS.items()}
    try:
        yield opened
    finally:
        for fd in [folder, *(fd for fds in opened.values() for fd in fds)]:
            os.close(fd)


def perf_counts(opened: dict[str, list[int]]) -> dict[str, int]:
    return {
        field: sum(struct.unpack("QQQ", os.read(fd, 24))[0] for fd in fds) for field, fds in opened.items()
    }


def our_counts(source: CounterSource, group: Cgroup) -> dict[str, int]:
    snapshot = source.read()
    rows = snapshot.values[snapshot.cgroup_id == group.cgroup_id("v2")].sum(axis=(0, 1))
    return {field: int(rows[index]) for field, index in FIELD_INDEX.items()}


def test_counts_agree_with_perf_for_two_cgroups_that_share_the_cpus(source: CounterSource) -> None:
    assert {"cycles", "instructions", "cache_misses"} <= source.read().available
    with (
        cgroup("faults") as faults,
        cgroup("spin") as spin,
        perf_of(faults) as at_faults,
        perf_of(spin) as at_spin,
    ):
        processes = [
            faults.python(loads.PAGE_FAULTS, cpu=1),
            spin.python(BUSY, cpu=1),
            spin.python(BUSY, cpu=0),
        ]
        time.sleep(0.5)  # the start, when a task enters its cgroup between two switches, is not the claim
        pairs = {"faults": (faults, at_faults), "spin": (spin, at_spin)}
        before = {name: (our_counts(source, group), perf_counts(fds)) for name, (group, fds) in pairs.items()}
        time.sleep(5)
        stop(*processes)
        for name, (group, descriptors) in pairs.items():
            ours, perfs = our_counts(source, group), perf_counts(descriptors)
            grown = {
                field: (ours[field] - before[name][0][field], perfs[field] - before[name][1][field])
                for field in ours
            }
            assert grown["cycles"][1] > 0.1e9
            for field, (counted, true) in grown.items():
                assert counted == pytest.approx(true, rel=0.02, abs=200), f"{name} {field}"
            if name == "faults":
                assert grown["instructions"][1] > 10_000


def test_an_event_that_cannot_be_opened_is_unavailable_not_zero() -> None:
    events = {**STAND_INS, "cache_misses": Event(TYPE_SOFTWARE, 0xFFFF)}
    opened = open_source("core", ProgramOptions(hierarchies()["v2"], events=events))
    with contextlib.closing(opened):
        assert opened.read().available == {"cpu_ns", "switches", "cycles", "instructions"}
