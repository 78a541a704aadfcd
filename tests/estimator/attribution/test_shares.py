from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ebpf.counters import FIELDS
from estimator.attribution.shares import MAP_FULL, NO_USAGE, SUSPENDED, attribute
from estimator.energy import Usage, ZoneShare
from estimator.features import FEATURES
from tests.estimator.usages import cpu_usage, energy_of, usage_of

SOCKETS = {0: 0, 1: 1}
ONE_EACH = [[1, 0], [3, 0], [0, 4], [0, 0]]  # CPU seconds of four cgroups on two sockets


def total(share: ZoneShare) -> float:
    return share.idle_joules + share.cgroup_joules.sum() + sum(share.unattributed_joules.values())


def test_a_package_is_shared_out_by_what_ran_on_its_socket() -> None:
    energies = [energy_of(100, socket=0), energy_of(60, socket=1)]
    first, second = attribute(energies, cpu_usage(ONE_EACH), {}, SOCKETS)
    assert first.cgroup_joules.tolist() == [25, 75, 0, 0]
    assert second.cgroup_joules.tolist() == [0, 0, 60, 0]
    assert [first.energy, second.energy] == energies


def test_psys_is_shared_out_by_what_ran_anywhere() -> None:
    (share,) = attribute([energy_of(80, "psys", None)], cpu_usage(ONE_EACH), {}, SOCKETS)
    assert share.cgroup_joules.tolist() == [10, 30, 40, 0]


def test_physical_sockets_need_not_be_numbered_from_zero() -> None:
    (share,) = attribute([energy_of(100, socket=8)], cpu_usage(ONE_EACH), {}, {3: 0, 8: 1})
    assert share.cgroup_joules.tolist() == [0, 0, 100, 0]


def test_a_socket_that_the_topology_does_not_know_is_shared_out_over_all() -> None:
    (share,) = attribute([energy_of(80, socket=5)], cpu_usage(ONE_EACH), {}, SOCKETS)
    assert share.cgroup_joules.tolist() == [10, 30, 40, 0]


def test_each_die_is_shared_out_on_its_own() -> None:
    shares = attribute([energy_of(100), energy_of(4)], cpu_usage(ONE_EACH), {}, SOCKETS)
    assert [share.cgroup_joules.tolist() for share in shares] == [[25, 75, 0, 0], [1, 3, 0, 0]]


def test_idle_energy_is_taken_off_first() -> None:
    (share,) = attribute([energy_of(100, idle_watts=12)], cpu_usage(ONE_EACH), {}, SOCKETS)
    assert (share.idle_joules, share.idle_method) == (60, "idle_watts")
    assert share.cgroup_joules.tolist() == [10, 30, 0, 0]


def test_without_idle_power_the_cpu_ratio_decides() -> None:
    (share,) = attribute([energy_of(100, idle_watts=None)], cpu_usage(ONE_EACH), {}, SOCKETS)
    assert share.idle_method == "usage_ratio"
    assert share.idle_joules == pytest.approx(60)  # 8 of 20 CPU seconds


def test_coefficients_are_joules_per_cpu_second_and_per_event() -> None:
    """2 CPU seconds at 1 J and 6e9 cycles at 1 nJ weigh the same as 1 and 7e9."""
    used = [[[2e9, 6e9, 0, 0, 0]], [[1e9, 7e9, 0, 0, 0]]]
    coefficients = {"package": {"cpu_seconds": 1.0, "cycles": 1e-9}}
    (share,) = attribute([energy_of(100)], usage_of(used), coefficients, SOCKETS)
    assert share.cgroup_joules == pytest.approx([50, 50])


def test_each_zone_has_its_own_coefficients() -> None:
    used = [[[1e9, 0, 0, 30, 0]], [[1e9, 0, 0, 10, 0]]]
    coefficients = {"dram": {"cache_misses": 1e-8}}
    package, dram = attribute([energy_of(8), energy_of(8, "dram")], usage_of(used), coefficients, SOCKETS)
    assert package.cgroup_joules == pytest.approx([4, 4])
    assert dram.cgroup_joules == pytest.approx([6, 2])


@pytest.mark.parametrize(
    "coefficients", [{"cycles": 1e-9}, {"cycles": 0.0, "cpu_seconds": 0.0}, {"frequency": 3.0}, {}]
)
def test_with_no_coefficient_on_a_measured_counter_cpu_time_alone_decides(
    coefficients: dict[str, float],
) -> None:
    usage = usage_of([[[1e9, 9e9, 0, 0, 0]], [[3e9, 1e9, 0, 0, 0]]], available=frozenset({"cpu_ns"}))
    (share,) = attribute([energy_of(100)], usage, {"package": coefficients}, SOCKETS)
    assert share.cgroup_joules == pytest.approx([25, 75])


@pytest.mark.parametrize("joules", [-1e-9, float("nan"), float("inf")])
def test_a_coefficient_that_cannot_be_is_refused_by_name(joules: float) -> None:
    with pytest.raises(ValueError, match="cycles of zone package"):
        attribute([energy_of(1)], cpu_usage(ONE_EACH), {"package": {"cycles": joules}}, SOCKETS)


