"""Whose energy a GPU's is: every joule is somebody's, or said to be nobody's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.energy import ZoneEnergy, ZoneShare
from estimator.gpu.activity import Activity, Look, Process, Spans, together
from estimator.gpu.idle import IdleFloor
from estimator.gpu.port import Instance
from estimator.gpu.shares import PlaceEnergy, busy_ratio, divide, share_place, split_gpu

A, B, C = Process(10, 1), Process(20, 2), Process(30, 3)
ROWS = {A: 0, B: 1, C: 2}
HOLDERS = (3, 4)
N_ROWS = 5


def energy_of(joules: float, idle_watts: float | None = 10.0, suspended: float = 0.0) -> ZoneEnergy:
    """What a GPU drew in 5 s."""
    return ZoneEnergy("gpu", None, "GPU-a", joules, 5.0, idle_watts, joules, joules, 0.0, suspended)


def place_of(joules: float, activity: Activity, idle_watts: float | None = 10.0) -> PlaceEnergy:
    energy = energy_of(joules, idle_watts)
    return PlaceEnergy(energy, split_gpu(energy, activity, busy_ratio(activity)), activity)


def shared(joules: float, activity: Activity, *holders: int, idle_watts: float | None = 10.0) -> ZoneShare:
    return share_place(place_of(joules, activity, idle_watts), ROWS, holders, N_ROWS)


def nobodys(share: ZoneShare) -> dict[str, float]:
    return {reason: joules for reason, joules in share.unattributed_joules.items() if joules}


def test_processes_share_what_is_not_idle_by_how_busy_they_kept_it() -> None:
    share = shared(1050.0, Activity(5.0, {A: 2.5, B: 1.5, C: 1.0}, busy_seconds=5.0))
    assert share.idle_joules == 50.0
    assert share.cgroup_joules.tolist() == pytest.approx([500.0, 300.0, 200.0, 0.0, 0.0])
    assert not nobodys(share)


def test_where_nobody_computes_it_is_who_holds_it() -> None:
    share = shared(250.0, Activity(5.0, {A: 0.0, B: 0.0}, busy_seconds=0.0))
    assert share.cgroup_joules.tolist() == pytest.approx([100.0, 100.0, 0.0, 0.0, 0.0])


def test_what_a_gpu_draws_while_nobody_has_it_is_idle() -> None:
    share = shared(400.0, Activity(5.0), *HOLDERS)
    assert share.idle_joules == 400.0
    assert not share.cgroup_joules.any()


def test_processes_that_are_not_told_are_those_of_who_reserved_it() -> None:
    untold = Activity(5.0, untold_seconds=5.0)
    assert shared(250.0, untold, *HOLDERS).cgroup_joules.tolist() == [0.0, 0.0, 0.0, 100.0, 100.0]
    assert nobodys(shared(250.0, untold)) == {"unknown_process": 200.0}


def test_a_process_without_a_cgroup_has_its_part_and_no_more() -> None:
    share = shared(1050.0, Activity(5.0, {A: 3.0}, unknown_seconds=1.0, is_unknown=True, busy_seconds=4.0))
    assert share.cgroup_joules[0] == pytest.approx(750.0)
    assert nobodys(share) == {"unknown_process": pytest.approx(250.0)}


def test_without_an_idle_power_what_is_active_goes_by_how_busy_it_was() -> None:
    share = shared(1000.0, Activity(5.0, {A: 1.25}, busy_seconds=1.25), idle_watts=None)
    assert (share.idle_joules, share.idle_method) == (750.0, "usage_ratio")
    assert share.cgroup_joules[0] == 250.0


seconds = st.floats(0.0, 5.0)
activities = st.builds(
    Activity,
    st.just(5.0),
    st.dictionaries(st.sampled_from([A, B, C]), seconds),
    seconds,
    st.booleans(),
    st.none() | seconds,
    seconds,
)
joules = st.floats(0.0, 1e7)
idle = st.none() | st.floats(0.0, 1e3)
instances = st.lists(st.sampled_from([1 / 7, 2 / 7, 3 / 7]), min_size=1, max_size=7).map(
    lambda shares: [Instance(f"0.{i}", f"MIG-{i}", share) for i, share in enumerate(shares)]
)


def parts(share: ZoneShare) -> float:
    return math.fsum([share.idle_joules, *share.cgroup_joules, *share.unattributed_joules.values()])


@given(joules, activities, idle, st.booleans())
def test_a_gpus_parts_are_its_whole(
    drawn: float, activity: Activity, idle_watts: float | None, is_held: bool
) -> None:
    share = shared(drawn, activity, *(HOLDERS if is_held else ()), idle_watts=idle_watts)
    assert parts(share) == pytest.approx(drawn, rel=1e-9, abs=1e-9)
    assert (share.cgroup_joules >= 0).all()
    assert min(share.unattributed_joules.values()) >= 0


@given(joules, idle, instances, st.lists(activities, min_size=7, max_size=7))
def test_the_instances_parts_are_the_gpus(
    drawn: float, idle_watts: float | None, divided: list[Instance], ran: list[Activity]
) -> None:
    by_place = {each.uuid: activity for each, activity in zip(divided, ran, strict=False)}
    whole = place_of(drawn, together(list(by_place.values())), idle_watts)
    places = divide(whole, divided, by_place)
    assert math.fsum(place.energy.joules for place in places) == pytest.approx(drawn, rel=1e-9, abs=1e-9)
    for place in places:
        share = share_place(place, ROWS, (), N_ROWS)
        assert parts(share) == pytest.approx(place.energy.joules, rel=1e-9, abs=1e-9)
    assert [place.energy.path for place in places] == [*(each.uuid for each in divided), "GPU-a"]


def test_two_instances_are_apart() -> None:
    """A 3/7 that is busy for half of the time draws as much as a 1.5/7 that always is."""
    divided = [Instance("0.0", "MIG-a", 3 / 7), Instance("0.1", "MIG-b", 1.5 / 7)]
    ran = {
        "MIG-a": Activity(5.0, {A: 0.0}, busy_seconds=2.5),
        "MIG-b": Activity(5.0, {B: 0.0}, busy_seconds=5.0),
    }
    places = divide(place_of(1050.0, together(list(ran.values()))), divided, ran)
    one, other, rest = (share_place(place, ROWS, (), N_ROWS) for place in places)
    assert one.cgroup_joules.tolist() == pytest.approx([500.0, 0, 0, 0, 0])
    assert other.cgroup_joules.tolist() == pytest.approx([0, 500.0, 0, 0, 0])
    assert [one.idle_joules, other.idle_joules, rest.idle_joules] == pytest.approx(
        [50 * 3 / 7, 50 * 1.5 / 7, 50 * 2.5 / 7]
    )


def test_what_the_machine_slept_is_nobodys() -> None:
    energy = energy_of(300.0, 10.0, suspended=100.0)
    place = PlaceEnergy(energy, split_gpu(energy, Activity(5.0, {A: 1.0}), 1.0), Activity(5.0, {A: 1.0}))
    share = share_place(place, ROWS, (), N_ROWS)
    assert nobodys(share) == {"suspended": 100.0}
    assert parts(share) == 300.0


def test_the_floor_is_the_least_while_nobody_had_the_gpu() -> None:
    floor = IdleFloor()
    floor.learn(energy_of(50.0), Activity(5.0, {A: 0.0}, busy_seconds=0.0))
    assert floor.watts("GPU-a") is None
    floor.learn(energy_of(300.0), Activity(5.0))
    floor.learn(energy_of(125.0), Activity(5.0))
    floor.learn(energy_of(500.0), Activity(5.0))
    assert (floor.watts("GPU-a"), floor.method("GPU-a")) == (25.0, "unused")


def test_the_users_figure_is_the_floor() -> None:
    floor = IdleFloor(given=17.0)
    floor.learn(energy_of(125.0), Activity(5.0))
    assert (floor.watts("GPU-a"), floor.method("GPU-a")) == (17.0, "given")


def test_where_nobody_tells_of_processes_the_floor_is_the_least_of_all() -> None:
    floor = IdleFloor()
    for watts in (300.0, 40.0, 90.0):
        floor.learn(energy_of(5 * watts), Activity(5.0, untold_seconds=5.0), is_watched=False)
    assert (floor.watts("GPU-a"), floor.method("GPU-a")) == (40.0, "least")


def looks(*processes: Process) -> list[Look]:
    return [Look((), {"GPU-a": Activity(1.0, {process: 1.0})}) for process in processes]


def test_what_ran_before_a_gap_has_no_part_in_what_comes_after_it() -> None:
    spans = Spans()
    spans.add(looks(A, A, A, A, B, B, C))
    assert spans.processes == {A, B, C}
    assert set(spans.take("GPU-a", 2.6).busy) == {B, C}


def test_looks_and_ticks_need_not_fall_together() -> None:
    """In ticks of a second there may be two looks, one, or none."""
    spans = Spans()
    spans.add(looks(A, B))
    assert spans.take("GPU-a", 1.0).busy == {A: 1.0, B: 1.0}
    assert spans.take("GPU-a", 1.0).busy == {A: 1.0, B: 1.0}
    spans.add(looks(C))
    assert spans.take("GPU-a", 1.0).busy == {C: 1.0}
    assert [spans.take("GPU-a", 1.0).seconds for _ in range(6)] == [1.0] * 5 + [0.0]
