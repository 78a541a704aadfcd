"""A recording replayed has the numbers of the life it was recorded from."""

from __future__ import annotations

import contextlib
import json
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ebpf.cgroups import KERNEL_PATH
from ebpf.counters import FIELDS, KernelStatistics
from ebpf.errors import UsageError
from ebpf.fake import FakeCounterSource
from estimator.calibration.calibration import Calibration
from estimator.calibration.place import Fit
from estimator.energy import ZoneEnergy
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import MeterError
from estimator.meters.powercap import PowercapMeter
from estimator.model.file import load_shipped
from estimator.model.modelled import ModelledEnergy
from exporter.commands.player import Player
from exporter.commands.replay import MAX_SPEED, parse_speed
from exporter.recording.files import hour_of
from exporter.recording.reader import Recording, _energy
from exporter.tick.calibrated import CalibratedEnergy, CalibrationFile
from exporter.tick.model_watch import CurrentCoefficients
from exporter.tick.power import Power
from tests.e2e.servers import ROOT, free_port, get, wait_for
from tests.estimator.meters.rapl_tree import RaplTree
from tests.exporter.nodes import TOP_UJ, Node, Samples, container, in_pod, of, parse
from tests.exporter.recording.recordings import HOUR, Tape, page_of, record_ticks, replay

BETA = {
    "package": {"cpu_seconds": 3.7, "cycles": 2.1e-9, "cache_misses": 3.3e-8},
    "dram": {"cache_misses": 1.7e-7, "switches": 1e-6},
}
SSH, BATCH = "/system.slice/ssh.service", "/machine.slice/batch"
# What an exporter says of its own process.
OWN = re.compile(r"process_|python_|podjoule_component_|podjoule_tick_duration")


def about_the_node(samples: Samples) -> Samples:
    return {key: value for key, value in samples.items() if not OWN.match(key[0])}


def assert_same(live: Samples, replayed: Samples) -> None:
    live, replayed = about_the_node(live), about_the_node(replayed)
    assert replayed.keys() == live.keys()
    for key, value in live.items():
        assert replayed[key] == pytest.approx(value, rel=1e-9, abs=1e-15), key


def live(node: Node, n: int = 30) -> Samples:
    """A life with arrivals, departures, wraps, a zone that fails, a full map, and what never runs."""
    cpus = range(len(node.source._dropped))
    for path in (container(1), in_pod(2), in_pod(3), SSH, "/kubepods/pod00000009" + in_pod(2)[21:57]):
        node.source.add(path)
    node.counters[0].energy_uj = TOP_UJ - 300_000_000
    samples = node.tick(0.0)
    for tick in range(n):
        for cpu in cpus:
            work = {"cycles": 2**40 + 7**tick % 1_000_003, "cache_misses": 13 * tick + cpu}
            node.source.use(container(1), 0.1 + cpu / 7, cpu=cpu, **work)
            node.source.use(KERNEL_PATH, 0.01, cpu=cpu)
        node.source.use(in_pod(2), tick / 31, cpu=tick % len(cpus), instructions=tick)
        if tick == 5:
            node.source.add(BATCH)
            node.source.add(container(tick))
        if 5 <= tick < 12:
            node.source.use(BATCH, 1.5, cpu=cpus[-1], cycles=10**9)
        if tick == 12:
            node.source.end(BATCH)
            node.source.end(container(5))
        if tick == 14:
            node.source.add(f"/short/{tick}")
            node.source.use(f"/short/{tick}", 0.05)
            node.source.end(f"/short/{tick}")
            node.source.drop(0.7, cpu=cpus[-1])
        failing = node.counters[-1]
        failing.failing = MeterError(failing.path, "EIO", vanished=False) if tick in (7, 8) else None
        node.draw(61.7 + tick / 3)
        node.draw(7.1, "dram")
        samples = node.tick(5.0 + tick / 1000)
    return samples


def test_one_socket(tmp_path: Path) -> None:
    node = Node(zones=("package", "dram"), ttl=60.0)
    node.source.statistics_now = KernelStatistics({"on_switch": 99}, {"on_switch": 12_345}, 7, 250, 1)
    node.measurement.power = replace(node.measurement.power, coefficients=BETA)
    tape = Tape(node, tmp_path / "tape")
    samples = live(node)
    assert tape.close()
    assert of(samples, "podjoule_power_errors_total", kind="read") == 2
    assert_same(samples, page_of(replay(tmp_path / "tape", node.config, tmp_path / "host")))


@pytest.mark.parametrize("policy", ["none", "proportional", "even"])
def test_two_sockets_and_the_idle_policies(tmp_path: Path, policy: str) -> None:
    node = Node(sockets=2, zones=("package", "dram"), idle_policy=policy)
    node.measurement.power = replace(node.measurement.power, coefficients=BETA)
    tape = Tape(node, tmp_path / "tape")
    samples = live(node)
    assert tape.close()
    assert_same(samples, page_of(replay(tmp_path / "tape", node.config, tmp_path / "host")))


