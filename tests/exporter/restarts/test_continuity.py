"""A second process goes on from what the first one wrote: counters stand where they stood, gaps are told."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from ebpf.counters import FIELDS, KernelStatistics
from ebpf.fake import FakeCounterSource
from estimator.meters.fake import FakeMeter
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import ZoneReading
from estimator.meters.several import SeveralMeters
from estimator.model.whole_file import TEMPORARY
from exporter.configuration.option_tree import State
from exporter.configuration.tariff_options import Carbon, Cost
from exporter.metrics.exposition import Family
from exporter.metrics.families import SPECS
from exporter.restarts.carried_counters import BOOKED, Carried
from exporter.restarts.continuity import FILE, Clocks, Continuity
from exporter.restarts.opening import open_keeper
from exporter.restarts.state_codec import BEFORE_PODJOULE, decode
from exporter.restarts.state_file import StoredState, read_state, write_state
from tests.exporter.nodes import FIXTURES, NODE, Node, Samples, container, in_pod, of, series, write_process

BOOT, OTHER_BOOT = "b7c0", "a001"
EPOCH = 1.8e9
# What the version before the starts wrote of `begun(Life(…, **OPTIONS))`.
WITHOUT_STARTS = FIXTURES / "state/without_starts.state"
VM = r"/machine.slice/machine-qemu\x2d1\x2dweb.scope"
COUNTERS = {spec.name for spec in SPECS if spec.type == "counter"}


class Life:
    """One node that outlives its exporters: `start` puts another one over the same kernel and meter."""

    def __init__(self, folder: Path, *, pinned: bool = True, **options: object) -> None:
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        self.procfs = folder / "proc"
        write_process(self.procfs, 100, "nginx", "/usr/sbin/nginx", start_ticks=7)
        self.source = FakeCounterSource(n_cpu=2)
        self.source.identity = f"{BOOT} map 5" if pinned else ""
        self.source.statistics_now = KernelStatistics({"on_switch": 10}, {"on_switch": 5_000}, 3, 250, 1)
        self.boot, self.name = BOOT, "n1"
        self.options = {"zones": ("package", "dram"), "levels": (*NODE, "process"), **options}
        self.energy_uj = {"package": 1_000_000, "dram": 2_000_000}

    def start(self, **options: object) -> Node:
        """The next exporter; the page it shows first is that of its first tick."""
        node = Node(source=self.source, procfs=self.procfs, epoch=EPOCH, **{**self.options, **options})  # type: ignore[arg-type]
        for counter in node.counters:
            counter.energy_uj = self.energy_uj[counter.zone]
        lock = os.open(self.state, os.O_RDONLY)
        clocks = Clocks(wall=lambda: EPOCH + node.seconds(), monotonic_ns=lambda: self.source.monotonic_ns)
        keeper = Continuity(self.state / FILE, self.name, self.boot, lock, clocks)
        node.measurement.keeper = keeper
        several = SeveralMeters([node.measurement.power.source], clock=lambda: self.source.monotonic_ns)  # type: ignore[list-item]
        node.measurement.power = replace(node.measurement.power, source=several, meter=several)
        keeper.restore(node.measurement)
        return node

    def end(self, node: Node) -> None:
        """However it ended: nothing is called but what the kernel does."""
        self.energy_uj = {counter.zone: counter.energy_uj for counter in node.counters}
        node.measurement.keeper.close()


def work(node: Node) -> None:
    for path in (container(1), in_pod(2), VM, "/system.slice/ssh.service"):
        node.source.use(
            path, 1.0, tgid=100 if path == container(1) else 0, cycles=10, instructions=5, cache_misses=1
        )
    node.source.drop(0.25)
    node.draw(30.0)
    node.draw(5.0, "dram")


def begun(life: Life) -> tuple[Node, Samples]:
    """An exporter after three ticks of work."""
    for path in (container(1), in_pod(2), VM, "/system.slice/ssh.service"):
        life.source.add(path)
    node = life.start()
    node.tick()
    for _ in range(2):
        work(node)
        samples = node.tick()
    return node, samples


def counters(samples: Samples) -> Samples:
    return {key: n for key, n in samples.items() if key[0] in COUNTERS}


def assert_never_down(before: Samples, after: Samples) -> None:
    fallen = {key: (n, after.get(key)) for key, n in counters(before).items() if after.get(key, 0.0) < n}
    assert not fallen


OPTIONS = {
    "idle_policy": "proportional",
    "carbon": Carbon(intensity=400.0),
    "cost": Cost(price_per_kwh=0.25, currency="EUR"),
}


@pytest.mark.parametrize("pinned", [True, False])
def test_every_counter_stands_where_it_stood(tmp_path: Path, pinned: bool) -> None:
    life = Life(tmp_path, pinned=pinned, **OPTIONS)
    first, before = begun(life)
    life.end(first)
    life.source.statistics_now = KernelStatistics({"on_switch": 10}, {"on_switch": 5_000}, 3, 250, 1)
    after = life.start().tick(1e-6)  # the meter stands still in it
    own = {"podjoule_ticks_total", "podjoule_bpf_runs_total", "podjoule_bpf_run_seconds_total"}
    own |= set() if pinned else {"podjoule_bpf_dropped_seconds_total", "podjoule_bpf_lost_events_total"}
    assert len(counters(before)) > 40
    assert_never_down(before, after)
    for key, n in counters(before).items():
        if key[0] not in own and ("kind", "still") not in key[1]:
            assert after[key] == pytest.approx(n, abs=1e-5), key
    assert of(after, "podjoule_ticks_total") == of(before, "podjoule_ticks_total") + 1
    assert of(after, "podjoule_bpf_runs_total") == 20, "programs are new ones"
    assert of(after, "podjoule_bpf_lost_events_total") == (1 if pinned else 2), "pinned maps go on counting"


def test_what_was_used_meanwhile_is_counted_and_shared_out(tmp_path: Path) -> None:
    life = Life(tmp_path)
    first, before = begun(life)
    life.end(first)
    second = life.start()
    work(second)
    after = second.tick(20.0)
    for name in (
        "kepler_container_cpu_seconds_total",
        "kepler_vm_cpu_joules_total",
        "kepler_pod_cpu_joules_total",
    ):
        assert of(after, name) > of(before, name)
    grown = of(after, "kepler_node_cpu_joules_total", zone="package") - of(
        before, "kepler_node_cpu_joules_total", zone="package"
    )
    assert grown == pytest.approx(30.0)
    assert of(after, "kepler_container_cpu_seconds_total") == pytest.approx(6.0)


def test_without_the_kernels_counts_the_downtime_is_a_gap(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(tmp_path, pinned=False)
    first, before = begun(life)
    work(first)
    life.source.advance(20.0)
    life.end(first)
    second = life.start()
    after = second.tick()
    assert_never_down(before, after)
    assert of(after, "kepler_container_cpu_seconds_total") == of(before, "kepler_container_cpu_seconds_total")
    assert of(after, "kepler_node_cpu_joules_total") == of(before, "kepler_node_cpu_joules_total")
    assert of(after, "podjoule_downtime_seconds_total", counted="false") == pytest.approx(20.0)
    assert "20.0 s without podjoule are a gap" in caplog.text
    work(second)
    grown = second.tick()
    assert of(grown, "kepler_container_cpu_seconds_total") == pytest.approx(6.0)


def test_downtimes_add_up(tmp_path: Path) -> None:
    life = Life(tmp_path)
    node, _ = begun(life)
    for _ in range(3):
        life.end(node)
        life.source.advance(10.0)
        node = life.start()
        samples = node.tick(0.0)
    assert of(samples, "podjoule_downtime_seconds_total", counted="true") == pytest.approx(30.0)


def test_after_a_reboot_counters_go_on_and_nothing_is_differenced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(tmp_path)
    first, before = begun(life)
    life.end(first)
    life.boot, life.source.identity = OTHER_BOOT, f"{OTHER_BOOT} map 5"
    life.energy_uj = {"package": 0, "dram": 0}
    after = life.start().tick()
    assert_never_down(before, after)
    assert of(after, "kepler_node_cpu_joules_total") == of(before, "kepler_node_cpu_joules_total")
    assert "the machine has been rebooted" in caplog.text


def test_other_counts_in_the_kernel_are_not_gone_on_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(tmp_path)
    first, before = begun(life)
    life.end(first)
    life.source.identity = f"{BOOT} map 6"
    after = life.start().tick()
    assert_never_down(before, after)
    assert "the kernel's counts are not those that were read last" in caplog.text


def test_a_workload_that_ended_meanwhile_stays_for_its_time(tmp_path: Path) -> None:
    life = Life(tmp_path, ttl=60.0)
    first, before = begun(life)
    life.end(first)
    life.source.end(VM)
    second = life.start()
    after = second.tick()
    assert of(after, "kepler_vm_cpu_joules_total") == of(before, "kepler_vm_cpu_joules_total") > 0
    assert not series(second.tick(70.0), "kepler_vm_cpu_joules_total")


def test_a_workload_that_is_there_and_idle_stays_for_good(tmp_path: Path) -> None:
    life = Life(tmp_path, ttl=60.0)
    first, before = begun(life)
    life.end(first)
    second = life.start()
    for _ in range(5):
        after = second.tick(50.0)
    assert_never_down(before, after)
    assert series(after, "podjoule_cgroup_cpu_seconds_total", cgroup="/system.slice/ssh.service")
    assert series(after, "kepler_process_cpu_seconds_total", comm="nginx")


def test_a_row_that_had_ended_has_as_long_as_it_had_left(tmp_path: Path) -> None:
    life = Life(tmp_path, ttl=60.0)
    first, _ = begun(life)
    life.source.end(VM)
    first.tick()
    first.tick(20.0)
    life.end(first)
    life.source.advance(20.0)
    second = life.start()
    assert series(second.tick(10.0), "kepler_vm_cpu_joules_total")
    assert not series(second.tick(15.0), "kepler_vm_cpu_joules_total")


def test_another_process_with_the_pid_is_another_row(tmp_path: Path) -> None:
    life = Life(tmp_path)
    first, before = begun(life)
    life.end(first)
    write_process(life.procfs, 100, "redis", "/usr/bin/redis", start_ticks=900)
    second = life.start()
    work(second)
    after = second.tick()
    name = "kepler_process_cpu_seconds_total"
    assert of(after, name, comm="nginx") == of(before, name, comm="nginx")
    assert of(after, name, comm="redis") == pytest.approx(1.0)


def test_cost_in_another_currency_begins_anew(tmp_path: Path) -> None:
    life = Life(tmp_path, **OPTIONS)
    first, before = begun(life)
    life.end(first)
    assert of(before, "podjoule_node_cost_total", currency="EUR") > 0
    after = life.start(cost=Cost(price_per_kwh=0.3, currency="USD")).tick()
    assert of(after, "podjoule_node_cost_total", currency="USD") == 0
    assert of(after, "podjoule_node_co2e_grams_total") == of(before, "podjoule_node_co2e_grams_total")


def test_cost_that_begins_anew_in_a_currency_of_before_has_a_start_of_its_own(tmp_path: Path) -> None:
    life = Life(tmp_path, **OPTIONS)
    first, before = begun(life)
    life.end(first)
    for currency in ("USD", "EUR"):
        node = life.start(cost=Cost(price_per_kwh=0.3, currency=currency))
        node.tick()
        life.end(node)
    assert of(before, "podjoule_node_cost_total", currency="EUR") > 0
    assert of(starts(first), "podjoule_node_cost_total") == first.epoch
    assert of(starts(node), "podjoule_node_cost_total") > EPOCH + 15.0


def test_what_is_on_the_page_is_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(tmp_path)
    node, _ = begun(life)
    seen: list[tuple[object, bool]] = []
    keep = node.measurement.keeper.keep

    def kept(measurement: object) -> None:
        page = node.publisher.page
        keep(node.measurement)
        seen.append((page, node.publisher.page is page))

    monkeypatch.setattr(node.measurement.keeper, "keep", kept)
    page = node.publisher.page
    work(node)
    node.tick()
    assert seen == [(page, True)], "the old page is shown until the new one is kept"


def test_a_disk_that_fails_is_counted_said_once_and_costs_no_tick(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(tmp_path)
    node, _ = begun(life)
    (life.state / f"{FILE}{TEMPORARY}").mkdir()
    for _ in range(3):
        work(node)
        samples = node.tick()
    assert of(samples, "podjoule_component_errors_total", component="state") == 2
    assert of(samples, "kepler_container_cpu_seconds_total") == pytest.approx(10.0)
    assert len([r for r in caplog.records if "not kept for the next start" in r.getMessage()]) == 1


def written(folder: Path) -> tuple[Life, Path, Samples]:
    life = Life(folder, **OPTIONS)
    node, before = begun(life)
    life.end(node)
    return life, life.state / FILE, before


def refused(life: Life) -> Node:
    """An exporter that starts with empty books in less than 100 ms of CPU, with the file beside."""
    began = time.thread_time()
    node = life.start()
    assert time.thread_time() - began < 0.1
    assert (life.state / f"{FILE}.refused").exists()
    assert not (life.state / FILE).exists()
    return node


def test_readings_outlive_the_process_with_the_meter_and_the_device_that_they_are_of(tmp_path: Path) -> None:
    """And not those that nobody can go on from; RAPL's lie where a podjoule of before looks for them."""
    life = Life(tmp_path)
    node = life.start()

    def at(path: str, device: str = "", *, is_own: bool = False) -> ZoneReading:
        now = life.source.monotonic_ns
        return ZoneReading("gpu", None, path, 5, 2**62, now, is_own=is_own, device=device)

    def meter(name: str, *readings: ZoneReading) -> MeteredEnergy:
        return MeteredEnergy(FakeMeter(iter(lambda: list(readings), None), name))

    meters = [
        meter("nvml", at("GPU-1", "0000:41:00.0")),
        meter("hwmon", at("hwmon2", is_own=True)),
        meter("rapl", at("intel-rapl:0")),
    ]
    several = SeveralMeters(meters, clock=lambda: life.source.monotonic_ns)
    node.measurement.power = replace(node.measurement.power, source=several, meter=several)
    node.tick()
    life.end(node)
    state = read_state(life.state / FILE)
    assert state is not None
    assert [row[2] for row in state.document["readings"]] == ["intel-rapl:0"]
    saved = decode(life.state / FILE, state)
    assert {(each.source, each.path, each.device) for each in saved.readings.values()} == {
        ("nvml", "GPU-1", "0000:41:00.0"),
        ("rapl", "intel-rapl:0", ""),
    }


