"""The machine is what it says: each physics does its own, and not a joule is out of place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ebpf.counters import CPU_NS, CYCLES, INSTRUCTIONS, SHARED_CYCLES, SHARED_NS
from estimator.energy import FloatArray
from tests.estimator.plant import (
    CPUS_PER_SOCKET,
    INTERVAL_SECONDS,
    MAX_ENERGY_UJ,
    PLAIN,
    ZONES,
    Load,
    Physics,
    Plant,
    PlantTick,
    Step,
    draw,
    draw_any,
    draw_four_sockets,
    draw_size,
)

PAUSES = Load(pause_every=30)
EVERYTHING = Physics(
    n_sockets=3,
    smt_gain=1.25,
    own_cores=0.5,
    own_clocks=True,
    wake_watts=20.0,
    efficiency_cores=True,
    idle_factors=(1.0, 1.0, 1.3),
    cost_factors=(1.0, 1.0, 0.8),
    steps=(Step(50, "package", 26.0),),
    drift=0.1,
    load=PAUSES,
)


def run(physics: Physics = PLAIN, seed: int = 0, n: int = 30, ticks: int = 120) -> list[PlantTick]:
    plant = Plant(seed, n, ticks + 1, physics)
    return [plant.advance() for _ in range(ticks)]


def full(physics: Physics, seed: int = 0) -> Plant:
    """Every thread of one socket is busy all the time, and memory is out of the way."""
    plant = Plant(seed, 40, 120, replace(physics, n_sockets=1))
    ones = np.ones(40)
    plant.characters = replace(
        plant.characters, cpus=ones, on=1e9 * ones, off=ones, first=0 * ones, last=1e9 * ones, misses=0 * ones
    )
    for _ in range(5):
        plant.advance()
    return plant


def total(ticks: list[PlantTick], what: str) -> FloatArray:
    return np.asarray(np.sum([getattr(tick.work, what) for tick in ticks], axis=0))


def counted(ticks: list[PlantTick], field: int) -> FloatArray:
    """By container that is there all the time, from the first tick to the last."""
    first, last = ticks[0].snapshot, ticks[-1].snapshot
    both = np.intersect1d(first.cgroup_id, last.cgroup_id)
    ends = [
        snapshot.values[np.searchsorted(snapshot.cgroup_id, both)].astype(float) for snapshot in (first, last)
    ]
    return np.asarray((ends[1] - ends[0])[:, :, field].sum(axis=1))


@pytest.mark.parametrize("physics", [PLAIN, EVERYTHING], ids=["plain", "everything"])
def test_the_meter_goes_up_by_what_is_true(physics: Physics) -> None:
    ticks = run(physics)
    for index, before in enumerate(ticks[0].readings):
        of_counter = [tick.readings[index] for tick in ticks]
        steps = np.diff([reading.energy_uj for reading in of_counter]) % (MAX_ENERGY_UJ + 1) / 1e6
        zone, socket = before.zone, before.socket
        true = [tick.true_joules[zone][:, socket].sum() + tick.true_idle[zone][socket] for tick in ticks[1:]]
        assert steps == pytest.approx(true, rel=0.03)
        assert steps.sum() == pytest.approx(sum(true), rel=0.003)


@pytest.mark.parametrize("physics", [PLAIN, EVERYTHING], ids=["plain", "everything"])
def test_the_counters_go_up_by_what_was_done(physics: Physics) -> None:
    ticks = run(physics)
    there = np.intersect1d(ticks[0].snapshot.cgroup_id, ticks[-1].snapshot.cgroup_id).astype(int) - 2
    for field, what, scale in (
        (CPU_NS, "cpu_seconds", 1e9),
        (CYCLES, "cycles", 1.0),
        (INSTRUCTIONS, "instructions", 1.0),
    ):
        done = total(ticks[1:], what)[there].sum(axis=1) * scale
        assert counted(ticks, field) == pytest.approx(done, rel=0.002, abs=1e3)


@pytest.mark.parametrize("physics", [PLAIN, EVERYTHING], ids=["plain", "everything"])
def test_nothing_is_negative_and_no_socket_runs_more_than_its_cpus(physics: Physics) -> None:
    columns = CPUS_PER_SOCKET / (2 if physics.efficiency_cores else 1)
    for tick in run(physics):
        assert all((joules >= 0).all() for joules in tick.true_joules.values())
        assert (tick.work.cpu_seconds.sum(axis=0) <= columns * INTERVAL_SECONDS * (1 + 1e-9)).all()
        assert ((tick.work.awake >= 0) & (tick.work.awake <= 1)).all()
        assert ((tick.work.shared >= 0) & (tick.work.shared <= 1)).all()


@pytest.mark.parametrize("physics", [PLAIN, EVERYTHING], ids=["plain", "everything"])
def test_the_same_seed_is_the_same_run_and_another_is_another(physics: Physics) -> None:
    one, same, other = run(physics, 3, ticks=20), run(physics, 3, ticks=20), run(physics, 4, ticks=20)
    assert [tick.readings for tick in one] == [tick.readings for tick in same]
    assert (one[-1].snapshot.values == same[-1].snapshot.values).all()
    assert one[-1].snapshot.awake_ns == same[-1].snapshot.awake_ns
    assert [tick.readings for tick in one] != [tick.readings for tick in other]


@pytest.mark.parametrize("gain", [1.15, 1.35])
def test_two_threads_of_a_core_do_so_many_times_the_work_of_one(gain: float) -> None:
    alone, together = full(Physics()).advance(), full(Physics(smt_gain=gain)).advance()
    assert together.work.shared == pytest.approx(1.0)
    assert together.work.cycles == pytest.approx(alone.work.cycles)
    assert together.work.instructions.sum() == pytest.approx(gain / 2 * alone.work.instructions.sum())


def test_two_threads_pay_together_for_what_a_core_spends_once() -> None:
    alone, together = full(Physics()).advance(), full(Physics(smt_gain=2.0)).advance()
    drawn = [tick.true_joules["package"].sum() for tick in (alone, together)]
    assert 0.5 < drawn[1] / drawn[0] < 0.9  # the same work, but half of the leakage and clock


def test_owners_of_whole_cores_meet_nobody_and_the_others_do() -> None:
    plant = Plant(1, 30, 120, Physics(smt_gain=1.2, own_cores=0.5, idle_cores_first=0.0))
    shared = total([plant.advance() for _ in range(60)], "shared").sum(axis=1)
    owns = plant.characters.owns_cores
    assert 8 <= owns.sum() <= 22
    assert (shared[owns] == 0).all()
    assert (shared[~owns] > 0).all()


def test_a_scheduler_that_prefers_idle_cores_lets_threads_meet_less() -> None:
    pinned, scheduled = (
        total(run(Physics(smt_gain=1.2, idle_cores_first=first)), "shared").mean() for first in (0.0, 1.0)
    )
    assert scheduled < 0.6 * pinned


def test_shared_time_is_counted_to_a_fifth_of_a_point() -> None:
    ticks = run(Physics(smt_gain=1.2, own_cores=0.5, idle_cores_first=0.0))
    there = np.intersect1d(ticks[0].snapshot.cgroup_id, ticks[-1].snapshot.cgroup_id).astype(int) - 2
    work = [tick.work for tick in ticks[1:]]
    cpu_ns, cycles = counted(ticks, CPU_NS), counted(ticks, CYCLES)
    ran = cpu_ns > 0
    for field, whole, unit in ((SHARED_NS, cpu_ns, "cpu_seconds"), (SHARED_CYCLES, cycles, "cycles")):
        done = np.sum([getattr(each, unit) for each in work], axis=0)[there].sum(axis=1)
        shared = np.sum([getattr(each, unit) * each.shared for each in work], axis=0)[there].sum(axis=1)
        assert (counted(ticks, field)[ran] / whole[ran]) == pytest.approx(shared[ran] / done[ran], abs=0.002)
    assert (counted(run(), SHARED_NS) == 0).all()


def test_cores_of_their_own_clock_keep_it_and_it_shows_in_the_counters() -> None:
    plant = Plant(0, 30, 120, Physics(own_clocks=True))
    ticks = [plant.advance() for _ in range(120)]
    own = plant.characters.own_ghz
    assert own.min() < 1.6
    assert own.max() > 3.2
    ghz = np.stack([tick.work.ghz[:, 0] for tick in ticks])
    assert ghz.mean(axis=0) == pytest.approx(own, rel=0.1)
    assert 0.02 < (ghz.std(axis=0) / own).mean() < 0.15
    cycles, ns = counted(ticks, CYCLES), counted(ticks, CPU_NS)
    there = np.intersect1d(ticks[0].snapshot.cgroup_id, ticks[-1].snapshot.cgroup_id).astype(int) - 2
    assert cycles[ns > 0] / ns[ns > 0] == pytest.approx(own[there][ns > 0], rel=0.2)


def test_a_cycle_costs_more_at_a_higher_clock() -> None:
    plant = full(Physics(own_clocks=True))
    plant.characters = replace(plant.characters, cost=np.ones(40), ipc=np.ones(40))
    tick = plant.advance()
    per_cycle = tick.true_joules["package"][:, 0] / tick.work.cycles[:, 0]
    slow, fast = np.argmin(plant.characters.own_ghz), np.argmax(plant.characters.own_ghz)
    leakage = 0.9 * 1.0 / (plant.characters.own_ghz * 1e9)  # its share falls with the clock
    assert (per_cycle - leakage)[fast] > 1.4 * (per_cycle - leakage)[slow]


@pytest.mark.parametrize("watts", [5.0, 40.0])
def test_waking_costs_what_it_says_while_some_cpu_is_busy_and_those_who_kept_it_awake_pay(
    watts: float,
) -> None:
    asleep, awake = run(), run(Physics(wake_watts=watts))
    for without, tick in zip(asleep, awake, strict=True):
        expected = watts * tick.work.awake * INTERVAL_SECONDS
        assert tick.true_waking.sum(axis=0) == pytest.approx(expected)
        used = tick.work.cpu_seconds
        assert (tick.true_waking[used == 0] == 0).all()
        assert tick.true_waking * used.sum(axis=0) == pytest.approx(tick.true_waking.sum(axis=0) * used)
        without_it = tick.true_joules["package"] - tick.true_waking
        # But for the warmth of it.
        assert without_it == pytest.approx(without.true_joules["package"], rel=0.1)
        assert tick.true_joules["dram"] == pytest.approx(without.true_joules["dram"])


def test_a_load_now_and_then_lets_the_socket_sleep_part_of_the_time_and_a_steady_one_never() -> None:
    sparse = np.array([tick.work.awake for tick in run(Physics(load=Load(sparse=True)))])
    assert 0.1 < sparse.mean() < 0.7
    assert 0 < sparse.min() < 0.2
    assert sparse.max() > 0.8
    steady = np.array([tick.work.awake for tick in run(Physics(load=Load(steady=8)))])
    assert steady[5:].min() > 0.9


def test_awake_time_is_counted_by_socket_to_a_percent_and_never_goes_down() -> None:
    ticks = run(Physics(load=Load(sparse=True)))
    counts = np.array([[tick.snapshot.awake_ns[socket] for socket in (0, 1)] for tick in ticks])
    steps = np.diff(counts, axis=0) / 1e9
    true = np.array([tick.work.awake for tick in ticks[1:]]) * INTERVAL_SECONDS
    assert (steps >= 0).all()
    assert (steps <= INTERVAL_SECONDS + 1e-9).all()
    assert steps == pytest.approx(true, rel=0.05)
    assert steps.sum(axis=0) == pytest.approx(true.sum(axis=0), rel=0.005)


def test_pauses_idle_the_machine_but_for_those_that_never_rest() -> None:
    busy = np.array([tick.work.cpu_seconds.sum(axis=0) for tick in run(Physics(load=PAUSES), ticks=300)])
    paused = busy.sum(axis=1) < 0.01 * busy.sum(axis=1).mean()
    assert 0.05 < paused.mean() < 0.5
    held = replace(PAUSES, steady=4, on_socket=1)
    busy = np.array([tick.work.cpu_seconds.sum(axis=0) for tick in run(Physics(load=held), ticks=300)])
    assert (busy[5:, 1] > 2 * INTERVAL_SECONDS).all()
    assert busy[:, 0].min() < 0.05 * busy[:, 0].mean()


def test_slower_cores_do_less_for_less() -> None:
    plant = Plant(0, 30, 120, Physics(efficiency_cores=True))
    assert plant.socket_of_cpu == (0, 0, 1, 1)
    work = plant.advance().work
    ghz, per_cycle = work.ghz, work.instructions / np.maximum(work.cycles, 1e-9)
    assert ghz[:, 1] == pytest.approx(0.7 * ghz[:, 0])
    ran = (work.cycles > 0).all(axis=1)
    assert (per_cycle[ran, 1] < 0.8 * per_cycle[ran, 0]).all()
    fast, thrifty = (_all_on(share) for share in (0.0, 1.0))
    assert thrifty < 0.6 * fast


def _all_on(efficiency: float) -> float:
    """Joules an instruction with all work on one kind of cores."""
    plant = Plant(0, 30, 120, Physics(efficiency_cores=True))
    plant.characters = replace(plant.characters, on_efficiency=np.full(30, efficiency), misses=np.zeros(30))
    tick = plant.advance()
    return float(tick.true_joules["package"].sum() / tick.work.instructions.sum())


def test_idle_power_steps_at_its_tick_and_drifts_by_its_share_an_hour() -> None:
    plain, stepped = run(), run(Physics(steps=(Step(60, "package", 26.0),)))
    rise = [
        (tick.true_idle["package"] - before.true_idle["package"]) / INTERVAL_SECONDS
        for before, tick in zip(plain, stepped, strict=True)
    ]
    assert rise[58] == pytest.approx([0.0, 0.0])
    assert rise[59] == pytest.approx([26.0, 26.0])
    drifted = run(Physics(drift=0.6))[-1].true_idle
    for zone in ZONES:
        assert drifted[zone] == pytest.approx(1.1 * plain[-1].true_idle[zone])  # in ten minutes


def test_of_four_sockets_two_are_alike_and_two_are_not() -> None:
    physics = draw_four_sockets(0)
    tick = Plant(0, 60, 120, physics).advance()
    assert tick.true_idle["package"].shape == (4,)
    first, twin, *others = tick.true_idle["package"]
    assert first == twin
    assert len({first, *others}) == 3
    assert physics.cost_factors[0] == physics.cost_factors[1] != physics.cost_factors[2]


def test_a_dearer_socket_costs_so_much_more() -> None:
    usual, dear = run(), run(Physics(cost_factors=(1.0, 1.2)))
    ratio = dear[0].true_joules["package"].sum(axis=0) / usual[0].true_joules["package"].sum(axis=0)
    assert ratio == pytest.approx([1.0, 1.2])


def test_what_is_drawn_is_spread_over_its_range() -> None:
    drawn = [draw(seed, siblings=True, sleeps=True) for seed in range(50)]
    gains, watts = [each.smt_gain or 0.0 for each in drawn], [each.wake_watts for each in drawn]
    assert 1.15 <= min(gains) < 1.2 < 1.3 < max(gains) <= 1.35
    assert 5 <= min(watts) < 10 < 35 < max(watts) <= 40
    assert abs(np.corrcoef(gains, watts)[0, 1]) < 0.4


def test_any_machine_is_of_any_size_and_kind() -> None:
    machines = [draw_any(seed) for seed in range(60)]
    assert {machine.n_sockets for machine in machines} == {1, 2, 3, 4}
    sizes = [draw_size(seed) for seed in range(60)]
    assert 8 <= min(sizes) < 15
    assert 80 < max(sizes) <= 120
    kinds = {
        (machine.smt_gain is None, machine.own_clocks, machine.wake_watts > 0, machine.efficiency_cores)
        for machine in machines
    }
    assert len(kinds) >= 12


@pytest.mark.parametrize("seed", range(6))
def test_any_machine_s_meter_goes_up_by_what_is_true(seed: int) -> None:
    ticks = run(draw_any(seed), seed, draw_size(seed), ticks=60)
    drawn = sum(tick.true_joules["package"].sum() + tick.true_idle["package"].sum() for tick in ticks[1:])
    ends = [[reading.energy_uj for reading in tick.readings if reading.zone == "package"] for tick in ticks]
    assert (np.diff(ends, axis=0) % (MAX_ENERGY_UJ + 1)).sum() / 1e6 == pytest.approx(drawn, rel=0.003)
