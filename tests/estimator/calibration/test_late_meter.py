"""Idle power where the meter is read a while after the counters, as on an emulated or overloaded machine."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ebpf.counters import CPU_NS
from estimator.calibration.calibration import Calibration
from estimator.energy import FloatArray, Usage, ZoneEnergy
from tests.estimator.calibrated_node import one, package
from tests.estimator.usages import cpu_usage

IDLE_WATTS, BUSY_WATTS = 10.0, 20.0
INTERVAL_SECONDS, N_TICKS = 3.0, 30
WAVE_SECONDS = 7.0
BUSY_CPUS = np.array([1.1, 2.0, 1.1, 0.1])
LATE_SECONDS = (0.01, 0.1)
CPU_TIME_ALONE = frozenset({"cpu_ns"})


def cpu_seconds(until: FloatArray) -> FloatArray:
    """CPU time since 0 under the waves, in which 2 CPUs are busy, one, or hardly any; shape of until."""
    edges = np.arange(0, 40) * WAVE_SECONDS
    used = np.concatenate([[0.0], np.resize(BUSY_CPUS, 39).cumsum() * WAVE_SECONDS])
    return np.interp(until, edges, used)


def intervals(rng: np.random.Generator) -> list[tuple[Usage, ZoneEnergy]]:
    """What a late meter and the counters say of each tick, both of them exactly, each of its own interval."""
    counted = rng.uniform(0, 28) + INTERVAL_SECONDS * np.arange(N_TICKS + 1)
    metered = counted + rng.uniform(*LATE_SECONDS, N_TICKS + 1)
    joules = IDLE_WATTS * metered + BUSY_WATTS * cpu_seconds(metered)
    usages = [
        cpu_usage([[used]], available=CPU_TIME_ALONE, interval_seconds=INTERVAL_SECONDS, n_cpu=2)
        for used in np.diff(cpu_seconds(counted))
    ]
    energies = [
        package(float(then - before), 0, float(until - since))
        for (before, then), (since, until) in zip(pairwise(joules), pairwise(metered), strict=True)
    ]
    return list(zip(usages, energies, strict=True))


@pytest.mark.parametrize("seed", range(8))
def test_idle_power_is_learned_all_the_same(seed: int) -> None:
    calibration = Calibration({0: 0})
    ticks = intervals(np.random.default_rng(seed))
    for usage, energy in ticks:
        calibration.learn([energy], usage)
    assert one(calibration)[0] == pytest.approx(IDLE_WATTS, rel=0.05)
    assert calibration.skipped == {}


def test_the_ticks_hold_skew_enough_to_tell() -> None:
    """One tick alone, of which the idle power were worked out at the true price of a CPU, may be far off."""
    watts = [
        energy.joules / energy.interval_seconds
        - BUSY_WATTS * usage.used[..., CPU_NS].sum() / 1e9 / INTERVAL_SECONDS
        for usage, energy in intervals(np.random.default_rng(0))
    ]
    assert np.ptp(watts) > 0.05 * IDLE_WATTS
