"""Online calibration: what it finds, what it starts from, and what it survives without leaving its bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.attribution.shares import attribute
from estimator.calibration.calibration import MAX_PLACES, Calibration
from estimator.calibration.place import Fit, priors_of
from estimator.model.file import load_shipped
from tests.estimator.calibrated_node import (
    IDLE_WATTS,
    N_CPU,
    node_energies,
    node_usage,
    one,
    package,
    taught,
    teach,
)

PRIOR = {"package": Fit(30.0, {"cpu_seconds": 4.0})}


def assert_within_bounds(calibration: Calibration) -> None:
    for status in calibration.status():
        if status.fit is not None:
            assert 0 <= status.fit.idle_watts < math.inf
            assert not status.fit.idle_watts > status.idle.high_watts * (1 + 1e-12)
            assert not status.fit.idle_watts < status.idle.low_watts * (1 - 1e-12)
            assert all(0 <= joules < math.inf for joules in status.fit.coefficients.values())


def test_it_finds_idle_power_and_predicts_what_it_has_not_seen() -> None:
    calibration = taught()
    (status,) = calibration.status()
    assert (status.method, status.fit is not None) == ("fitted", True)
    assert one(calibration)[0] == pytest.approx(IDLE_WATTS, abs=1.0)
    assert status.error_watts < 1.0
    assert calibration.skipped == {}


def test_idle_power_is_filled_in_once_it_is_known_and_never_overwritten() -> None:
    usage = node_usage(np.random.default_rng(1))
    (energy,) = node_energies(usage)
    (prepared,) = taught().prepare([energy])
    assert prepared.idle_watts == pytest.approx(IDLE_WATTS, abs=1.0)
    assert replace(prepared, idle_watts=None) == energy
    own = replace(energy, idle_watts=3.0)
    assert taught().prepare([own]) == [own]
    assert Calibration({}).prepare([energy]) == [energy]


def test_the_coefficients_of_a_zone_are_the_mean_over_its_sockets() -> None:
    calibration = taught(n_sockets=2)
    fits = [status.fit.coefficients for status in calibration.status() if status.fit is not None]
    assert len(fits) == 2
    assert calibration.coefficients()["package"]["cycles"] == pytest.approx(
        (fits[0]["cycles"] + fits[1]["cycles"]) / 2
    )


def test_a_prior_is_in_force_at_once_shared_by_the_sockets_until_it_is_beaten() -> None:
    calibration = Calibration({0: 0, 1: 1}, PRIOR)
    rng = np.random.default_rng(2)
    usage = node_usage(rng, n_sockets=2)
    prepared = calibration.prepare(node_energies(usage))
    assert [energy.idle_watts for energy in prepared] == [15.0, 15.0]
    assert calibration.coefficients()["package"]["cpu_seconds"] == 4.0
    assert {status.method for status in calibration.status()} == {"prior"}
    teach(calibration, rng, 80, n_sockets=2)
    assert {status.method for status in calibration.status()} == {"fitted"}


def test_a_prior_that_is_right_stays() -> None:
    calibration = Calibration({0: 0}, {"package": Fit(IDLE_WATTS, TRUE_COEFFICIENTS)})
    rng = np.random.default_rng(3)
    for _ in range(200):
        usage = node_usage(rng)
        calibration.learn(node_energies(usage, noise=rng.normal(0, 0.003, 1)), usage)
    (status,) = calibration.status()
    assert status.promotions <= 3
    assert one(calibration)[0] == pytest.approx(IDLE_WATTS, abs=0.5)


TRUE_COEFFICIENTS = {"cpu_seconds": 2.0, "cycles": 1e-9, "instructions": 0.5e-9, "cache_misses": 2e-8}


def test_a_shipped_model_serves_as_prior() -> None:
    priors = priors_of(load_shipped("power-from-specification"), n_cpu=8)
    calibration = Calibration({}, priors)
    platform = replace(package(1000.0), zone="platform", socket=None)
    (prepared,) = calibration.prepare([platform])
    assert prepared.idle_watts == pytest.approx(priors["platform"].idle_watts)


def test_frozen_it_serves_what_it_was_given_and_learns_nothing() -> None:
    calibration = Calibration({0: 0}, PRIOR, is_frozen=True)
    teach(calibration, np.random.default_rng(4), 40)
    assert calibration.prepare([package(500.0)])[0].idle_watts == 30.0
    assert [status.method for status in calibration.status()] == ["prior"]


def test_what_was_in_force_before_a_restart_is_again() -> None:
    before = taught()
    after = Calibration({0: 0}, PRIOR, before.fits())
    after.prepare([package(500.0)])
    assert one(after) == one(before)
    assert after.status()[0].method == "restored"


def test_at_constant_load_nothing_is_established() -> None:
    calibration, rng = Calibration({0: 0}), np.random.default_rng(5)
    for _ in range(300):
        usage = node_usage(rng, load=4.0)
        calibration.learn(node_energies(usage, noise=rng.normal(0, 0.01, 1)), usage)
    assert calibration.status()[0].fit is None
    assert calibration.coefficients() == {}


def test_at_constant_load_what_is_established_stays() -> None:
    calibration, rng = taught(), np.random.default_rng(6)
    before = one(calibration)
    for _ in range(1000):
        usage = node_usage(rng, load=4.0)
        calibration.learn(node_energies(usage, noise=rng.normal(0, 0.003, 1)), usage)
    idle_watts, coefficients = one(calibration)
    assert idle_watts == pytest.approx(before[0], abs=1.5)
    assert coefficients["cycles"] == pytest.approx(before[1]["cycles"], rel=0.25)


def test_it_follows_a_clock_that_changes() -> None:
    calibration, rng = taught(), np.random.default_rng(7)
    for _ in range(80):
        usage = node_usage(rng)
        calibration.learn(node_energies(usage, scale=1.5, noise=rng.normal(0, 0.003, 1)), usage)
    idle_watts, _ = one(calibration)
    assert idle_watts == pytest.approx(IDLE_WATTS, abs=1.5)
    assert calibration.status()[0].error_watts < 2.0


@pytest.mark.parametrize("at", range(5))
def test_an_outlier_of_ten_times_hardly_moves_it(at: int) -> None:
    calibration, rng = taught(ticks=80 + at), np.random.default_rng(8)
    before = one(calibration)[0]
    usage = node_usage(rng)
    calibration.learn(node_energies(usage, noise=[9.0]), usage)
    teach(calibration, rng, 20)
    assert one(calibration)[0] == pytest.approx(before, abs=1.5)
    assert calibration.status()[0].shadow_error_watts < 10


def test_outliers_in_one_interval_of_ten_do_not_matter() -> None:
    calibration, rng = Calibration({0: 0}), np.random.default_rng(9)
    for tick in range(200):
        usage = node_usage(rng)
        calibration.learn(node_energies(usage, noise=[9.0 if tick % 10 == 3 else 0.0]), usage)
    assert one(calibration)[0] == pytest.approx(IDLE_WATTS, abs=3.0)


def test_a_stuck_meter_teaches_nothing() -> None:
    calibration, rng = taught(), np.random.default_rng(10)
    before = one(calibration)
    for joules in (0.0, 300.0):
        for _ in range(100):
            calibration.learn([package(joules)], node_usage(rng))
    assert calibration.skipped["no energy"] == 100
    assert calibration.skipped["stuck"] > 80
    assert one(calibration)[0] == pytest.approx(before[0], abs=1.0)


def test_nonsense_teaches_nothing() -> None:
    calibration, rng = taught(), np.random.default_rng(11)
    before = one(calibration)
    usage = node_usage(rng)
    for joules in (math.nan, math.inf, -1.0, 1e300):
        calibration.learn([package(joules)], usage)
    for bad in (math.nan, math.inf, -1e9, 1e18):
        calibration.learn(node_energies(usage), replace(usage, used=np.full_like(usage.used, bad)))
    for seconds in (0.0, -1.0, math.nan):
        calibration.learn(node_energies(usage), replace(usage, interval_seconds=seconds))
    assert sum(calibration.skipped.values()) == 11
    assert one(calibration) == before


def test_a_gap_leaves_the_zone_out_and_the_other_learns_on() -> None:
    calibration, rng = taught(n_sockets=2), np.random.default_rng(12)
    before = calibration.status()[1]
    for _ in range(20):
        usage = node_usage(rng, n_sockets=2)
        calibration.learn(node_energies(usage)[:1], usage)
    after = calibration.status()[1]
    assert after.idle.watts == before.idle.watts
    assert replace(after, idle=before.idle) == before


def test_energy_of_more_than_the_tick_is_not_held_against_its_counters() -> None:
    calibration, rng = taught(), np.random.default_rng(13)
    calibration.learn([package(4000.0, interval_seconds=20.0)], node_usage(rng))
    assert calibration.skipped == {"spans another time": 1}


def test_suspend_teaches_nothing() -> None:
    calibration, rng = taught(), np.random.default_rng(14)
    before = one(calibration)
    usage = replace(node_usage(rng), interval_seconds=36_000.0)
    calibration.learn([package(2_000.0, interval_seconds=36_000.0)], usage)
    assert calibration.skipped == {"long interval": 1}
    assert one(calibration) == before


def test_a_longer_tick_is_learned_from_after_a_while() -> None:
    calibration, rng = taught(), np.random.default_rng(15)
    for _ in range(40):
        usage = node_usage(rng)
        used = replace(usage, used=usage.used * 20, interval_seconds=100.0)
        (energy,) = node_energies(usage)
        calibration.learn([package(energy.joules * 20, interval_seconds=100.0)], used)
    assert calibration.skipped["long interval"] < 20


def test_cpu_hotplug_keeps_what_is_in_force_and_finds_the_new_idle_power() -> None:
    calibration, rng = taught(), np.random.default_rng(16)
    for n_cpu, idle_watts in ((4, 14.0), (8, 26.0)):
        for _ in range(60):
            usage = node_usage(rng, n_cpu=n_cpu)
            calibration.learn(node_energies(usage, idle_watts=idle_watts), usage)
        assert one(calibration)[0] == pytest.approx(idle_watts, abs=1.5)
    assert calibration.skipped["hotplug"] == 2


def test_the_work_of_a_tick_is_bounded_however_many_zones_a_meter_shows() -> None:
    calibration = Calibration({})
    usage = node_usage(np.random.default_rng(17))
    energies = [package(500.0, socket) for socket in range(MAX_PLACES + 5)]
    calibration.learn(energies, usage)
    assert len(calibration.status()) == MAX_PLACES
    assert calibration.skipped == {"too many zones": 5}


def test_cpu_time_alone_is_enough_where_there_are_no_counters() -> None:
    calibration, rng = Calibration({0: 0}), np.random.default_rng(18)
    for _ in range(80):
        usage = node_usage(rng)
        seen = replace(usage, available=frozenset({"cpu_ns"}))
        calibration.learn(node_energies(usage), seen)
    assert one(calibration)[1].keys() >= {"cpu_seconds"}
    assert [name for name, joules in one(calibration)[1].items() if joules > 0] == ["cpu_seconds"]


events = st.one_of(
    st.just(1.0),
    st.floats(0.5, 2.0),
    st.sampled_from([0.0, 10.0, 0.1, math.nan, math.inf, -1.0, 1e-9]),
)
ticks = st.tuples(events, st.one_of(st.none(), st.floats(0, 6)), st.sampled_from([N_CPU, N_CPU, N_CPU, 4]))


@settings(max_examples=60)
@given(st.lists(ticks, min_size=1, max_size=60), st.integers(0, 10_000), st.booleans())
def test_whatever_happens_it_stays_within_its_bounds_and_conserves(
    history: list[tuple[float, float | None, int]], seed: int, is_taught: bool
) -> None:
    rng = np.random.default_rng(seed)
    calibration = taught(40) if is_taught else Calibration({0: 0})
    for factor, load, n_cpu in history:
        usage = node_usage(rng, load, n_cpu=n_cpu)
        (energy,) = node_energies(usage)
        read = package(energy.joules * factor)
        if math.isfinite(read.joules) and read.joules >= 0:
            (share,) = attribute(calibration.prepare([read]), usage, calibration.coefficients(), {0: 0})
            parts = share.idle_joules + share.cgroup_joules.sum() + sum(share.unattributed_joules.values())
            assert parts == pytest.approx(read.joules, rel=1e-9)
        calibration.learn([read], usage)
        assert_within_bounds(calibration)
