"""RAPL through perf's PMU: which events are opened, where, and what their counts are."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from estimator.errors import MeterAbsent, MeterUnavailable
from estimator.meters.metered import MeteredEnergy
from estimator.meters.perf_power import PerfPowerMeter
from estimator.meters.port import ZoneReading
from tests.estimator.meters.power_pmu import PerfKernel, PowerPmu
from tests.estimator.usages import ANY_USAGE

PKG, RAM = 2, 3
TWO_SOCKETS = {0: 0, 1: 0, 2: 1, 3: 1}


@pytest.fixture
def kernel() -> PerfKernel:
    return PerfKernel()


def opened(pmu: PowerPmu, kernel: PerfKernel, zones: tuple[str, ...] = ()) -> PerfPowerMeter:
    clock = iter(range(0, 10**15, 10**9)).__next__
    return PerfPowerMeter(pmu.root, kernel.open_event, zones, clock=clock, read_event=kernel.read_event)


def joules(readings: list[ZoneReading]) -> dict[tuple[str, int | None], float]:
    return {(each.zone, each.socket): each.energy_uj / 1e6 for each in readings}


def test_each_event_is_opened_once_a_socket_by_its_own_type_and_config(
    tmp_path: Path, kernel: PerfKernel
) -> None:
    meter = opened(PowerPmu(tmp_path, cpumask="0,2", socket_of=TWO_SOCKETS), kernel)
    assert kernel.cpus == [(PKG, 0), (PKG, 2), (RAM, 0), (RAM, 2)]
    assert {pmu_type for pmu_type, _, _ in kernel.opened.values()} == {22}
    kernel.draw(20.5, PKG, cpu=0)
    kernel.draw(7.0, PKG, cpu=2)
    kernel.draw(1.25, RAM)
    assert joules(meter.read()) == {
        ("package", 0): 20.5,
        ("package", 1): 7.0,
        ("dram", 0): 1.25,
        ("dram", 1): 1.25,
    }
    assert (meter.zones, meter.errors) == ({"package", "dram"}, [])
    meter.close()
    assert kernel.cpus == []


def test_every_zone_of_the_pmu_has_the_name_that_powercap_gives_it(
    tmp_path: Path, kernel: PerfKernel
) -> None:
    events = ("energy-cores", "energy-pkg", "energy-ram", "energy-gpu", "energy-psys")
    meter = opened(PowerPmu(tmp_path, events), kernel)
    read = {(reading.zone, reading.socket) for reading in meter.read()}
    assert read == {("core", 0), ("package", 0), ("dram", 0), ("uncore", 0), ("psys", None)}
    meter.close()


def test_a_process_that_comes_after_does_not_go_on_from_a_count(tmp_path: Path, kernel: PerfKernel) -> None:
    (reading, *_) = opened(PowerPmu(tmp_path), kernel).read()
    assert not reading.can_be_resumed
    assert reading.max_energy_uj > 4e15  # 64 bits of 2^-32 J: none ever wraps


def test_the_cores_of_an_amd_socket_are_opened_each_and_add_up(tmp_path: Path, kernel: PerfKernel) -> None:
    """Their counters are a core's own: one of them alone would be one core's energy."""
    PowerPmu(tmp_path, ("energy-pkg",))
    cores = PowerPmu(tmp_path, ("energy-core",), "0-3", TWO_SOCKETS, name="power_core", pmu_type=23)
    meter = opened(cores, kernel)
    for cpu in range(4):
        kernel.draw(1.0 + cpu, config=1, cpu=cpu)
    found = joules(meter.read())
    assert (found["core", 0], found["core", 1]) == (1.0 + 2.0, 3.0 + 4.0)
    meter.close()


def test_the_dies_of_a_socket_add_up(tmp_path: Path, kernel: PerfKernel) -> None:
    meter = opened(PowerPmu(tmp_path, ("energy-pkg",), "0-1", {0: 0, 1: 0}), kernel)
    kernel.draw(3.0)
    assert joules(meter.read()) == {("package", 0): 6.0}
    meter.close()


def test_a_count_goes_on_where_the_kernel_moved_it_to_another_cpu(tmp_path: Path, kernel: PerfKernel) -> None:
    pmu = PowerPmu(tmp_path, ("energy-pkg",), "0", {0: 0, 1: 0})
    meter = opened(pmu, kernel)
    kernel.draw(5.0)
    pmu.set_mask("1")
    assert joules(meter.read()) == {("package", 0): 5.0}
    assert kernel.cpus == [(PKG, 0)]
    meter.close()


def test_a_core_that_goes_and_comes_back_loses_none_of_what_it_counted(
    tmp_path: Path, kernel: PerfKernel
) -> None:
    cores = PowerPmu(tmp_path, ("energy-core",), "0-1", {0: 0, 1: 0}, name="power_core")
    meter = opened(cores, kernel)
    kernel.draw(5.0, config=1)
    meter.read()
    cores.set_mask("0")
    assert joules(meter.read()) == {("core", 0): 10.0}
    assert kernel.cpus == [(1, 0)]
    cores.set_mask("0-1")
    meter.read()
    kernel.draw(1.0, config=1)
    assert joules(meter.read()) == {("core", 0): 12.0}
    meter.close()


def test_a_socket_that_goes_is_gone_and_begins_anew(tmp_path: Path, kernel: PerfKernel) -> None:
    pmu = PowerPmu(tmp_path, ("energy-pkg",), "0,2", TWO_SOCKETS)
    meter = opened(pmu, kernel)
    energy = MeteredEnergy(meter)

    def tick(drawn: float) -> dict[int | None, float]:
        kernel.draw(drawn)
        return {each.socket: each.joules for each in energy.measure(ANY_USAGE)}

    assert (tick(100.0), tick(10.0)) == ({}, {0: 10.0, 1: 10.0})
    pmu.set_mask("0")
    assert tick(10.0) == {0: 10.0}
    pmu.set_mask("0,2")
    assert (tick(10.0), tick(10.0)) == ({0: 10.0}, {0: 10.0, 1: 10.0})
    assert (energy.errors()["vanished"], energy.errors()["gap"]) == (1, 1)
    meter.close()


def test_an_event_that_the_kernel_gives_up_is_opened_again_and_its_loss_is_a_gap(
    tmp_path: Path, kernel: PerfKernel
) -> None:
    meter = opened(PowerPmu(tmp_path, ("energy-pkg",)), kernel)
    energy = MeteredEnergy(meter)
    energy.measure(ANY_USAGE)
    kernel.given_up |= kernel.opened.keys()
    assert energy.measure(ANY_USAGE) == []
    kernel.given_up.clear()
    for _ in range(12):
        energy.measure(ANY_USAGE)
    kernel.draw(8.0)
    assert [each.joules for each in energy.measure(ANY_USAGE)] == [8.0]
    assert (energy.errors()["vanished"], energy.errors()["gap"]) == (1, 1)
    meter.close()


def test_a_machine_without_the_pmu_says_so(tmp_path: Path, kernel: PerfKernel) -> None:
    with pytest.raises(MeterAbsent, match=r"no PMU named power in .*devices: a machine with RAPL has one"):
        PerfPowerMeter(tmp_path, kernel.open_event)


def test_without_the_right_it_says_what_the_kernel_said(tmp_path: Path, kernel: PerfKernel) -> None:
    kernel.refused = {(PKG, 0): errno.EACCES, (RAM, 0): errno.EACCES}
    with pytest.raises(MeterUnavailable, match="energy-pkg:0 cannot be read: Permission denied"):
        opened(PowerPmu(tmp_path), kernel)


def test_an_event_that_cannot_be_opened_does_not_stop_the_others(tmp_path: Path, kernel: PerfKernel) -> None:
    kernel.refused = {(RAM, 0): errno.EINVAL}
    meter = opened(PowerPmu(tmp_path), kernel)
    assert set(joules(meter.read())) == {("package", 0)}
    assert [error.message for error in meter.errors] == ["cannot be read: Invalid argument"]
    meter.close()


def test_zones_that_nobody_asked_for_are_not_opened(tmp_path: Path, kernel: PerfKernel) -> None:
    meter = opened(PowerPmu(tmp_path), kernel, zones=("dram",))
    assert kernel.cpus == [(RAM, 0)]
    meter.close()
    with pytest.raises(MeterUnavailable, match=r"rapl.zones asks for psys, but .* has dram, package alone"):
        opened(PowerPmu(tmp_path / "other"), kernel, zones=("psys",))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda pmu: pmu.write("type", "garbage"), "says 'garbage', want a number"),
        (lambda pmu: pmu.write("type", "-1"), "says '-1', want a number"),
        (lambda pmu: pmu.add_event("energy-pkg", "event=0x02,umask=1"), "want event=0x02"),
        (lambda pmu: pmu.add_event("energy-pkg", "\x00\xff"), "want event=0x02"),
        (lambda pmu: pmu.add_event("energy-pkg", "event=0x2", unit="MiB"), "its unit is 'MiB', want Joules"),
        (lambda pmu: pmu.add_event("energy-pkg", "event=0x2", scale="nan"), "its scale is 'nan'"),
        (lambda pmu: pmu.add_event("energy-pkg", "event=0x2", scale="-1"), "its scale is '-1'"),
        (lambda pmu: pmu.add_event("energy-pkg", "event=0x2", scale="1e300"), "its scale is '1e300'"),
        (lambda pmu: (pmu.device / "events/energy-pkg.unit").unlink(), "No such file"),
        (lambda pmu: pmu.set_mask("all of them"), "not a CPU list: 'all of them'"),
    ],
)
def test_a_pmu_that_is_not_as_it_should_be_is_left_out(
    spoil: Callable[[PowerPmu], object], said: str, tmp_path: Path, kernel: PerfKernel
) -> None:
    pmu = PowerPmu(tmp_path, ("energy-pkg",))
    spoil(pmu)
    with pytest.raises(MeterUnavailable, match="serves: ") as refused:
        opened(pmu, kernel)
    assert said in str(refused.value)
    assert kernel.opened == {}
