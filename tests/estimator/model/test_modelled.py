"""A model's energy: monotone in load, between idle and full, additive, inside its own interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.counters import FIELDS
from estimator.attribution.shares import attribute
from estimator.energy import SourceInfo, Usage
from estimator.machine.description import MachineDescription, Size, describe
from estimator.machine.identity import CpuIdentity
from estimator.model.choice import BY_SPECIFICATION, for_machine
from estimator.model.curve import CurveZone
from estimator.model.file import load_shipped
from estimator.model.margin import LoadMargin
from estimator.model.modelled import ModelledEnergy, node_features
from estimator.model.power_model import LinearZone, PowerModel

GUEST = frozenset({"hypervisor"})
MACHINES = [
    describe(CpuIdentity(), Size(4)),
    describe(CpuIdentity("AuthenticAMD", 0x19, 0xA0, flags=GUEST), Size(8, 32.0)),
    describe(
        CpuIdentity("GenuineIntel", 6, 0x8F, model_name="Intel Xeon Platinum 8480+", flags=GUEST), Size(16)
    ),
    describe(CpuIdentity(model_name="AMD EPYC 9654"), Size(384, 768.0, chips=2, threads_per_core=2)),
    describe(CpuIdentity(model_name="Intel Xeon E-2388G"), Size(16, 32.0, chips=1, threads_per_core=2)),
]


def of(machine: MachineDescription) -> PowerModel:
    """Without the ceiling, which is of a machine of its own size."""
    return replace(for_machine(load_shipped(BY_SPECIFICATION), machine), ceilings={})


CURVES = [of(machine) for machine in MACHINES]
GENERIC = CURVES[0]
LINEAR = replace(
    GENERIC,
    zones={"package": LinearZone(40.0, {"cpu_seconds": 2.0, "cycles": 1e-9}, LoadMargin(0.9, 8.0))},
    envelope={"cycles": (1e8, 4e9)},
)

models = st.sampled_from(CURVES)
loads = st.floats(0, 1)
n_cpus = st.integers(1, 512)
intervals = st.floats(0.01, 1000)


def usage(cpu_seconds: float, n_cpu: int = 4, interval_seconds: float = 5.0, **fields: float) -> Usage:
    """Two cgroups and a dropped part, which together used cpu_seconds."""
    total = np.array([cpu_seconds * 1e9, *(fields.get(name, 0.0) for name in FIELDS[1:])])
    used = np.stack([total * 0.5, total * 0.25])[:, np.newaxis, :]
    available = frozenset({"cpu_ns", "switches", *fields})
    ids = np.array([1, 2], dtype=np.uint64)
    tgids = np.zeros(2, dtype=np.uint32)
    return Usage(ids, tgids, used, (total * 0.25)[np.newaxis, :], available, interval_seconds, n_cpu)


def joules(model: PowerModel, load: float, n_cpu: int, interval_seconds: float) -> float:
    busy = usage(load * n_cpu * interval_seconds, n_cpu, interval_seconds)
    (energy,) = ModelledEnergy(model).measure(busy)
    return energy.joules


def curve(model: PowerModel) -> CurveZone:
    zone = model.zones["platform"]
    assert isinstance(zone, CurveZone)
    return zone


@given(models, loads, loads, n_cpus, intervals)
def test_more_load_never_draws_less(model: PowerModel, a: float, b: float, n_cpu: int, dt: float) -> None:
    low, high = sorted((a, b))
    assert joules(model, low, n_cpu, dt) <= joules(model, high, n_cpu, dt) * (1 + 1e-9)


@given(models, loads, n_cpus, intervals)
def test_power_lies_between_idle_and_full_load(model: PowerModel, load: float, n_cpu: int, dt: float) -> None:
    watts_per_cpu = joules(model, load, n_cpu, dt) / dt / n_cpu
    zone = curve(model)
    assert zone.idle.watts * (1 - 1e-9) <= watts_per_cpu <= zone.full.watts * (1 + 1e-9)


@given(models, loads, n_cpus, intervals, st.integers(2, 10))
def test_energy_of_equal_intervals_adds_up(
    model: PowerModel, load: float, n_cpu: int, dt: float, parts: int
) -> None:
    assert joules(model, load, n_cpu, dt) * parts == pytest.approx(
        joules(model, load, n_cpu, dt * parts), rel=1e-9
    )


@given(models, st.floats(0, 2), n_cpus, intervals)
def test_the_interval_holds_the_prediction(model: PowerModel, load: float, n_cpu: int, dt: float) -> None:
    (energy,) = ModelledEnergy(model).measure(usage(load * n_cpu * dt, n_cpu, dt))
    assert 0 < energy.low_joules <= energy.joules <= energy.high_joules


def test_the_curve_runs_through_its_points() -> None:
    zone = curve(GENERIC)
    expected = zone.idle.watts + zone.draw[5] * (zone.full.watts - zone.idle.watts)
    assert joules(GENERIC, 0.5, 4, 5.0) == pytest.approx(20 * expected)


def test_the_energy_says_where_it_comes_from() -> None:
    source = ModelledEnergy(GENERIC)
    (energy,) = source.measure(usage(1.0, n_cpu=4))
    assert source.info == SourceInfo("model", BY_SPECIFICATION, GENERIC.sha256)
    assert (energy.zone, energy.socket, energy.path) == ("platform", None, f"model:{BY_SPECIFICATION}")
    assert energy.idle_watts == pytest.approx(4 * curve(GENERIC).idle.watts)
    assert energy.interval_seconds == 5.0


def test_more_cpu_time_than_there_is_counts_as_outside_and_draws_full_load() -> None:
    source = ModelledEnergy(GENERIC)
    source.measure(usage(20.1, n_cpu=4))
    assert source.errors()["outside_envelope"] == 0
    (energy,) = source.measure(usage(30.0, n_cpu=4))
    assert energy.joules == pytest.approx(20 * curve(GENERIC).full.watts)
    assert source.errors() == {"outside_envelope": 1, "missing_feature": 0}


def test_no_time_is_no_energy() -> None:
    assert ModelledEnergy(GENERIC).measure(usage(0.0, interval_seconds=0.0)) == []


def test_a_linear_model_adds_idle_and_features() -> None:
    source = ModelledEnergy(LINEAR)
    (energy,) = source.measure(usage(10.0, cycles=2e10))
    assert energy.joules == pytest.approx(40 * 5 + 2 * 10 + 20)
    assert (energy.low_joules, energy.high_joules) == pytest.approx((200, 280))
    assert energy.idle_watts == 40.0
    assert source.errors() == {"outside_envelope": 0, "missing_feature": 0}


def test_a_linear_model_knows_what_it_has_not_seen() -> None:
    source = ModelledEnergy(LINEAR)
    source.measure(usage(10.0, cycles=1e12))
    assert source.errors()["outside_envelope"] == 1


def test_a_feature_that_is_not_measured_is_never_taken_for_zero() -> None:
    source = ModelledEnergy(LINEAR)
    assert source.measure(usage(10.0)) == []
    assert source.errors()["missing_feature"] == 1


def test_features_are_the_whole_node_s_dropped_included() -> None:
    assert node_features(usage(8.0, cycles=4e9)) == pytest.approx(
        {"cpu_seconds": 8, "cycles": 4e9, "switches": 0}
    )


@given(models, loads)
def test_what_the_model_says_is_shared_out_whole(model: PowerModel, load: float) -> None:
    source, busy = ModelledEnergy(model), usage(load * 20)
    (share,) = attribute(source.measure(busy), busy, source.coefficients(), {})
    total = share.idle_joules + share.cgroup_joules.sum() + sum(share.unattributed_joules.values())
    assert total == pytest.approx(share.energy.joules, rel=1e-9)
    assert share.cgroup_joules[0] == pytest.approx(2 * share.cgroup_joules[1])
