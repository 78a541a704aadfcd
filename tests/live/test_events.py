"""The counter path through the real kernel: what perf itself counts for the same cgroup.

Software events stand in for the hardware ones that this machine may lack; they take the same way.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from ebpf.counters import CounterSource
from ebpf.perf_events import TYPE_SOFTWARE, Event
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.live import loads
from tests.live.lesser_kernels import open_named
from tests.live.perf import STAND_INS, our_counts, perf_counts, perf_of
from tests.live.sandbox import BUSY, cgroup, hierarchies, stop

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]


@pytest.fixture(params=["core", "bcc", "core by copy"])
def source(request: pytest.FixtureRequest) -> Iterator[CounterSource]:
    # perf knows a cgroup by the hierarchy perf_event is in: v2, unless it is mounted as v1
    opened = open_named(request.param, ProgramOptions(hierarchies()["v2"], events=STAND_INS))
    yield opened
    opened.close()


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
        # The start, when a task enters its cgroup between two switches, is not the claim.
        faults.wait_until_used("v2", seconds=0.5)
        spin.wait_until_used("v2", seconds=1.0)
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
        available = opened.read().available
    assert {"cpu_ns", "switches", "cycles", "instructions"} <= available
    assert "cache_misses" not in available
