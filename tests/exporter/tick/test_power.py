"""Where energy comes from: the meter, else the model asked for, else nowhere; one log line says which."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from ebpf.cpus import online_cpus
from ebpf.errors import UsageError
from estimator.energy import SourceInfo
from estimator.errors import ModelInvalid, ModelUnavailable
from estimator.model.file import render_model
from estimator.model.modelled import ModelledEnergy
from exporter.configuration.config import Config
from exporter.configuration.option_tree import Anchors, Host, Rapl
from exporter.tick.power import NoEnergy, choose_power
from tests.estimator.meters.rapl_tree import RaplTree
from tests.estimator.usages import ANY_USAGE, cpu_usage

LINEAR = {
    "name": "mine",
    "created": "2026-11-21",
    "machine": dict.fromkeys(
        ("vendor", "family", "model", "microarchitecture", "cores", "sockets", "tdp_watts")
    ),
    "features": {"cycles": "1"},
    "zones": {
        "package": {
            "kind": "linear",
            "idle_watts": 40.0,
            "coefficients": {"cycles": 1e-9},
            "interval": {"coverage": 0.9, "watts": 8.0},
        }
    },
    "envelope": {},
    "scores": {},
    "training": {},
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A machine without a meter and without a name."""
    return Config(host=Host(tmp_path / "sys", tmp_path / "proc", tmp_path / "cgroup"))


@pytest.fixture
def metered(config: Config) -> Config:
    RaplTree.two_sockets(config.host.sysfs)
    return config


@pytest.fixture
def linear(tmp_path: Path) -> str:
    (tmp_path / "mine.json").write_text(render_model(LINEAR))
    return str(tmp_path / "mine.json")