Spoil = Callable[[StoredState], StoredState]


def put(**entries: object) -> Spoil:
    return lambda state: StoredState({**state.document, **entries}, state.arrays)


def array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    return lambda state: StoredState(state.document, {**state.arrays, name: change(state.arrays[name])})


def text(name: str, content: bytes) -> Spoil:
    return array(name, lambda _: np.frombuffer(content, np.uint8))


SPOILT: dict[str, Spoil] = {
    "a future content": put(content=2),
    "no content": lambda state: StoredState({}, state.arrays),
    "no arrays": lambda state: StoredState(state.document, {}),
    "another node": put(node_name="n2"),
    "a negative amount": array("values", lambda a: -a),
    "no number": array("values", lambda a: np.full_like(a, np.nan)),
    "an infinite amount": array("values", lambda a: np.full_like(a, np.inf)),
    "a huge amount": array("values", lambda a: np.full_like(a, 1e308)),
    "too few rows": array("values", lambda a: a[1:]),
    "too few columns": array("values", lambda a: a[:, 1:]),
    "a flat array": array("values", np.ravel),
    "whole numbers": array("values", lambda a: a.astype(np.uint64)),
    "ages that are not": array("ended", lambda a: np.full_like(a, np.nan)),
    "starts that are not": array("since", lambda a: np.full_like(a, np.nan)),
    "starts before 1970": array("process_since", lambda a: -a),
    "too few starts": array("since", lambda a: a[1:]),
    "a beginning that is text": put(start_seconds="then"),
    "a start that is text": put(starts=[["podjoule_ticks_total", ["n1"], "then"]]),
    "the same zone twice": put(zones=["package", "package"]),
    "a zone that is a number": put(zones=[1, 2]),
    "accounts that are none": text("accounts", b"[1, 2]"),
    "accounts that are an object": text("accounts", b"{}"),
    "accounts that are no JSON": text("accounts", b"\xff\xfe"),
    "half a surrogate": text("paths", b'[[1, "\\ud800"]]'),
    "a path that is a number": text("paths", b"[[1, 2]]"),
    "counters twice": array("totals_id", np.zeros_like),
    "counters of another shape": array("totals_values", lambda a: a[:, :, 1:]),
    "counters of no CPU": array("totals_dropped", lambda a: a[:0]),
    "counters from the future": put(totals_ns=2**63),
    "a boolean for a number": put(totals_ns=True),
    "a process without a row": array("process_row_of", lambda a: a + 1000),
    "a negative row": array("process_row_of", lambda a: a - 1000),
    "readings that are none": put(readings=[[1, 2, 3]]),
    "a negative reading": put(readings=[["package", 0, "p", -1, 10, 5]]),
    "a meter's reading of a number": put(meter_readings=[["gpu", None, "p", 1, 10, 5, 7, ""]]),
    "a negative carried counter": put(carried=[["podjoule_ticks_total", ["n1"], 0.0, -5.0]]),
    "a carried counter that is text": put(carried=[["podjoule_ticks_total", ["n1"], "a", "b"]]),
    "no node": put(node=None),
    "a node of two numbers": put(node={"joules": [["package", "p", [1.0, 2.0]]]}),
    "a wall clock that is text": put(wall_seconds="now"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_right_checksum_over_what_cannot_be_is_refused(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    life, path, _ = written(tmp_path)
    state = read_state(path)
    assert state is not None
    write_state(path, SPOILT[what](state))
    node = refused(life)
    assert str(path) in caplog.text
    assert f"kept as {path}.refused" in caplog.text
    samples = node.tick()
    assert of(samples, "podjoule_ticks_total") == 1
    assert all(n >= 0 for n in counters(samples).values())


def test_names_that_are_no_utf_8_cost_nothing(tmp_path: Path) -> None:
    life = Life(tmp_path)
    write_process(life.procfs, 100, "nginx", "/tmp/bad\udcff")
    for path in ("/bad\udcff", "/bad\udcfe"):
        life.source.add(path)
    node, _ = begun(life)
    for path, seconds in (("/bad\udcff", 1.0), ("/bad\udcfe", 2.0)):
        node.source.use(path, seconds)
    before = node.tick()
    life.end(node)
    after = life.start().tick()
    assert_never_down(before, after)
    for name, seconds in ((r"/bad\xff", 1.0), (r"/bad\xfe", 2.0)):
        assert of(after, "podjoule_cgroup_cpu_seconds_total", cgroup=name) == seconds


@pytest.mark.parametrize("array_name", ["accounts", "process_accounts", "paths"])
def test_a_row_that_does_not_hold_costs_that_row_alone(
    tmp_path: Path, array_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    life, path = Life(tmp_path, **OPTIONS), tmp_path / "state" / FILE
    node, _ = begun(life)
    node.source.use("/system.slice/ssh.service", 1.0, tgid=200)
    before = node.tick()
    life.end(node)
    state = read_state(path)
    assert state is not None
    rows = json.loads(state.arrays[array_name].tobytes())
    lost = {"accounts": "container", "process_accounts": "process", "paths": "nothing"}[array_name]
    spoilt = [["\ud800"], *rows[1:]]
    write_state(path, text(array_name, json.dumps(spoilt).encode())(state))
    after = life.start().tick()
    kept = {key: n for key, n in before.items() if lost not in key[0]}
    assert_never_down(kept, after)
    assert f"1 of {len(rows)}" in caplog.text


def test_what_a_later_version_wrote_is_kept_whole_and_it_is_said_who_goes_on_from_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life, path, _ = written(tmp_path)
    state = read_state(path)
    assert state is not None
    write_state(path, StoredState({**state.document, "content": 2, "version": "9.1"}, state.arrays))
    later = path.read_bytes()
    refused(life)
    assert "holds content 2 of podjoule 9.1, this one reads 1: it is of another version" in caplog.text
    assert "once it is started again with the file under this name; it is kept as" in caplog.text
    assert (life.state / f"{FILE}.refused").read_bytes() == later


def test_a_later_layout_of_the_file_is_told_from_what_is_not_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life, path, _ = written(tmp_path)
    path.write_bytes(b"podjoule.state/2\n" + b"x" * 99)
    refused(life)
    assert "is podjoule.state/2, this podjoule reads podjoule.state/1: it is of another" in caplog.text


@pytest.mark.parametrize(
    "content", [b"", b"foreign", b"podjoule.state/2\n" + b"x" * 99], ids=["empty", "foreign", "future"]
)
def test_a_file_that_is_not_ours_is_set_aside(tmp_path: Path, content: bytes) -> None:
    life, path, _ = written(tmp_path)
    path.write_bytes(content)
    refused(life).tick()
    assert (life.state / f"{FILE}.refused").read_bytes() == content


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file as an exporter writes it."""
    return written(tmp_path_factory.mktemp("whole"))[1].read_bytes()


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7), cut=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_set_aside(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, position: int, bit: int, cut: bool
) -> None:
    life, content = Life(tmp_path_factory.mktemp("damaged"), **OPTIONS), bytearray(whole)
    position %= len(content)
    content[position] ^= 1 << bit
    (life.state / FILE).write_bytes(content[:position] if cut else content)
    refused(life).tick()


def test_two_at_a_time_do_not_write_over_each_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = replace(Node().config, state=State(tmp_path / "state"))
    with closing(open_keeper(config, 0.0)) as first, closing(open_keeper(config, 0.0)) as second:
        assert isinstance(first, Continuity)
        assert not isinstance(second, Continuity)
    assert f"another process keeps its own in {tmp_path}/state" in caplog.text
    with closing(open_keeper(config, 0.0)) as third:
        assert isinstance(third, Continuity)


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    keeper = open_keeper(replace(Node().config, state=State(tmp_path / "file")), 0.0)
    assert not isinstance(keeper, Continuity)
    assert "counters are not kept for the next start" in caplog.text


def family(
    name: str, values: dict[tuple[str, ...], float], labels: tuple[str, ...] = ("node_name",)
) -> Family:
    return Family(name, "", "counter", labels, list(values), list(values.values()))


def test_a_series_that_has_not_come_again_stands_still() -> None:
    first, second = Carried(), Carried()
    name, labels = "podjoule_component_errors_total", ("node_name", "component")
    first.carry([family(name, {("n", "view"): 2.0, ("n", "power"): 1.0}, labels)])
    second.restore(first.kept())
    (carried,) = second.carry([family(name, {("n", "power"): 4.0}, labels)])
    assert dict(zip(carried.labels, carried.values, strict=True)) == {("n", "power"): 5.0, ("n", "view"): 2.0}


def test_labels_of_another_version_are_left_out() -> None:
    carried = Carried()
    carried.restore({("podjoule_ticks_total", ("n", "more")): (0.0, 7.0)})
    (found,) = carried.carry([family("podjoule_ticks_total", {("n",): 1.0})])
    assert list(found.labels) == [("n",)]


def test_the_books_own_counters_are_families_that_there_are() -> None:
    assert BOOKED <= COUNTERS


def test_pins_without_a_state_directory_are_worth_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    config = Node().config
    with caplog.at_level(logging.WARNING):
        open_keeper(replace(config, ebpf=replace(config.ebpf, pin=Path("/sys/fs/bpf/podjoule"))))
    assert "--ebpf.pin without --state.dir" in caplog.text


def starts(node: Node) -> Samples:
    """Every counter's start on the OpenMetrics page, under the counter's own name."""
    assert node.publisher.page is not None
    page = node.publisher.page.body(openmetrics=True).decode()
    return {
        (f"{sample.name.removesuffix('_created')}_total", tuple(sorted(sample.labels.items()))): sample.value
        for family in openmetrics_families(page)
        for sample in family.samples
        if sample.name.endswith("_created")
    }


@pytest.mark.parametrize("pinned", [True, False])
def test_every_counter_keeps_its_start(tmp_path: Path, pinned: bool) -> None:
    life = Life(tmp_path, pinned=pinned, **OPTIONS)
    first, before = begun(life)
    kept = starts(first)
    assert set(counters(before)) <= set(kept)
    assert set(kept.values()) >= {EPOCH, EPOCH + 5.0}
    life.end(first)
    life.source.advance(60.0)
    second = life.start()
    second.tick()
    found = starts(second)
    assert {key: found[key] for key in counters(before)} == {key: kept[key] for key in counters(before)}


@pytest.mark.parametrize("pinned", [True, False])
def test_what_came_while_nobody_was_there_began_with_the_gap_or_after_it(
    tmp_path: Path, pinned: bool
) -> None:
    life = Life(tmp_path, pinned=pinned)
    first, _ = begun(life)  # the last reading is of second 15
    life.end(first)
    life.source.add(container(9))
    life.source.advance(60.0)
    second = life.start()
    second.source.use(container(9), 1.0)
    second.tick()
    second.source.use(container(9), 1.0)
    counted = of(second.tick(), "kepler_container_cpu_seconds_total", container_id=f"{9:064x}")
    began = of(starts(second), "kepler_container_cpu_seconds_total", container_id=f"{9:064x}")
    assert (counted, began) == ((2.0, EPOCH + 15.0) if pinned else (1.0, EPOCH + 75.0))


def test_what_the_process_before_counted_and_did_not_show_began_with_it(tmp_path: Path) -> None:
    life = Life(tmp_path, levels=("pod",))
    first, _ = begun(life)
    life.end(first)
    second = life.start(levels=NODE)
    samples, found = second.tick(), starts(second)
    assert of(samples, "kepler_node_cpu_joules_total", zone="dram") == 10.0
    assert of(found, "kepler_node_cpu_joules_total", zone="dram") == first.epoch


def test_starts_of_a_clock_that_was_ahead_end_with_the_process(tmp_path: Path) -> None:
    life = Life(tmp_path)
    first, _ = begun(life)
    life.end(first)
    second = life.start()
    second.epoch -= 3600.0
    second.tick()
    now = second.epoch + second.seconds()
    found = {key: at for key, at in starts(second).items() if not key[0].startswith(("process_", "python_"))}
    assert set(found.values()) == {now}


def test_counters_of_a_version_without_hardware_threads_are_gone_on_from(tmp_path: Path) -> None:
    life, path, before = written(tmp_path)
    state = read_state(path)
    assert state is not None
    fewer = {name: state.arrays[name][..., :5] for name in ("totals_values", "totals_dropped")}
    document = {name: entry for name, entry in state.document.items() if name != "awake_ns"}
    write_state(path, StoredState(document, {**state.arrays, **fewer}))
    node = life.start()
    last = node.measurement.tracker.last
    assert last is not None
    assert last.values.shape[2] == len(FIELDS)
    assert last.awake_ns == {}
    assert_never_down(before, node.tick())


def test_how_long_sockets_were_awake_is_gone_on_from(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.source.awake_ns = {0: 10**9, 2: 5}
    life.end(begun(life)[0])
    last = life.start().measurement.tracker.last
    assert last is not None
    assert last.awake_ns == {0: 10**9, 2: 5}


def test_a_file_that_keeps_no_starts_is_gone_on_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(tmp_path, **OPTIONS)
    begun(life)[0].measurement.keeper.close()
    shutil.copyfile(WITHOUT_STARTS, life.state / FILE)
    with caplog.at_level(logging.INFO):
        node = life.start()
    life.source.add(container(9))
    node.source.use(container(9), 1.0)
    node.tick()
    node.source.use(container(9), 1.0)
    samples = node.tick()
    assert "did not keep since when it counted" in caplog.text
    assert of(samples, "kepler_container_cpu_seconds_total", container_id=f"{1:064x}") == 2.0
    found = starts(node)
    assert of(found, "kepler_container_cpu_seconds_total", container_id=f"{1:064x}") == BEFORE_PODJOULE
    assert of(found, "podjoule_ticks_total") == BEFORE_PODJOULE
    assert of(found, "kepler_container_cpu_seconds_total", container_id=f"{9:064x}") > EPOCH