def test_energy_that_nobody_used_is_unattributed() -> None:
    (share,) = attribute([energy_of(100, idle_watts=4)], cpu_usage([[0, 0], [0, 9]]), {}, SOCKETS)
    assert share.unattributed_joules == {NO_USAGE: 80, MAP_FULL: 0, SUSPENDED: 0}
    assert share.cgroup_joules.tolist() == [0, 0]


def test_no_cgroup_at_all_leaves_everything_unattributed() -> None:
    (share,) = attribute([energy_of(100)], usage_of(np.zeros((0, 2, len(FIELDS)))), {}, SOCKETS)
    assert share.unattributed_joules[NO_USAGE] == 100


def test_what_the_map_could_not_hold_has_its_share_of_the_socket() -> None:
    dropped = [[4e9, *[0] * (len(FIELDS) - 1)], [0] * len(FIELDS)]
    usage = cpu_usage(ONE_EACH, dropped=dropped)
    first, second = attribute([energy_of(100, socket=0), energy_of(60, socket=1)], usage, {}, SOCKETS)
    assert first.unattributed_joules == {NO_USAGE: 0, MAP_FULL: 50, SUSPENDED: 0}
    assert first.cgroup_joules.tolist() == [12.5, 37.5, 0, 0]
    assert second.unattributed_joules[MAP_FULL] == 0


def test_no_energy_gives_no_shares() -> None:
    assert attribute([], cpu_usage(ONE_EACH), {}, SOCKETS) == []


COUNT = st.integers(0, 10**13).map(float)
N_SOCKETS = 2


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    n = draw(st.integers(0, 8))
    used = draw(arrays(np.float64, (n, N_SOCKETS, len(FIELDS)), elements=COUNT, fill=st.just(0.0)))
    dropped = draw(arrays(np.float64, (N_SOCKETS, len(FIELDS)), elements=COUNT, fill=st.just(0.0)))
    available = draw(st.sets(st.sampled_from(FIELDS))) | {"cpu_ns"}
    return usage_of(used, dropped, available=frozenset(available), n_cpu=draw(st.integers(0, 64)))


def coefficients_of(features: Iterable[str]) -> st.SearchStrategy[dict[str, dict[str, float]]]:
    weights = st.dictionaries(st.sampled_from(sorted(features)), st.floats(0, 1e3))
    return st.fixed_dictionaries({}, optional={"package": weights})


COEFFICIENTS = coefficients_of(FEATURES)
# By a clock, who takes longer over the same cycles pays less, and has all on the socket pay less or more.
WITHOUT_CLOCKS = coefficients_of(FEATURES.keys() - {"clocked_cycles", "socket_clocked_cycles"})
JOULES = st.floats(1e-6, 1e9)
SOCKET = st.sampled_from([None, 0, 1, 7])
IDLE_WATTS = st.none() | st.floats(0, 1e4)


@given(JOULES, SOCKET, IDLE_WATTS, usages(), COEFFICIENTS)
def test_cgroups_and_unattributed_and_idle_always_add_up_to_what_was_measured(
    joules: float,
    socket: int | None,
    idle_watts: float | None,
    usage: Usage,
    coefficients: dict[str, dict[str, float]],
) -> None:
    energy = energy_of(joules, socket=socket, idle_watts=idle_watts)
    (share,) = attribute([energy], usage, coefficients, SOCKETS)
    assert total(share) == pytest.approx(joules, rel=1e-9)
    assert (share.cgroup_joules >= 0).all()
    assert min(share.unattributed_joules.values()) >= 0
    assert share.idle_joules >= 0


@given(SOCKET, usages(), COEFFICIENTS)
def test_a_cgroup_that_used_nothing_is_given_exactly_nothing(
    socket: int | None, usage: Usage, coefficients: dict[str, dict[str, float]]
) -> None:
    usage.used[::2] = 0
    (share,) = attribute([energy_of(1e6, socket=socket)], usage, coefficients, SOCKETS)
    assert not share.cgroup_joules[::2].any()


@given(usages(), COEFFICIENTS, st.integers(0, 2**32 - 1))
def test_the_order_of_the_cgroups_does_not_matter(
    usage: Usage, coefficients: dict[str, dict[str, float]], seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(usage.used))
    shuffled = usage_of(usage.used[order], usage.dropped, available=usage.available, n_cpu=usage.n_cpu)
    (share,) = attribute([energy_of(100)], usage, coefficients, SOCKETS)
    (again,) = attribute([energy_of(100)], shuffled, coefficients, SOCKETS)
    assert again.cgroup_joules == pytest.approx(share.cgroup_joules[order], rel=1e-9)


@given(usages().filter(lambda usage: len(usage.used) > 0), WITHOUT_CLOCKS, COUNT, st.sampled_from(range(5)))
def test_who_uses_more_is_never_given_less_and_the_others_never_more(
    usage: Usage, coefficients: dict[str, dict[str, float]], more: float, field: int
) -> None:
    (before,) = attribute([energy_of(100)], usage, coefficients, SOCKETS)
    usage.used[0, 0, field] += more
    (after,) = attribute([energy_of(100)], usage, coefficients, SOCKETS)
    slack = 1 + 1e-12
    assert after.cgroup_joules[0] * slack >= before.cgroup_joules[0]
    assert (after.cgroup_joules[1:] <= before.cgroup_joules[1:] * slack).all()
