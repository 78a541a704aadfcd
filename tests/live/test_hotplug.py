"""CPUs that go, come back or come late: what is counted on them agrees with what perf counts there."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ebpf.counters import CounterSource
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.conftest import skip_for_hardware
from tests.live import loads
from tests.live.perf import STAND_INS, our_counts, perf_counts, perf_of
from tests.live.rights import run_confined
from tests.live.sandbox import BUSY, cgroup, hierarchies, stop
from tests.live.sharing import Phases, shared_by
from tests.live.switch_program import traced
from tests.live.topology_tree import write_tree

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

ONLINE = Path("/sys/devices/system/cpu/cpu1/online")


@pytest.fixture(autouse=True)
def cpu1() -> Iterator[None]:
    """CPU 1 can be taken offline, and is online afterwards."""
    try:
        switch(on=False)
        switch(on=True)
    except OSError as error:
        skip_for_hardware(f"CPU 1 cannot be taken offline: {error.strerror}")
    yield
    switch(on=True)


def switch(*, on: bool) -> None:
    if not ONLINE.exists() or ONLINE.read_text().strip() != f"{int(on)}":
        ONLINE.write_text(f"{int(on)}")


def options() -> ProgramOptions:
    return ProgramOptions(hierarchies()["v2"], events=STAND_INS)


@pytest.fixture(params=["core", "bcc"])
def loader(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def source(loader: str) -> Iterator[CounterSource]:
    opened = open_source(loader, options())
    yield opened
    opened.close()


def assert_counted(source: CounterSource, name: str = "returned") -> None:
    """Two loads on CPU 1 are counted as perf counts them."""
    source.read()
    with cgroup(name) as group, perf_of(group) as perf:
        processes = [group.python(loads.PAGE_FAULTS, cpu=1), group.python(BUSY, cpu=1)]
        group.wait_until_used("v2", 1.2)
        stop(*processes)
        ours, truth = our_counts(source, group), perf_counts(perf)
    assert truth["cycles"] > 1e9, "the load hardly ran"
    for field, true in truth.items():
        assert ours[field] == pytest.approx(true, rel=0.02, abs=200), field


def test_events_go_on_where_a_cpu_came_back(source: CounterSource) -> None:
    source.read()
    switch(on=False)
    source.read()
    switch(on=True)
    source.read()
    assert_counted(source)
    assert source.statistics().blind_cpus == 0


def test_they_go_on_where_it_came_back_between_two_readings(source: CounterSource) -> None:
    source.read()
    switch(on=False)
    switch(on=True)
    source.read()
    with cgroup("waker") as group:
        stop(group.python("pass", cpu=1))
    source.read()  # by now at the latest
    assert_counted(source)


def test_a_cpu_that_was_offline_at_the_start_is_counted_when_it_comes(loader: str) -> None:
    switch(on=False)
    with contextlib.closing(open_source(loader, options())) as source:
        source.read()
        switch(on=True)
        assert_counted(source)


def test_nothing_is_counted_twice_or_lost_of_the_time_around_it(source: CounterSource) -> None:
    with cgroup("roaming") as group:
        process = group.python(BUSY, cpu=1)
        for on in (False, True, False, True):
            time.sleep(0.3)
            switch(on=on)
            source.read()
        stop(process)
        counted = our_cpu_ns(source, group.cgroup_id("v2"))
        assert counted == pytest.approx(group.used_ns("v2"), rel=0.01, abs=20e6)


def our_cpu_ns(source: CounterSource, cgroup_id: int) -> int:
    snapshot = source.read()
    return int(snapshot.values[snapshot.cgroup_id == cgroup_id, :, 0].sum())


@pytest.mark.parametrize("while_down", [False, True])
def test_maps_that_are_pinned_get_the_events_too_whoever_watches(pins: Path, while_down: bool) -> None:
    pinned = replace(options(), pin=pins)
    with contextlib.closing(open_source("core", pinned)) as first:
        first.read()
        if not while_down:
            switch(on=False)
            first.read()
            switch(on=True)
            first.read()
            assert_counted(first, "first")
    if while_down:
        switch(on=False)
        switch(on=True)
    with contextlib.closing(open_source("core", pinned)) as second:
        assert_counted(second, "second")


def test_a_cpu_that_went_while_it_was_busy_keeps_no_socket_awake(tmp_path: Path, loader: str) -> None:
    """The last switch on it is not traced: without more ado it would be busy for ever."""
    tree = write_tree(tmp_path, [[0, 1]])
    with contextlib.closing(open_source(loader, replace(options(), sysfs=tree))) as source:
        with cgroup("roaming") as group:
            process = group.python(BUSY, cpu=1)
            time.sleep(0.2)
            source.read()
            switch(on=False)
            write_tree(tree, [[0]])
            stop(process)
        source.read()
        states = source._states()  # type: ignore[attr-defined]
        assert not states["activity"][1] & 1
        running = [Phases(0, 0.05, 0.01)]
        found = shared_by(traced, {loader: source}, running, {}, {0: (0, 1)}, 1.0)[loader]
    assert found.awake[0].off_percent <= 2, found.awake


GIVEN_UP = """
import json, sys
from pathlib import Path
from ebpf.capabilities import CapabilitySets, mask_of, write_sets
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.live.perf import STAND_INS
from tests.live.sandbox import hierarchies
import logging
logging.basicConfig(format="%(message)s", level=logging.WARNING)
online = Path("/sys/devices/system/cpu/cpu1/online")
source = open_source("core", ProgramOptions(hierarchies()["v2"], events=STAND_INS))
source.read()
write_sets(CapabilitySets(0, 0, 0))
for text in "0", "1", "0", "1":
    online.write_text(text)
    source.read()
print(source.statistics().blind_cpus, len(source.read().cgroup_id))
source.close()
"""


def test_without_perfmon_a_cpu_that_comes_back_has_no_events_and_a_line_says_so() -> None:
    done = run_confined(["-c", GIVEN_UP], ["BPF", "PERFMON"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "1"
    assert int(done.stdout.split()[1]) > 0, "CPU time goes on"
    assert done.stderr.count("cycles and the like are not counted: CPU 1: Permission denied") == 1
    assert "a restart of podjoule opens them" in done.stderr


def test_each_coming_is_told(source: CounterSource, caplog: pytest.LogCaptureFixture) -> None:
    switch(on=False)
    source.read()
    switch(on=True)
    with caplog.at_level(logging.INFO, "ebpf"):
        source.read()
        source.read()
    assert caplog.text.count("CPU 1 came: its events are opened") == 1
