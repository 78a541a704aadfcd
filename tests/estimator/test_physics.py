"""The estimator on machines of known joules: what each physics may cost, and how idle power is known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.estimator.physics import WANTED
from tests.estimator.plant.scenarios import Outcome, play

SEEDS = range(6)
SHORT = ("plain", "package sleeps", "SMT", "clock by core", "all three")
WORST = 0.16  # of the containers of more than a tenth of the mean


@cache
def played(name: str) -> list[Outcome]:
    return [play(name, seed) for seed in SEEDS]


def error(name: str, zone: str) -> float:
    """The mean over the seeds."""
    return float(np.mean([outcome.run.error(zone, outcome.since) for outcome in played(name)]))


@pytest.mark.parametrize("name", SHORT)
def test_each_physics_costs_no_more_than_this(name: str) -> None:
    assert error(name, "package") <= WANTED[name]
    assert error(name, "dram") <= 2 * WANTED[name]


def test_the_worst_container_under_all_of_them_is_bounded() -> None:
    worst = [outcome.run.worst("package", outcome.since) for outcome in played("all three")]
    assert np.mean(worst) <= WORST


def test_a_machine_that_never_idles_says_so_and_its_bounds_hold_the_truth() -> None:
    outcome = play("never idles", SEEDS[0])
    statuses = outcome.run.statuses[outcome.since :]
    found = [status.idle for tick in statuses for status in tick if status.zone == "package"]
    true = outcome.run.true_idle_watts["package"][outcome.since :].ravel()
    held = [idle.low_watts <= watts <= idle.high_watts for idle, watts in zip(found, true, strict=True)]
    assert np.mean(held) >= 0.9
    assert {idle.method for idle in found[len(found) // 2 :]} == {"not_seen"}


def test_a_socket_that_idles_now_and_then_is_anchored() -> None:
    for outcome in played("package sleeps"):
        last = outcome.run.statuses[-1]
        assert {status.idle.method for status in last if status.zone == "package"} == {"anchored"}


def test_one_low_reading_of_a_quiet_machine_moves_next_to_nothing() -> None:
    outcome = play("one reading x 0.01", SEEDS[0])
    assert outcome.without is not None
    assert abs(outcome.run.moved(outcome.without, "package", outcome.since)) <= 0.02


def test_no_socket_of_four_goes_by_the_usage_ratio_after_an_hour() -> None:
    """Two are alike, and one never idles."""
    outcome = play("four sockets", SEEDS[0])
    methods = [method for tick in outcome.run.methods[outcome.since :] for method in tick.values()]
    assert methods
    assert "usage_ratio" not in methods


def test_each_physics_is_conserved() -> None:
    assert max(each.run.conservation_error for name in SHORT for each in played(name)) <= 1e-9
