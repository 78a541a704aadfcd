"""Kernels that lack something, played by this one: the next best way counts the same."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ebpf import bpf_maps
from ebpf.bpf_source import BpfCounterSource
from ebpf.counters import CPU_NS, CounterSource
from ebpf.pins import layouts
from ebpf.program import HOOKS, KEY, ProgramOptions
from ebpf.source import open_source
from tests.live.counting import bracketed, counters_of, is_within, short_life
from tests.live.lesser_kernels import without_batch_lookups, without_ring_buffers
from tests.live.perf import STAND_INS
from tests.live.sandbox import BUSY, Cgroup, cgroup, hierarchies, stop

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]


@pytest.fixture(params=["core", "bcc"])
def loader(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def options() -> ProgramOptions:
    return ProgramOptions(hierarchies()["v2"], events=STAND_INS)


def assert_counts(source: CounterSource, group: Cgroup, seconds: float = 0.5) -> None:
    """What runs in a cgroup is counted as the kernel itself counts it."""
    process = group.python(BUSY)
    time.sleep(seconds)
    reading = bracketed(source, [group], "v2")
    stop(process)
    counted = counters_of(reading.snapshot, group.cgroup_id("v2"))
    assert counted is not None
    assert is_within(int(counted[CPU_NS]), reading.earlier_ns[group.path], reading.later_ns[group.path]), (
        counted
    )


def test_without_batch_lookups_maps_are_read_key_by_key(
    caplog: pytest.LogCaptureFixture, loader: str
) -> None:
    with caplog.at_level(logging.INFO, "ebpf"), without_batch_lookups():
        source = open_source(loader, options())
    assert "ours are read key by key" in caplog.text
    with contextlib.closing(source), cgroup("by-key") as group:
        assert isinstance(source, BpfCounterSource)
        assert_counts(source, group)
        slow = source._counts
        assert isinstance(slow, bpf_maps.KeyReader)
        program = source._program
        quick = bpf_maps.BatchReader(program.maps["counts"], KEY, (program.n_cpu, 8))
        ids = [sorted(reader.read()[0]["cgroup_id"].tolist()) for reader in (slow, quick)]
        assert ids[0] == ids[1] != []


@pytest.fixture
def without_ring() -> Iterator[None]:
    with without_ring_buffers():
        yield


@pytest.mark.usefixtures("without_ring")
def test_without_ring_buffers_the_tree_is_walked(loader: str, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.closing(open_source(loader, options())) as source:
        assert "this kernel has no ring buffers: the cgroup tree is walked at each reading" in caplog.text
        assert isinstance(source, BpfCounterSource)
        assert set(source._program.programs) == {"on_switch", "on_attach", "charge_running"}
        assert "cgroup_events" not in source._program.maps
        source.read()
        with cgroup("walked") as group:
            assert_counts(source, group)
            assert source.directory.path(group.cgroup_id("v2")) == group.path
            cgroup_id = group.cgroup_id("v2")
        source.read()
        assert not source.directory.is_alive(cgroup_id)
        for _ in range(3):
            source.read()
        assert source.directory.path(cgroup_id) is None, "it is forgotten, as with a ring buffer"


@pytest.mark.usefixtures("without_ring")
def test_a_cgroup_that_ends_before_the_tree_is_walked_is_counted_without_a_name(loader: str) -> None:
    with contextlib.closing(open_source(loader, options())) as source:
        source.read()
        before = source.statistics().nameless
        life = short_life(source, "v2")
        assert life.counted_ns is not None
        assert abs(life.counted_ns - life.true_ns) <= 20e6
        assert source.directory.path(life.cgroup_id) is None
        assert source.statistics().nameless == before + 1
        for _ in range(3):
            snapshot = source.read()
        assert counters_of(snapshot, life.cgroup_id) is None, "and leaves the map like any other"


@pytest.mark.usefixtures("without_ring")
def test_without_ring_buffers_pins_are_taken_over_all_the_same(pins: Path) -> None:
    pinned = replace(options(), pin=pins)
    with contextlib.closing(open_source("core", pinned)) as first:
        identity = first.kept().identity
    [layout] = layouts(pins)
    names = {path.name for path in (pins / layout).iterdir()}
    assert "cgroup_events" not in names
    assert {name for name in names if name.startswith("link_")} == {"link_on_switch", "link_on_attach"}
    with contextlib.closing(open_source("core", pinned)) as second:
        assert second.kept().identity == identity != ""


def test_a_program_that_copies_takes_over_from_one_that_follows_pointers(pins: Path) -> None:
    pinned = replace(options(), pin=pins)
    with cgroup("handed-over") as group:
        with contextlib.closing(open_source("core", pinned)) as first:
            assert_counts(first, group)
            identity = first.kept().identity
        with contextlib.closing(open_source("core", replace(pinned, by_copy=True))) as second:
            assert second.kept().identity == identity
            assert_counts(second, group)
        [layout] = layouts(pins)
        links = {path.name for path in (pins / layout).iterdir() if path.name.startswith("link_")}
        assert links == {f"link_{hook}" for hook in HOOKS}
