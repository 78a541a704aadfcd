"""Machines by name, each drawn from a seed: what the estimator is held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from tests.estimator.plant.faults import Faults, Glitch, quietest
from tests.estimator.plant.physics import Load, Physics, Step, draw, draw_any, draw_four_sockets, draw_size
from tests.estimator.plant.plant import INTERVAL_SECONDS, Plant, PlantTick
from tests.estimator.plant.run import Given, Hooks, Run, run

SETTLED, N_TICKS = 60, 780
TEN_MINUTES, AN_HOUR = 120, 720

NOW_AND_THEN = Load(pause_every=90)
SPARSE = Load(sparse=True)
NEVER = Load(steady=8)
_STEP_TICK = 400
_GLITCH_WINDOW = (240, 420)
_RESTART_AFTER = 12


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row: a machine, what happens to it, and from which tick on it counts.

    physics: of a seed. n_containers: 0 for as many as the seed says. glitch: factor of the one reading that
    is wrong; catches_up: as Glitch. restarts: soon after it. idle_known: the user's idle power is within this
    share of the truth. late, lost: as Faults. after: ticks that it has after the glitch, or the start, before
    it counts.
    """

    physics: Callable[[int], Physics]
    n_containers: int = 30
    n_ticks: int = N_TICKS
    glitch: float | None = None
    catches_up: bool = False
    restarts: bool = False
    idle_known: float | None = None
    late: float = 0.0
    lost: float = 0.0
    after: int = SETTLED


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run, and the tick from which it counts; without: the same with a meter that did not lie."""

    run: Run
    since: int
    without: Run | None = None


def _all_three(load: Load) -> Callable[[int], Physics]:
    return lambda seed: draw(seed, siblings=True, clocks=True, sleeps=True, load=load)


def _stepping(seed: int) -> Physics:
    steps = (Step(_STEP_TICK, "package", 26.0), Step(_STEP_TICK, "dram", 4.0))
    return draw(seed, load=NOW_AND_THEN, steps=steps)


def _everything(seed: int) -> Physics:
    return draw(
        seed, siblings=True, clocks=True, sleeps=True, efficiency_cores=True, load=NOW_AND_THEN, drift=0.05
    )


def _glitches() -> dict[str, Scenario]:
    rows = {}
    for factor in (0.5, 0.1, 0.01, 2.0):
        row = Scenario(
            lambda seed: draw(seed, load=NOW_AND_THEN),
            glitch=factor,
            n_ticks=AN_HOUR + 240,
            after=TEN_MINUTES,
        )
        rows[f"one reading x {factor:g}"] = row
        rows[f"one reading x {factor:g}, caught up"] = replace(row, catches_up=True)
        rows[f"one reading x {factor:g}, then a restart"] = replace(row, restarts=True)
    return rows


SCENARIOS: Mapping[str, Scenario] = {
    "plain": Scenario(draw),
    "never idles": Scenario(lambda seed: draw(seed, load=NEVER)),
    "never idles, idle known": Scenario(lambda seed: draw(seed, load=NEVER), idle_known=0.15),
    "package sleeps": Scenario(lambda seed: draw(seed, sleeps=True, load=NOW_AND_THEN)),
    "package sleeps, next to no load": Scenario(lambda seed: draw(seed, sleeps=True, load=SPARSE)),
    "package sleeps, but is never let": Scenario(lambda seed: draw(seed, sleeps=True)),
    "SMT": Scenario(lambda seed: draw(seed, siblings=True)),
    "clock by core": Scenario(lambda seed: draw(seed, clocks=True)),
    "all three": Scenario(_all_three(NOW_AND_THEN)),
    "all three, next to no load": Scenario(_all_three(SPARSE)),
    "all three, never let sleep": Scenario(_all_three(Load())),
    **_glitches(),
    "idle + 26 W": Scenario(_stepping, n_ticks=_STEP_TICK + 2 * AN_HOUR, after=_STEP_TICK + AN_HOUR),
    "idle drifts": Scenario(lambda seed: draw(seed, load=NOW_AND_THEN, drift=0.1), n_ticks=2 * AN_HOUR),
    "four sockets": Scenario(draw_four_sockets, n_containers=60, n_ticks=2 * AN_HOUR, after=AN_HOUR),
    "hybrid cores": Scenario(lambda seed: draw(seed, efficiency_cores=True)),
    "late and lost": Scenario(draw, late=0.2, lost=0.05),
    "everything": Scenario(_everything, late=0.1, lost=0.02),
    "any machine": Scenario(draw_any, n_containers=0),
}


def play(name: str, seed: int) -> Outcome:
    """The scenario of this name with one seed."""
    return enact(SCENARIOS[name], seed)


def enact(scenario: Scenario, seed: int) -> Outcome:
    """One scenario with one seed."""
    n_ticks = scenario.n_ticks + 1  # so that not all have left in the last one
    n_containers = scenario.n_containers or draw_size(seed)
    plant = Plant(seed, n_containers, n_ticks, scenario.physics(seed))
    ticks = [plant.advance() for _ in range(scenario.n_ticks)]
    faults = Faults(late=scenario.late, lost=scenario.lost, seed=seed)
    hooks = Hooks(given=_given(scenario, seed, ticks[0]))
    since = scenario.after
    if scenario.glitch is not None:
        at = quietest([tick.readings for tick in ticks], *_GLITCH_WINDOW)
        faults = replace(faults, glitches=[Glitch(at, scenario.glitch, scenario.catches_up)])
        hooks = replace(hooks, restarts=[at + _RESTART_AFTER] if scenario.restarts else [])
        since += at
    without = run(plant, ticks, hooks=hooks) if faults.glitches else None
    return Outcome(run(plant, ticks, faults, hooks), since, without)


def _given(scenario: Scenario, seed: int, tick: PlantTick) -> Given:
    """What a user read off a power meter once, and not quite right."""
    if scenario.idle_known is None:
        return {}
    rng, within = np.random.default_rng([seed, 15]), scenario.idle_known
    return {
        (zone, socket): float(joules / INTERVAL_SECONDS * rng.uniform(1 - within, 1 + within))
        for zone, by_socket in tick.true_idle.items()
        for socket, joules in enumerate(by_socket)
    }
