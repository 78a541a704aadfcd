"""A trained model on another machine: what it is scaled by, how far it may then be off, and who says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import podjoule
from estimator.machine.description import MachineDescription, Size, describe
from estimator.machine.identity import CpuIdentity
from estimator.model.choice import choose_model, moved_to
from estimator.model.power_model import PowerModel
from tests.library.conftest import BUSY, IDLE, linear_meter

ROME = CpuIdentity("AuthenticAMD", 0x17, 0x31, 0, "AMD EPYC 7742 64-Core Processor")
HASWELL_EP = CpuIdentity("GenuineIntel", 6, 0x3F, 2, "Intel(R) Xeon(R) CPU E5-2667 v3 @ 3.20GHz")


def machine(identity: CpuIdentity, n_cpu: int, chips: int = 1) -> MachineDescription:
    return describe(identity, Size(n_cpu, 128.0, chips=chips, threads_per_core=2))


def trained(identity: CpuIdentity | None = None, n_cpu: int = 32, **more: object) -> PowerModel:
    known = {"cpu": identity.model_name, **more} if identity else None
    fitted = podjoule.PowerModel(kind="linear", machine=known).fit(linear_meter(n_cpu=n_cpu))
    served: PowerModel = fitted.model_
    return served


def watts(model: PowerModel, n_cpu: int, load: float) -> float:
    return model.zones["package"].predict({"cpu_seconds": load * n_cpu}, n_cpu, 1.0).joules


def test_on_a_machine_of_another_size_each_cpu_draws_what_it_drew() -> None:
    """195 W idle on 2 CPUs is what came of a model of the whole of another machine."""
    model = trained()
    for n_cpu in (2, 64):
        assert watts(model, n_cpu, 0.0) == pytest.approx(IDLE * n_cpu / 32, rel=0.05)
        assert watts(model, n_cpu, 0.5) == pytest.approx((IDLE / 32 + BUSY / 2) * n_cpu, rel=0.05)


def test_a_linear_model_knows_its_envelope_too() -> None:
    model = trained()
    assert model.is_within_envelope({"cpu_seconds": 16.0}, 32, 1.0)
    assert model.is_within_envelope({"cpu_seconds": 15.0}, 30, 1.0)
    assert not model.is_within_envelope({"cpu_seconds": 1.0}, 2, 1.0)


def test_a_machine_of_its_own_kind_is_served_as_it_is() -> None:
    model = trained(HASWELL_EP, sockets=2, cores=16)
    same, change = moved_to(model, machine(HASWELL_EP, 32, chips=2))
    assert change == ""
    assert watts(same, 32, 0.5) == watts(model, 32, 0.5)


def test_another_cpu_is_served_by_specification_with_wider_bounds() -> None:
    model = trained(HASWELL_EP, sockets=2, cores=16)
    here = machine(ROME, 256, chips=2)
    moved, change = moved_to(model, here)
    assert "moved from Haswell" in change
    assert "to Rome by specification" in change
    of = moved.zones["package"].predict({"cpu_seconds": 128.0}, 256, 1.0)
    # A thread of an EPYC 7742 draws a fraction of one of an E5-2667 v3.
    assert of.joules < 0.6 * watts(model, 256, 0.5)
    assert of.high / of.low > 1.3
    assert moved.zones["package"].idle_watts(256) < model.zones["package"].idle_watts(256)


def test_a_machine_that_nobody_knows_is_scaled_by_the_cpu_and_says_so(tmp_path: Path) -> None:
    model = podjoule.PowerModel(kind="linear").fit(linear_meter(n_cpu=32))
    path = model.save(tmp_path / "m.json")
    unknown = CpuIdentity()
    choice = choose_model(str(path), unknown, machine=replace(describe(unknown, Size(n_cpu=2))))
    assert "made for a CPU that it does not name" in choice.reason
    assert "scaled by the CPU from 32 CPUs to 2" in choice.reason
    assert choice.model is not None
    of = choice.model.zones["package"].predict({"cpu_seconds": 1.0}, 2, 1.0)
    assert of.high / of.joules > 1.5


def test_what_a_move_costs_can_be_asked() -> None:
    known = {"cpu": HASWELL_EP.model_name, "sockets": 2, "cores": 16}
    fitted = podjoule.PowerModel(kind="linear", machine=known).fit(linear_meter(n_cpu=32))
    there = fitted.moved_to("AMD EPYC 7742 64-Core Processor", n_cpu=256, sockets=2, memory_gb=512)
    assert "to Rome by specification" in there.move_
    rows = linear_meter(n_cpu=256)
    assert there.predict(rows).mean() < 0.6 * fitted.predict(rows).mean()
    same = fitted.moved_to(HASWELL_EP.model_name, n_cpu=32, sockets=2)
    assert same.move_ == ""
    specification = podjoule.PowerModel.load("power-from-specification")
    watts = specification.moved_to("AMD EPYC 7742 64-Core Processor", n_cpu=256, sockets=2).predict(rows)
    assert 60 < watts.min() < watts.max() < 900
