from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.attribution.platform import INNER_ZONES, POLICIES, REST, PlatformShares, explained
from estimator.attribution.shares import MAP_FULL, NO_USAGE, SUSPENDED
from estimator.energy import ZoneEnergy, ZoneShare
from estimator.meters.port import ZoneReading

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
    policy: str,
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
def test_a_rest_that_nobody_can_have_is_nobodys(policy: str) -> None:
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


def board(joules: float, seconds: float, end: float, path: str = PATH) -> ZoneShare:
    told = replace(energy("platform", joules, seconds, path), end_ns=round(end * 1e9))
    return ZoneShare(told, 0.0, "", np.zeros(2), {})


def by_zone(platform: PlatformShares, shares: list[ZoneShare], now: float) -> dict[str, ZoneShare]:
    return {each.energy.zone: each for each in platform.complete(shares, 2, round(now * 1e9), 5.0)}


INNER = [share("package", 100.0, [300.0, 100.0])]


def test_a_tick_in_which_nothing_else_tells_has_its_rows_all_the_same() -> None:
    platform = PlatformShares("none")
    by_zone(platform, [*INNER, board(900.0, 5.0, 100.0)], 100.0)
    (filled,) = platform.complete([], 3, 101 * 10**9, 1.0)
    assert filled.cgroup_joules.tolist() == [0.0] * 3


def test_without_a_meter_within_the_board_stays_as_it_was_shared_out() -> None:
    alone = [board(20.0, 5.0, 105.0)]
    assert PlatformShares("proportional").complete(alone, 2, 105 * 10**9, 5.0) == alone


def test_what_was_recorded_tick_by_tick_is_the_ticks_and_is_shared_out_again() -> None:
    recorded = [*INNER, share("platform", 0.0, [900.0, 0.0])]
    for _ in range(3):
        (_, found) = PlatformShares("proportional").complete(recorded, 2, 105 * 10**9, 5.0)
        assert found.energy is recorded[1].energy
        assert found.cgroup_joules.tolist() == [300.0 + 300.0, 100.0 + 100.0]


def test_between_two_readings_it_is_filled_and_at_the_reading_put_right() -> None:
    platform, booked, now, counter, read = PlatformShares("none"), [], 100.0, 0.0, 0.0
    for n in range(1, 61):
        now += 5.0
        counter += 5.0 * 180.0
        shares = list(INNER)
        if n % 4 == 0:
            shares.append(board(counter - read, 20.0, now))
            read = counter
        found = by_zone(platform, shares, now)
        assert found["package"] is INNER[0]
        assert ("platform" in found) == (n >= 4)
        booked.append(found["platform"].energy.joules if n >= 4 else 0.0)
        if n % 4 == 0:
            assert sum(booked) == pytest.approx(counter)
    assert booked[-8:] == pytest.approx([900.0] * 8)


def test_what_a_board_tells_in_a_tick_of_no_time_is_not_booked_beside_what_was_filled() -> None:
    platform = PlatformShares()
    by_zone(platform, [*INNER, board(600.0, 5.0, 100.0)], 100.0)
    given = by_zone(platform, [*INNER], 105.0)["platform"].energy.joules
    assert given == pytest.approx(600.0)
    (asleep,) = platform.complete([board(700.0, 65.0, 165.0)], 0, 165 * 10**9, 0.0)
    assert (asleep.energy.joules, asleep.energy.interval_seconds) == (pytest.approx(100.0), 60.0)
    assert platform.complete([], 0, 165 * 10**9, 0.0) == []


def test_a_process_that_is_started_anew_books_neither_twice_nor_less() -> None:
    platform, reading = PlatformShares("none"), ZoneReading("platform", None, PATH, 10**9, 2**63 - 1, 10**11)
    by_zone(platform, [*INNER, board(900.0, 5.0, 100.0)], 100.0)
    ahead = by_zone(platform, INNER, 105.0)["platform"].energy.joules
    kept = platform.kept({PATH: reading})[PATH]
    assert (ahead, kept.energy_uj / 1e6) == pytest.approx((900.0, 1000.0 + 900.0))
    anew = by_zone(PlatformShares("none"), [*INNER, board(2 * 900.0 - ahead, 10.0, 110.0)], 110.0)
    assert ahead + anew["platform"].energy.joules == pytest.approx(1800.0)


def test_another_board_meter_takes_over_without_a_joule_twice() -> None:
    platform = PlatformShares("none")
    by_zone(platform, [*INNER, board(900.0, 5.0, 100.0)], 100.0)
    ahead = by_zone(platform, INNER, 105.0)["platform"].energy.joules
    found = platform.complete([*INNER, board(1800.0, 10.0, 110.0, "/dev/ipmi0")], 2, 110 * 10**9, 5.0)
    assert [each.energy.path for each in found] == ["package", "/dev/ipmi0"]
    assert ahead + found[-1].energy.joules == pytest.approx(1800.0)


def test_two_boards_of_one_machine_are_both_booked() -> None:
    platform = PlatformShares("none")
    for n in range(1, 21):
        now = 100.0 + 5.0 * n
        boards = [board(600.0, 5.0, now, "redfish/b/1"), board(300.0, 5.0, now, "redfish/b/2")]
        found = platform.complete([*INNER, *boards], 2, round(now * 1e9), 5.0)
        assert [each.energy.joules for each in found[1:]] == pytest.approx([600.0, 300.0])
        assert sum(each.cgroup_joules.sum() for each in found[1:]) == pytest.approx(400.0)


def test_even_weights_are_asked_for_only_where_the_policy_needs_them() -> None:
    shares = [*INNER, board(900.0, 5.0, 105.0)]
    PlatformShares("none").complete(shares, 2, 105 * 10**9, 5.0, lambda: pytest.fail("asked"))
    (_, found) = PlatformShares("even").complete(shares, 2, 105 * 10**9, 5.0, lambda: np.array([1.0, 0.0]))
    assert found.cgroup_joules.tolist() == [300.0 + 400.0, 100.0]