def test_two_sockets_that_the_counters_cannot_tell_apart(tmp_path: Path) -> None:
    source = FakeCounterSource(n_cpu=1, available=frozenset({"cpu_ns"}))
    node = Node(sockets=2, source=source)
    tape = Tape(node, tmp_path / "tape")
    samples = live(node)
    assert tape.close()
    assert_same(samples, page_of(replay(tmp_path / "tape", node.config, tmp_path / "host")))


def test_an_estimate_is_replayed_as_the_estimate_it_was(tmp_path: Path) -> None:
    energy = ModelledEnergy(load_shipped("power-from-specification"))
    node = Node(energy=energy)
    node.measurement.power = Power(energy, energy.coefficients(), lambda: None)
    tape = Tape(node, tmp_path / "tape")
    samples = live(node)
    assert tape.close()
    assert of(samples, "podjoule_power_source_info", source="model") == 1
    assert_same(samples, page_of(replay(tmp_path / "tape", node.config, tmp_path / "host")))


def test_what_a_calibration_taught_is_replayed_as_it_was_in_force(tmp_path: Path) -> None:
    node = Node(sockets=2, zones=("package", "dram"))
    calibration = Calibration({0: 0, 1: 1}, {"package": Fit(8.0, {"cpu_seconds": 3.0, "cycles": 1e-10})})
    energy = CalibratedEnergy(node.measurement.power.source, calibration, {}, CalibrationFile(None, ""))
    coefficients = CurrentCoefficients(energy.coefficients)
    node.measurement.power = Power(energy, coefficients, lambda: None, calibration=calibration)
    tape = Tape(node, tmp_path / "tape")
    samples = live(node, 100)
    assert tape.close()
    methods = [status.idle.method for status in calibration.status() if status.zone == "package"]
    assert "none" not in methods
    for method in methods:
        assert of(samples, "podjoule_idle_method_info", zone="package", method=method) == methods.count(
            method
        )
    assert of(samples, "podjoule_model_skipped_total") > 0
    assert_same(samples, page_of(replay(tmp_path / "tape", node.config, tmp_path / "host")))


def test_a_powercap_tree(tmp_path: Path) -> None:
    tree = RaplTree.two_sockets(tmp_path / "sys")
    node = Node(sockets=2)
    meter = PowercapMeter(tmp_path / "sys", clock=lambda: node.source.monotonic_ns)
    node.measurement.power = Power(MeteredEnergy(meter), BETA, meter.close)
    tape = Tape(node, tmp_path / "tape")
    node.source.add(container(1))
    node.tick()
    for tick in range(20):
        node.source.use(container(1), 1 + tick / 3, cpu=tick % 4, cache_misses=tick)
        tree.advance_all(200 + tick)
        samples = node.tick()
    assert tape.close()
    assert of(samples, "kepler_node_cpu_joules_total", zone="dram") == pytest.approx(2 * sum(range(200, 220)))
    assert_same(samples, page_of(replay(tmp_path / "tape", node.config, tmp_path / "host")))


def test_ticks_whose_counters_failed_are_in_the_next_one(tmp_path: Path) -> None:
    node = Node(ttl=60.0)
    tape = Tape(node, tmp_path / "tape")
    live(node, 10)
    node.source.failures.extend([OSError("gone"), OSError("gone")])
    node.source.use(SSH, 1.0)
    node.tick()
    node.draw(40.0)
    node.tick()
    samples = node.tick()
    assert tape.close()
    replayed = page_of(replay(tmp_path / "tape", node.config, tmp_path / "host"))
    (ticks,) = [key for key in samples if key[0] == "podjoule_ticks_total"]
    assert samples.pop(ticks) == replayed.pop(ticks) + 2
    assert_same(samples, replayed)


def test_two_recordings_one_after_the_other_add_up(tmp_path: Path) -> None:
    """A reboot between them gives cgroups the ids of others."""
    for at, path in enumerate((container(1), container(2))):
        node = Node()
        tape = Tape(node, tmp_path / "tape", HOUR + 600 * at)
        node.source.add(path)
        node.advance()
        for _ in range(3):
            node.source.use(path, 2.0)
            node.draw(30.0)
            node.advance()
        tape.close()
    player = replay(tmp_path / "tape", node.config, tmp_path / "host")
    assert player.measurement.ledger.balances("container").cpu_seconds.tolist() == [6.0, 6.0]
    assert player.measurement.ledger.node.zones()[0].joules == pytest.approx(180.0)


def test_the_summary_is_of_the_whole_recording(tmp_path: Path) -> None:
    node = Node(zones=("package", "dram"), ttl=10.0)
    tape = Tape(node, tmp_path / "tape")
    samples = live(node)
    tape.close()
    (tmp_path / "host").mkdir()
    player = Player(node.config, Recording(tmp_path / "tape"), tmp_path / "host", keep_all=True)
    for _ in player.play():
        pass
    document = json.loads(player.summary("json"))
    zone = document["zones"]["package"]
    assert zone["total_joules"] == pytest.approx(of(samples, "kepler_node_cpu_joules_total", zone="package"))
    parts = sum(row["joules"]["package"] for row in document["workloads"])
    assert parts == pytest.approx(zone["active_joules"] - zone["unattributed_joules"], rel=1e-9)
    assert document["interval_seconds"] == pytest.approx(sum(5 + tick / 1000 for tick in range(30)))
    assert "package".upper() in player.summary("table")


