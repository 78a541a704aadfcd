"""Which meters a machine has, in which order they serve, and what is said of those that do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from estimator.errors import MeterAbsent, MeterUnavailable
from estimator.machine.identity import CpuIdentity, read_identity
from estimator.meters.fake import FakeMeter
from exporter.configuration.config import Config
from exporter.configuration.meter_options import METERS, Meters
from exporter.configuration.option_tree import Host
from exporter.tick import meters as registry
from exporter.tick.meters import MAY_HAVE, OPENERS, open_meters
from exporter.tick.power import Power, choose_power
from exporter.tick.zone_sources import zone_sources
from tests.estimator.meters.rapl_tree import RaplTree
from tests.estimator.usages import cpu_usage, reading

USAGE = cpu_usage([[1.0]])


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A machine without a meter."""
    return Config(host=Host(tmp_path / "sys", tmp_path / "proc", tmp_path / "cgroup"))


def preferring(config: Config, *names: str) -> Config:
    return replace(config, meters=Meters(names))


def steady(zone: str, watts: float, name: str, device: str = "") -> FakeMeter:
    ticks = [
        [reading(round(watts * 5e6 * n), 5.0 * n, zone=zone, socket=None, path=f"{name} {zone}")]
        for n in range(100)
    ]
    with_device = [[replace(each, device=device) for each in tick] for tick in ticks]
    return FakeMeter(with_device, name, frozenset({zone}))


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the machine have meters by name, or a reason why it has not."""

    def have(**meters: FakeMeter | MeterUnavailable) -> None:
        def opener(found: FakeMeter | MeterUnavailable) -> registry.Opener:
            def opened(config: Config, identity: CpuIdentity) -> Sequence[FakeMeter]:
                if isinstance(found, MeterUnavailable):
                    raise found
                return [found]

            return opened

        monkeypatch.setattr(registry, "OPENERS", {name: opener(found) for name, found in meters.items()})

    return have


def test_every_meter_that_has_an_opener_can_be_preferred_and_is_known_for_what_it_may_have() -> None:
    assert set(OPENERS) <= set(METERS) == set(MAY_HAVE)
    assert Config().meters.preferred == METERS


def test_meters_are_opened_in_the_order_of_preference(config: Config, has: Callable[..., None]) -> None:
    has(perf=steady("package", 1, "perf"), rapl=steady("package", 1, "rapl"))
    identity = read_identity(config.host.procfs)
    for order in (("perf", "rapl"), ("rapl", "perf")):
        opened = open_meters(preferring(config, *order), identity)
        assert [meter.info.source for meter in opened.meters] == list(order)


def test_one_that_is_left_out_is_not_opened(config: Config, has: Callable[..., None]) -> None:
    has(perf=MeterUnavailable("must not be tried"), rapl=steady("package", 1, "rapl"))
    opened = open_meters(preferring(config, "rapl"), read_identity(config.host.procfs))
    assert ([meter.info.source for meter in opened.meters], opened.refused) == (["rapl"], {})


def test_what_is_there_and_cannot_be_read_is_said_once_and_what_is_not_there_is_not(
    config: Config, has: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    denied = MeterUnavailable("no event of power serves: Permission denied")
    has(perf=denied, rapl=steady("package", 1, "rapl"), ipmi=MeterAbsent("no /dev/ipmi0"))
    power = choose_power(config)
    assert [record.getMessage() for record in caplog.records] == [
        "the meter perf does not serve: no event of power serves: Permission denied"
    ]
    assert power.unserving == {"perf": "no event of power serves: Permission denied"}
    power.close()


def test_where_none_serves_the_reasons_are_rapls_and_of_what_is_there(
    config: Config, has: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    has(
        perf=MeterAbsent("no PMU"),
        rapl=MeterAbsent("no RAPL zone: modprobe intel_rapl_msr"),
        ipmi=MeterUnavailable("/dev/ipmi0 is denied"),
    )
    choose_power(config).close()
    assert "no meter: no RAPL zone: modprobe intel_rapl_msr; /dev/ipmi0 is denied" in caplog.messages


def test_with_no_meter_preferred_energy_is_a_models(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    RaplTree.two_sockets(config.host.sysfs)
    power = choose_power(preferring(config))
    assert power.source.info.source == "model"
    assert "no meter: meters.preferred names none that this machine has" in caplog.messages


def test_a_tree_that_is_not_the_kernels_own_has_nothing_to_do_with_its_pmus(config: Config) -> None:
    """As in a guest that is shown its host's meter, or a captured tree."""
    RaplTree.two_sockets(config.host.sysfs)
    device = config.host.sysfs / "bus/event_source/devices/power/events"
    device.mkdir(parents=True)
    (device / "energy-pkg").write_text("event=0x02\n")
    opened = open_meters(config, read_identity(config.host.procfs))
    assert [meter.info.source for meter in opened.meters] == ["rapl"]
    assert isinstance(opened.refused["perf"], MeterAbsent)
    assert "is not of this kernel" in str(opened.refused["perf"])


def told(power: Power, ticks: int) -> dict[str, float]:
    """The joules by path of the last of so many ticks."""
    for _ in range(ticks):
        energies = power.source.measure(USAGE)
    return {energy.path: energy.joules for energy in energies}


def test_a_gpu_meter_alone_leaves_the_rest_to_the_model(config: Config, has: Callable[..., None]) -> None:
    has(nvml=steady("gpu", 300.0, "nvml", "0000:41:00.0"))
    power = choose_power(config)
    found = told(power, 2)
    assert found.pop("nvml gpu") == 1500.0
    assert [path.partition(":")[0] for path in found] == ["model"]
    assert {zone: source.info.source for zone, source in zone_sources(power).items()} == {
        "gpu": "nvml",
        "platform": "model",
    }
    assert power.coefficients
    assert power.calibration is not None
    assert power.calibration.status() == []  # a model teaches nothing, nor does a GPU
    power.close()


def test_a_measured_platform_takes_the_place_of_the_models(config: Config, has: Callable[..., None]) -> None:
    has(ipmi=steady("platform", 120.0, "ipmi"))
    power = choose_power(config)
    assert told(power, 3) == {"ipmi platform": 600.0}
    assert power.source.info.source == "ipmi"
    assert power.calibration is not None
    assert [place.zone for place in power.calibration.status()] == ["platform"]
    power.close()


def test_why_a_zone_is_from_where_it_is_is_told_in_words(config: Config, has: Callable[..., None]) -> None:
    has(
        perf=steady("package", 40.0, "perf"),
        rapl=steady("package", 41.0, "rapl"),
        hwmon=MeterUnavailable("hwmon2 is denied"),
        ipmi=MeterUnavailable("/dev/ipmi0 is denied"),
    )
    power = choose_power(config)
    told(power, 3)
    assert zone_sources(power)["package"].why == "preferred to rapl; hwmon does not serve: hwmon2 is denied"
    told(power, 20)
    assert zone_sources(power)["package"].why.startswith("preferred to rapl (2.5 % apart); ")
    power.close()
