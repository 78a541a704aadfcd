"""An instance type that Kubernetes tells later: the model is chosen anew between two ticks, once."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from estimator.energy import ZoneEnergy
from exporter.configuration.config import Config
from exporter.configuration.option_tree import Host, Kube, Machine
from exporter.tick.power import Power, choose_power
from tests.estimator.meters.rapl_tree import RaplTree
from tests.estimator.usages import ANY_USAGE

ICE_LAKE_GUEST = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 106\nstepping\t: 6\n"
    "model name\t: Intel(R) Xeon(R) CPU @ 2.60GHz\nflags\t\t: fpu hypervisor\n"
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A guest on Ice Lake whose hypervisor hides the name, where the node may be read."""
    host = Host(tmp_path / "sys", tmp_path / "proc", tmp_path / "cgroup")
    host.procfs.mkdir()
    (host.procfs / "cpuinfo").write_text(ICE_LAKE_GUEST)
    return Config(host=host, kube=Kube(read_node=True))


def high(power: Power) -> float:
    """The upper bound in joules: as a ratio it is the same for a family and for a CPU of few machines."""
    (zone,) = power.source.measure(ANY_USAGE)
    assert isinstance(zone, ZoneEnergy)
    assert zone.high_joules is not None
    return zone.high_joules


def test_what_is_told_is_in_force_from_the_next_tick_on(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    power = choose_power(config)
    before, weights = high(power), dict(power.coefficients["platform"])
    assert power.tell is not None
    power.tell("n2-standard-8")
    assert dict(power.coefficients["platform"]) == weights
    assert high(power) < before
    assert dict(power.coefficients["platform"]) != weights
    first, then = (line.getMessage() for line in caplog.records if "estimated" in line.getMessage())
    assert "by its numbers alone: Ice Lake-SP" in first
    assert then.startswith("energy is estimated, the node's instance type being n2-standard-8: model ")
    assert "by the instance type n2-standard-8" in then


@pytest.mark.parametrize("told", ["k3s", "c2-standard-8", ""])
def test_what_tells_nothing_or_another_family_changes_nothing(
    config: Config, caplog: pytest.LogCaptureFixture, told: str
) -> None:
    power = choose_power(config)
    before = high(power)
    assert power.tell is not None
    power.tell(told)
    caplog.set_level(logging.INFO)
    assert high(power) == before
    assert "instance type being" not in caplog.text


def test_nobody_is_asked_where_nothing_would_come_of_it(config: Config) -> None:
    assert choose_power(replace(config, kube=Kube())).tell is None
    assert choose_power(replace(config, machine=Machine("n2-standard-8"))).tell is None
    assert choose_power(replace(config, model="none")).tell is None
    RaplTree.two_sockets(config.host.sysfs)
    assert choose_power(config).tell is None
