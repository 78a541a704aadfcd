from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.attribution.platform import INNER_ZONES, REST, PlatformShares, RestPolicy, explained
from estimator.attribution.shares import MAP_FULL, NO_USAGE, SUSPENDED
from estimator.energy import ZoneEnergy, ZoneShare
from estimator.meters.port import ZoneReading

POLICIES: tuple[RestPolicy, ...] = ("none", "proportional", "even")
PATH = "redfish/b/1"


def energy(zone: str, joules: float, seconds: float = 5.0, path: str = "") -> ZoneEnergy:
    return ZoneEnergy(zone, None, path or zone, joules, seconds, None, joules, joules)


def share(zone: str, idle: float, cgroups: list[float], nobodys: float = 0.0) -> ZoneShare:
    whole = energy(zone, idle + sum(cgroups) + nobodys)
    unattributed = {NO_USAGE: 0.0, MAP_FULL: nobodys, SUSPENDED: 0.0}
    return ZoneShare(whole, idle, "idle_watts", np.array(cgroups), unattributed)


def parts(found: ZoneShare) -> float:
    return found.idle_joules + float(found.cgroup_joules.sum()) + sum(found.unattributed_joules.values())


amounts = st.floats(0.0, 1e6)


@given(
    wall=st.lists(amounts, min_size=1, max_size=3),
    within=st.lists(st.tuples(amounts, st.tuples(amounts, amounts, amounts), amounts), max_size=3),
    policy=st.sampled_from(POLICIES),
    even=st.tuples(*[st.sampled_from([0.0, 1.0])] * 3),
)
def test_every_joule_of_the_wall_is_somebodys_or_said_to_be_nobodys(
    wall: list[float],
    within: list[tuple[float, tuple[float, float, float], float]],
    policy: RestPolicy,
    even: tuple[float, float, float],
) -> None:
    zones = ("package", "dram", "gpu")
    inner = [share(zone, idle, [*c], n) for zone, (idle, c, n) in zip(zones, within, strict=False)]
    energies = [energy("platform", joules, path=str(n)) for n, joules in enumerate(wall)]
    for found in explained(energies, inner, 3, policy, np.array(even)):
        assert math.isclose(parts(found), found.energy.joules, rel_tol=1e-9, abs_tol=1e-12)
        assert (found.cgroup_joules >= 0).all()
        assert min(found.unattributed_joules.values()) >= 0


def test_who_drew_within_drew_it_at_the_wall_and_the_rest_is_nobodys() -> None:
    inner = [share("package", 20.0, [30.0, 10.0]), share("dram", 4.0, [1.0, 5.0])]
    (found,) = explained([energy("platform", 150.0)], inner, 2, "none")
    assert found.cgroup_joules.tolist() == [31.0, 15.0]
    assert found.idle_joules == 24.0
    assert found.unattributed_joules[REST] == 80.0
    assert found.idle_method == INNER_ZONES


def test_in_proportion_the_rest_goes_by_what_each_drew_within() -> None:
    inner = [share("package", 20.0, [30.0, 10.0, 0.0])]
    (found,) = explained([energy("platform", 140.0)], inner, 3, "proportional")
    assert found.cgroup_joules.tolist() == [30.0 + 60.0, 10.0 + 20.0, 0.0]
    assert found.unattributed_joules[REST] == 0.0


def test_evenly_every_container_has_as_much_of_it_whether_it_ran_or_not() -> None:
    inner = [share("package", 20.0, [30.0, 10.0, 0.0])]
    (found,) = explained([energy("platform", 140.0)], inner, 3, "even", np.array([1.0, 0.0, 1.0]))
    assert found.cgroup_joules.tolist() == [30.0 + 40.0, 10.0, 40.0]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_rest_that_nobody_can_have_is_nobodys(policy: RestPolicy) -> None:
    inner = [share("package", 20.0, [0.0, 0.0])]
    (found,) = explained([energy("platform", 100.0)], inner, 2, policy, np.zeros(2))
    assert found.unattributed_joules[REST] == 80.0


def test_a_wall_that_says_less_than_what_is_within_takes_it_from_everybody() -> None:
    inner = [share("package", 20.0, [60.0, 20.0])]
    (found,) = explained([energy("platform", 50.0)], inner, 2, "proportional")
    assert found.cgroup_joules.tolist() == [30.0, 10.0]
    assert found.idle_joules == 10.0
    assert found.unattributed_joules[REST] == 0.0


# --- Tick by tick


def reading(seconds: float, joules: float) -> dict[str, ZoneReading]:
    return {PATH: ZoneReading("platform", None, PATH, round(joules * 1e6), 2**63 - 1, round(seconds * 1e9))}


def test_without_a_meter_within_the_board_stays_as_it_was_shared_out() -> None:
    platform = PlatformShares("proportional")
    alone = [share("platform", 10.0, [5.0, 5.0])]
    assert platform.complete(alone, reading(100.0, 0.0), 100.0, 5.0) == alone


def test_without_a_board_nothing_changes() -> None:
    platform = PlatformShares("proportional")
    inner = [share("package", 10.0, [5.0, 5.0])]
    assert platform.complete(inner, {}, 100.0, 5.0) == inner


def test_between_two_readings_it_is_filled_and_at_the_reading_put_right() -> None:
    platform, booked, now, counter = PlatformShares("none"), [], 100.0, 0.0
    read = reading(now, 0.0)
    for n in range(1, 61):
        now += 5.0
        counter += 5.0 * 180.0
        shares = [share("package", 100.0, [300.0, 100.0])]
        if n % 4 == 0:
            told = counter - read[PATH].energy_uj / 1e6
            shares.append(ZoneShare(energy("platform", told, 20.0, PATH), 0.0, "", np.zeros(2), {}))
            read = reading(now, counter)
        found = {each.energy.zone: each for each in platform.complete(shares, read, now, 5.0)}
        booked.append(found["platform"].energy.joules)
        assert found["package"] is shares[0]
        if n % 4 == 0:
            assert sum(booked) == pytest.approx(counter)
    assert booked[:4] == pytest.approx([500.0, 500.0, 500.0, 4 * 900.0 - 1500.0])
    assert booked[-8:] == pytest.approx([900.0] * 8)


def test_a_process_that_is_started_anew_books_neither_twice_nor_less() -> None:
    platform, now, read = PlatformShares("none"), 105.0, reading(100.0, 1000.0)
    inner = [share("package", 100.0, [300.0, 100.0])]
    first = platform.complete(inner, read, now, 5.0)
    kept = platform.kept(read)
    assert kept[PATH].energy_uj / 1e6 == 1000.0 + first[-1].energy.joules
    anew, now = PlatformShares("none"), 110.0
    told = 1000.0 + 1800.0 - kept[PATH].energy_uj / 1e6
    shares = [*inner, ZoneShare(energy("platform", told, 10.0, PATH), 0.0, "", np.zeros(2), {})]
    second = anew.complete(shares, reading(110.0, 2800.0), now, 5.0)
    assert first[-1].energy.joules + second[-1].energy.joules == pytest.approx(1800.0)


def test_a_board_that_is_gone_is_forgotten() -> None:
    platform = PlatformShares("none")
    inner = [share("package", 100.0, [300.0, 100.0])]
    assert len(platform.complete(inner, reading(100.0, 0.0), 105.0, 5.0)) == 2
    assert platform.complete(inner, {}, 110.0, 5.0) == inner
    assert platform.kept({}) == {}