def test_what_is_no_part_of_it_is_named_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tape = tmp_path / "tape"
    node = Node()
    record_ticks(node, tape, 3).close()
    (tape / "notes.txt").write_text("mine")
    torn = tape / f"workloads-{hour_of(HOUR + 3600)}Z.parquet"
    torn.write_bytes((tape / f"workloads-{hour_of(HOUR)}Z.parquet").read_bytes()[:-40])
    before = sorted(path.name for path in tape.iterdir())
    assert replay(tape, node.config, tmp_path / "host").n_ticks == 3
    assert "notes.txt is passed over: not a file of a recording" in caplog.text
    assert f"{torn} is passed over: cannot be read" in caplog.text
    assert sorted(path.name for path in tape.iterdir()) == before


def test_a_directory_without_a_recording_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no recording in"):
        replay(tmp_path, Node().config, tmp_path / "host")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        replay(tmp_path / "none", Node().config, tmp_path / "another")


def test_recordings_of_two_nodes_are_not_one(tmp_path: Path) -> None:
    for name in ("n1", "n2"):
        node = Node()
        node.config = replace(node.config, kube=replace(node.config.kube, node_name=name))
        record_ticks(node, tmp_path, 2, HOUR + 60 * int(name[1])).close()
    with pytest.raises(UsageError, match="2 nodes"):
        replay(tmp_path, node.config, tmp_path / "host")


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast", ""])
def test_a_speed_that_is_none_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="--speed"):
        parse_speed(text)


def test_speeds() -> None:
    assert parse_speed("max") == MAX_SPEED == math.inf
    assert parse_speed("0.5") == 0.5


def test_a_node_with_no_field_but_time_has_no_other_counters(tmp_path: Path) -> None:
    node = Node(source=FakeCounterSource(n_cpu=2, available=frozenset({"cpu_ns"})))
    record_ticks(node, tmp_path / "tape", 2).close()
    player = replay(tmp_path / "tape", node.config, tmp_path / "host")
    assert player.measurement.available == {"cpu_ns"} < set(FIELDS)


@contextlib.contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "exporter.commands.cli", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_at_a_finite_speed_it_is_served_as_by_run(tmp_path: Path) -> None:
    node = Node()
    record_ticks(node, tmp_path, 30).close()
    url = f"http://127.0.0.1:{(port := free_port())}"
    with command("replay", str(tmp_path), "--speed=10", f"--web.listen-address=127.0.0.1:{port}") as process:
        wait_for(f"{url}/-/ready")
        first = of(parse(get(f"{url}/metrics")[1]), "podjoule_ticks_total")
        time.sleep(1.2)
        assert get(f"{url}/-/healthy")[0] == 200
        text = get(f"{url}/metrics")[1]
        assert 1 <= of(parse(text), "podjoule_ticks_total") - first <= 5
        assert 'node_name="n1",sha256="",source="rapl",zone="package"' in text
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_at_most_speed_the_command_prints_the_whole(tmp_path: Path) -> None:
    record_ticks(Node(), tmp_path, 4).close()
    with command("replay", str(tmp_path), "--format=json") as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert document["zones"]["package"]["total_joules"] == pytest.approx(400.0)
    assert [row["cpu_seconds"] for row in document["workloads"]] == [4.0]


def test_what_was_slept_through_is_replayed_as_such(tmp_path: Path) -> None:
    node, slept_ns = Node(), [0]
    node.measurement.power.source._suspended_ns = lambda: slept_ns[0]  # type: ignore[attr-defined]
    node.source.add(container(1))
    tape = Tape(node, tmp_path / "tape")
    node.tick()
    for seconds in (0, 4, 0):
        slept_ns[0] += seconds * 10**9
        node.source.use(container(1), 0.5)
        node.draw(100.0 if not seconds else 30.0)
        samples = node.tick()
    assert tape.close()
    assert of(samples, "podjoule_node_unattributed_joules_total", reason="suspended") == pytest.approx(10.0)
    assert_same(samples, page_of(replay(tmp_path / "tape", node.config, tmp_path / "host")))


def test_a_recording_from_before_sleep_was_told_has_none() -> None:
    row = {"zone": "package", "socket": 0, "path": "p", "joules": 1.0, "interval_seconds": 5.0}
    row |= {"idle_watts": None, "low_joules": 1.0, "high_joules": 1.0}
    told = {"suspended_seconds": None, "suspended_joules": None}
    assert _energy(row) == _energy(row | told) == ZoneEnergy("package", 0, "p", 1.0, 5.0, None, 1.0, 1.0)
