"""Calibrated weights against a plant whose every joule is known, beside those of CPU time in the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest

from estimator.attribution.shares import attribute
from estimator.attribution.usage import UsageTracker
from estimator.calibration.calibration import Calibration
from estimator.energy import FloatArray, Usage, ZoneEnergy, ZoneShare
from estimator.meters.fake import FakeMeter
from estimator.meters.metered import MeteredEnergy
from tests.estimator.plant import (
    CPUS_PER_SOCKET,
    INTERVAL_SECONDS,
    N_SOCKETS,
    ZONES,
    Plant,
    PlantTick,
)
from tests.estimator.usages import ANY_USAGE, topology

SEEDS = (0, 1, 2)
N_TICKS = 720
SETTLED = 60
SOCKETS = {socket: socket for socket in range(N_SOCKETS)}
CALIBRATED, CPU_TIME, USAGE_RATIO = "calibrated", "CPU time beside the true idle power", "usage ratio"


@dataclass
class Run:
    """Joules by way and zone, shape (n_ticks, n_containers); the true ones under `true`."""

    true: dict[str, FloatArray]
    found: dict[str, dict[str, FloatArray]] = field(default_factory=dict)
    conservation_error: float = 0.0
    calibration: Calibration = field(default_factory=lambda: Calibration(SOCKETS))

    def error(self, way: str, zones: Sequence[str] = ZONES, since: int = 0) -> float:
        """Σ |found - true| / Σ true over containers and zones, of what each counter has grown by."""
        off = sum(
            np.abs((self.found[way][zone] - self.true[zone])[since:].sum(axis=0)).sum() for zone in zones
        )
        return float(off / sum(self.true[zone][since:].sum() for zone in zones))


@cache
def run(seed: int) -> Run:
    plant = Plant(seed, n_ticks=N_TICKS)
    ticks = [plant.advance() for _ in range(N_TICKS)]
    meter, tracker = (
        MeteredEnergy(FakeMeter([tick.readings for tick in ticks])),
        UsageTracker(topology((0, 1))),
    )
    result = Run(
        {zone: np.array([tick.true_joules[zone].sum(axis=1) for tick in ticks[1:]]) for zone in ZONES}
    )
    for way in (CALIBRATED, CPU_TIME, USAGE_RATIO):
        result.found[way] = {zone: np.zeros((N_TICKS - 1, plant.n_containers)) for zone in ZONES}
    for number, tick in enumerate(ticks):
        usage = tracker.update(tick.snapshot, CPUS_PER_SOCKET * N_SOCKETS)
        measured = meter.measure(usage or ANY_USAGE)
        if usage is not None:
            for way, shares in ways(result.calibration, measured, usage, tick).items():
                book(result, way, number - 1, usage, shares)
            result.calibration.learn(measured, usage)
    return result


def ways(
    calibration: Calibration, measured: Sequence[ZoneEnergy], usage: Usage, tick: PlantTick
) -> Mapping[str, list[ZoneShare]]:
    prepared = calibration.prepare(measured)
    told = [
        replace(energy, idle_watts=tick.true_idle[energy.zone][energy.socket or 0] / INTERVAL_SECONDS)
        for energy in measured
    ]
    return {
        CALIBRATED: attribute(prepared, usage, calibration.coefficients(), SOCKETS),
        CPU_TIME: attribute(told, usage, {}, SOCKETS),
        USAGE_RATIO: attribute(measured, usage, {}, SOCKETS),
    }


def book(result: Run, way: str, tick: int, usage: Usage, shares: Sequence[ZoneShare]) -> None:
    rows = usage.cgroup_id.astype(np.intp) - 2
    for share in shares:
        result.found[way][share.energy.zone][tick][rows] += share.cgroup_joules
        parts = share.cgroup_joules.sum() + share.idle_joules + sum(share.unattributed_joules.values())
        error = abs(float(parts) - share.energy.joules) / share.energy.joules
        result.conservation_error = max(result.conservation_error, error)


@pytest.mark.parametrize("seed", SEEDS)
def test_calibrated_weights_are_within_five_percent_from_the_first_tick_on(seed: int) -> None:
    assert run(seed).error(CALIBRATED) <= 0.05


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("way", [CPU_TIME, USAGE_RATIO])
def test_the_error_is_at_most_a_quarter_of_that_of_cpu_time(seed: int, way: str) -> None:
    assert run(seed).error(CALIBRATED) <= run(seed).error(way) / 4


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("zone", ZONES)
def test_each_zone_is_right_once_settled(seed: int, zone: str) -> None:
    assert run(seed).error(CALIBRATED, [zone], SETTLED) <= 0.06


@pytest.mark.parametrize("seed", SEEDS)
def test_a_container_without_activity_gets_nothing(seed: int) -> None:
    for joules in run(seed).found[CALIBRATED].values():
        assert (joules[:, :2] == 0.0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_not_a_joule_is_lost(seed: int) -> None:
    assert run(seed).conservation_error <= 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_every_place_is_established_within_bounds(seed: int) -> None:
    for status in run(seed).calibration.status():
        assert status.fit is not None
        assert status.idle.low_watts <= status.fit.idle_watts <= status.idle.high_watts
        assert min(status.fit.coefficients.values()) >= 0
    assert run(seed).calibration.skipped == {}


def test_the_meter_wrapped_on_the_way() -> None:
    plant = Plant(0, n_ticks=N_TICKS)
    readings = [plant.advance().readings[0].energy_uj for _ in range(N_TICKS)]
    assert (np.diff(readings) < 0).sum() >= 2
