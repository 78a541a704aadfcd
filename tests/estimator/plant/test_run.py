"""The harness leaves nothing out, and its figures are what they are called."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from estimator.calibration.place import NO_METHOD, RESTORED
from estimator.energy import ZoneEnergy
from tests.estimator import physics
from tests.estimator.plant import INTERVAL_SECONDS, ZONES, Physics, Plant, draw_size
from tests.estimator.plant.faults import NO_FAULTS, Faults
from tests.estimator.plant.run import NO_HOOKS, Hooks, Run, run
from tests.estimator.plant.scenarios import SCENARIOS, TEN_MINUTES, enact

N_TICKS = 150
TICKS = [tick for plant in [Plant(0, n_ticks=N_TICKS)] for tick in [plant.advance() for _ in range(N_TICKS)]]


def go(hooks: Hooks = NO_HOOKS, faults: Faults = NO_FAULTS) -> Run:
    return run(Plant(0, n_ticks=N_TICKS), TICKS, faults, hooks)


@pytest.fixture(scope="module")
def plain() -> Run:
    return go()


def test_found_active_and_idle_joules_are_the_meter_s(plain: Run) -> None:
    assert plain.conservation_error <= 1e-9
    for zone in ZONES:
        drawn = sum(tick.true_joules[zone].sum() + tick.true_idle[zone].sum() for tick in TICKS[1:])
        found = plain.found[zone].sum() + plain.idle_watts[zone][1:].sum() * INTERVAL_SECONDS
        assert found == pytest.approx(drawn, rel=0.003)


def test_truth_is_the_machine_s(plain: Run) -> None:
    for zone in ZONES:
        assert plain.true[zone][7] == pytest.approx(TICKS[7].true_joules[zone].sum(axis=1))
        assert plain.true_idle_watts[zone][7] * INTERVAL_SECONDS == pytest.approx(TICKS[7].true_idle[zone])
        assert (plain.true[zone][0] == 0).all()


def test_the_figures_are_what_they_are_called(plain: Run) -> None:
    true = np.zeros((4, 3))
    true[1:] = [10.0, 20.0, 0.1]
    found = true * [1.5, 0.9, 7.0]
    zones = {"package": found}
    known = replace(plain, found=zones, true={"package": true})
    assert known.error("package", 1) == pytest.approx((5 + 2 + 0.6) / 30.1)
    assert known.worst("package", 1) == pytest.approx(0.5)  # the last container draws next to nothing
    assert known.level("package", 1) == pytest.approx((15 + 18 + 0.7) / 30.1 - 1)
    assert known.by_tick("package", 1) == pytest.approx(known.error("package", 1))
    exact = replace(known, found={"package": true})
    assert exact.error("package", 1) == exact.worst("package", 1) == 0
    assert exact.moved(known, "package", 1) == pytest.approx(known.error("package", 1))


def test_what_is_in_force_and_how_idle_was_told_apart_is_there_tick_by_tick(plain: Run) -> None:
    assert len(plain.statuses) == len(plain.methods) == N_TICKS
    assert {status.method for status in plain.statuses[1]} == {NO_METHOD}
    assert NO_METHOD not in {status.method for status in plain.statuses[-1]}
    assert plain.methods[0] == {}
    assert set(plain.methods[-1]) == {(zone, socket) for zone in ZONES for socket in (0, 1)}


def test_what_calibration_told_is_compared_with_the_tick_that_came_after(plain: Run) -> None:
    told = plain.told("package", lambda status: status.fit.idle_watts if status.fit else np.nan)
    last = [status for status in plain.statuses[-2] if status.zone == "package"]
    assert [status.fit.idle_watts for status in last if status.fit] == told[-1].tolist()
    assert np.isnan(told[:2]).all()
    true = plain.true_idle_watts["package"]
    assert plain.held("package", 0.9 * true, 1.1 * true) == 1.0
    assert plain.held("package", true + 0.1 * np.array([1, -1]), true + 1) == 0.5
    assert plain.held("package", np.full_like(true, np.nan), true) == 0.0


def test_a_restart_goes_on_from_the_file() -> None:
    restarted = go(Hooks(restarts=[120]))
    assert {status.method for status in restarted.statuses[120]} == {RESTORED}
    assert np.isfinite(restarted.idle_watts["package"][1:]).all()


def test_idle_power_that_is_given_is_taken() -> None:
    told: dict[tuple[str, int | None], float] = {(zone, socket): 5.0 for zone in ZONES for socket in (0, 1)}
    found = go(Hooks(given=told)).idle_watts
    assert all(watts[1:] == pytest.approx(5.0) for watts in found.values())


def test_energies_pass_through_the_hook() -> None:
    def dead(tick: int, measured: list[ZoneEnergy]) -> list[ZoneEnergy]:
        return [each for each in measured if tick < 100 or each.socket == 0]

    found = go(Hooks(energies=dead)).idle_watts["package"]
    assert np.isnan(found[100:, 1]).all()
    assert np.isfinite(found[100:, 0]).all()


def test_lost_readings_cost_no_joule() -> None:
    faulty, whole = go(faults=Faults(lost=0.1)), go()
    assert faulty.conservation_error <= 1e-9
    assert faulty.found["package"].sum() == pytest.approx(whole.found["package"].sum(), rel=0.05)


def test_the_machine_s_pmu_may_be_missing() -> None:
    plant = Plant(0, n_ticks=N_TICKS, physics=Physics(available=frozenset({"cpu_ns", "switches"})))
    found = run(plant, [plant.advance() for _ in range(N_TICKS)])
    assert found.conservation_error <= 1e-9
    fits = [status.fit for status in found.statuses[-1]]
    assert all(fit is None or fit.coefficients["cycles"] == 0 for fit in fits)


def test_every_scenario_can_be_drawn_from_any_seed() -> None:
    for scenario in SCENARIOS.values():
        for seed in range(3):
            plant = Plant(
                seed, scenario.n_containers or draw_size(seed), scenario.n_ticks, scenario.physics(seed)
            )
            assert plant.advance().true_joules["package"].sum() > 0
            assert scenario.after < scenario.n_ticks


def test_a_glitch_is_compared_with_the_same_run_without_it() -> None:
    outcome = enact(replace(SCENARIOS["one reading x 0.01"], n_ticks=450), 0)
    assert outcome.without is not None
    for zone in ZONES:
        before = slice(0, outcome.since - TEN_MINUTES)
        assert (outcome.run.found[zone][before] == outcome.without.found[zone][before]).all()
        assert (outcome.run.true[zone] == outcome.without.true[zone]).all()


def test_the_table_has_a_row_a_zone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenarios = {"brief": replace(SCENARIOS["plain"], n_ticks=90)}
    monkeypatch.setattr(physics, "SCENARIOS", scenarios)
    assert physics.main(["--seeds", "2"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    outcomes = [enact(scenarios["brief"], seed) for seed in range(2)]
    mean, most = (
        100 * judge([outcome.run.error("package", 60) for outcome in outcomes]) for judge in (np.mean, np.max)
    )
    assert header.split()[:6] == ["scenario", "zone", "error", "%", "most", "%"]
    assert [row.split()[:2] for row in rows] == [["brief", zone] for zone in ZONES]
    assert rows[0].split()[2:4] == [f"{mean:.1f}", f"{most:.1f}"]


def test_an_unknown_scenario_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert physics.main(["no such thing"]) == 2
    assert "no such scenario: no such thing" in capsys.readouterr().err
