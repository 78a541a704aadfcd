"""The counter path through the real kernel: what perf itself counts for the same cgroup.

Software events stand in for the hardware ones that this machine may lack; they take the same way.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ebpf.counters import CounterSource
from ebpf.cpu_events import CpuEvents
from ebpf.cpus import online_cpus
from ebpf.perf_events import TYPE_SOFTWARE, Event
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.live import loads
from tests.live.lesser_kernels import open_named
from tests.live.perf import STAND_INS, our_counts, perf_counts, perf_of
from tests.live.sandbox import BUSY, cgroup, hierarchies, stop

ONLINE = set(online_cpus(Path("/sys")))

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]


@pytest.fixture(params=["core", "bcc", "core by copy"])
def source(request: pytest.FixtureRequest) -> Iterator[CounterSource]:
    # perf knows a cgroup by the hierarchy perf_event is in: v2, unless it is mounted as v1
    opened = open_named(request.param, ProgramOptions(hierarchies()["v2"], events=STAND_INS))
    yield opened
    opened.close()


def events_of(source: CounterSource) -> CpuEvents:
    return source._program.events  # type: ignore[attr-defined,no-any-return]


def test_counts_agree_with_perf_for_two_cgroups_that_share_the_cpus(source: CounterSource) -> None:
    assert {"cycles", "instructions", "cache_misses"} <= source.read().available
    assert events_of(source).groups == ONLINE, "they are read one by one"
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


@contextlib.contextmanager
def at_rest(*processes: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ours and perf's are not read at the same moment: nothing moves meanwhile."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    yield
    for process in processes:
        process.send_signal(signal.SIGCONT)


def assert_grown(ours: list[dict[str, int]], perfs: list[dict[str, int]]) -> None:
    for field, first in perfs[0].items():
        true = perfs[1][field] - first
        assert ours[1][field] - ours[0][field] == pytest.approx(true, rel=0.02, abs=500), field
        assert true > 1_000, field


def test_a_group_that_starves_goes_on_one_by_one_and_nothing_is_lost_or_counted_twice(
    source: CounterSource, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Software events never starve: they are said to, once on each CPU, while the CPU is at work."""
    with cgroup("faults") as group, cgroup("spin") as spin, perf_of(group) as perf:
        load, rival = group.python(loads.PAGE_FAULTS, cpu=1), spin.python(BUSY, cpu=1)
        group.wait_until_used("v2", seconds=0.3)
        with at_rest(load):
            ours, perfs = [our_counts(source, group)], [perf_counts(perf)]
        group.wait_until_used("v2", seconds=0.5)
        with monkeypatch.context() as hurried, caplog.at_level(logging.INFO, "ebpf"):
            hurried.setattr("ebpf.group_watch._LONG_NS", 0)
            source.read()
        assert events_of(source).groups == set()
        group.wait_until_used("v2", seconds=1.0)
        with at_rest(load):
            ours, perfs = [*ours, our_counts(source, group)], [*perfs, perf_counts(perf)]
        stop(load, rival)
    assert_grown(ours, perfs)
    assert caplog.text.count("is opened and read by itself: all at once they got no time") == len(ONLINE)


@pytest.mark.parametrize("knows_groups", [True, False])
def test_events_that_a_process_left_go_on_as_they_were(pins: Path, knows_groups: bool) -> None:
    """The release that began this layout pins none of the map that says which are groups."""
    pinned = replace(ProgramOptions(hierarchies()["v2"], events=STAND_INS), pin=pins)
    with cgroup("faults") as group, perf_of(group) as perf:
        with contextlib.closing(open_source("core", pinned)) as first:
            first.read()
            load = group.python(loads.PAGE_FAULTS, cpu=1)
            group.wait_until_used("v2", seconds=0.3)
            with at_rest(load):
                ours, perfs = [our_counts(first, group)], [perf_counts(perf)]
            assert events_of(first).groups == ONLINE
        if not knows_groups:
            [layout] = pins.iterdir()
            (layout / "groups").unlink()
        with contextlib.closing(open_source("core", pinned)) as second:
            if knows_groups:
                assert events_of(second).groups == ONLINE
            group.wait_until_used("v2", seconds=0.8)
            with at_rest(load):
                ours, perfs = [*ours, our_counts(second, group)], [*perfs, perf_counts(perf)]
        stop(load)
    assert_grown(ours, perfs)


def test_an_event_that_cannot_be_opened_is_unavailable_not_zero() -> None:
    events = {**STAND_INS, "cache_misses": Event(TYPE_SOFTWARE, 0xFFFF)}
    opened = open_source("core", ProgramOptions(hierarchies()["v2"], events=events))
    with contextlib.closing(opened):
        available = opened.read().available
    assert {"cpu_ns", "switches", "cycles", "instructions"} <= available
    assert "cache_misses" not in available