def test_a_meter_that_serves_is_taken(metered: Config, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    power = choose_power(metered)
    assert power.source.info.source == "rapl"
    assert power.calibration is not None
    assert power.coefficients == {}
    assert [record.getMessage() for record in caplog.records] == [
        f"energy is measured: RAPL through {metered.host.sysfs}/class/powercap"
    ]
    power.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_closing_lets_go_of_the_meters_files(metered: Config) -> None:
    before = open_files()
    power = choose_power(metered)
    assert open_files() == before + 4
    power.close()
    assert open_files() == before


def test_only_the_zones_asked_for_are_read(config: Config) -> None:
    tree = RaplTree.two_sockets(config.host.sysfs)
    power = choose_power(replace(config, rapl=Rapl(("dram",))))
    power.source.measure(ANY_USAGE)
    tree.advance_all(0.001)
    assert {energy.zone for energy in power.source.measure(ANY_USAGE)} == {"dram"}
    power.close()


def test_without_a_meter_the_model_serves_and_its_weights_are_used(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    power = choose_power(config)
    assert isinstance(power.source, ModelledEnergy)
    assert power.source.info.source == "model"
    assert power.coefficients["platform"]["cpu_seconds"] > 0
    no_meter, which = (record.getMessage() for record in caplog.records)
    assert no_meter.startswith("no meter: no RAPL zone in ")
    assert which.startswith("energy is estimated: model power-from-specification")


def test_a_zone_that_the_meter_lacks_is_no_meter(metered: Config) -> None:
    power = choose_power(replace(metered, rapl=Rapl(("psys",))))
    assert power.source.info.source == "model"


def test_model_none_and_no_meter_is_no_energy(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    power = choose_power(replace(config, model="none"))
    assert isinstance(power.source, NoEnergy)
    assert (power.source.info, power.source.measure(ANY_USAGE)) == (SourceInfo("none"), [])
    assert power.source.errors() == {}
    assert "energy is not exported: no model: --model none" in caplog.text


def test_a_model_file_serves(config: Config, linear: str) -> None:
    power = choose_power(replace(config, model=linear), frozenset({"cpu_ns", "cycles"}))
    assert power.source.info.model == "mine"
    assert power.coefficients == {"package": {"cycles": 1e-9}}
    assert power.fallback() == {}


def test_a_model_that_cannot_serve_here_falls_back_to_the_next_that_can_loudly(
    config: Config, linear: str, caplog: pytest.LogCaptureFixture
) -> None:
    power = choose_power(replace(config, model=linear), frozenset({"cpu_ns"}))
    assert power.source.info.model == "power-from-specification"
    assert power.fallback() == {linear: "cycles"}
    assert "cannot serve here: cycles not measured" in caplog.text
    assert power.source.measure(cpu_usage([[1.0]], available=frozenset({"cpu_ns"})))
    assert power.refused() == {linear: 1}

    # A file that can serve takes its place as soon as it is there.
    Path(linear).write_text(Path(linear).read_text().replace("cycles", "cpu_seconds"))
    content = json.loads(Path(linear).read_text())
    Path(linear).write_text(render_model({name: of for name, of in content.items() if name != "sha256"}))
    power.source.measure(cpu_usage([[1.0]], available=frozenset({"cpu_ns"})))
    assert power.source.info.model == "mine"
    assert power.fallback() == {}


def test_with_a_meter_a_model_file_says_how_its_energy_is_shared_out(metered: Config, linear: str) -> None:
    power = choose_power(replace(metered, model=linear))
    assert power.source.info == SourceInfo("rapl")
    assert power.coefficients == {"package": {"cycles": 1e-9}}
    power.close()


@pytest.mark.parametrize("where", ["config", "metered"])
def test_a_model_file_that_was_asked_for_and_cannot_be_used_is_an_error(
    where: str, request: pytest.FixtureRequest, linear: str
) -> None:
    config: Config = request.getfixturevalue(where)
    with pytest.raises(ModelUnavailable, match=r"gone\.json"):
        choose_power(replace(config, model=f"{linear}/../gone.json"))
    Path(linear).write_text(Path(linear).read_text().replace("40.0", "41.0"))
    with pytest.raises(ModelInvalid, match="sha256"):
        choose_power(replace(config, model=linear))


def test_the_machines_own_anchors_are_the_ends_of_the_curve(config: Config) -> None:
    power = choose_power(replace(config, anchors=Anchors(idle_watts=10.0, full_watts=40.0)))
    usage = replace(ANY_USAGE, n_cpu=len(online_cpus(config.host.sysfs)), interval_seconds=5.0)
    (energy,) = power.source.measure(usage)
    assert energy.joules == pytest.approx(50.0)


@pytest.mark.parametrize("anchors", [Anchors(10.0, None), Anchors(None, 40.0), Anchors(50.0, 40.0)])
def test_anchors_that_cannot_be_are_refused(config: Config, anchors: Anchors) -> None:
    with pytest.raises(UsageError, match=r"--model\.idle-watts"):
        choose_power(replace(config, anchors=anchors))


def test_a_replaced_model_file_changes_the_weights_of_a_metered_machine(
    metered: Config, linear: str, tmp_path: Path
) -> None:
    power = choose_power(replace(metered, model=linear))
    power.source.measure(ANY_USAGE)
    power.source.measure(replace(ANY_USAGE, interval_seconds=1.0))
    assert power.coefficients["package"]["cycles"] == pytest.approx(1e-9)
    other = {**LINEAR["zones"]["package"], "coefficients": {"cycles": 7e-9}}
    (tmp_path / "next.json").write_text(render_model({**LINEAR, "zones": {"package": other}}))
    (tmp_path / "next.json").replace(linear)
    power.source.measure(replace(ANY_USAGE, interval_seconds=1.0))
    assert power.coefficients["package"]["cycles"] == pytest.approx(7e-9)
    power.close()


def test_amds_core_is_left_out_and_the_log_says_why(
    metered: Config, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    RaplTree.two_sockets(tmp_path / "two").add_zone("intel-rapl:0:1", "core")
    metered.host.procfs.mkdir()
    (metered.host.procfs / "cpuinfo").write_text("processor\t: 0\nvendor_id\t: AuthenticAMD\n")
    power = choose_power(replace(metered, host=replace(metered.host, sysfs=tmp_path / "two")))
    assert power.meter is not None
    power.source.measure(ANY_USAGE)
    assert {reading.zone for reading in power.meter.last.values()} == {"package", "dram"}
    assert "intel-rapl:0:1 is left out: on AMD, core is the energy of one core" in caplog.text
    power.close()
