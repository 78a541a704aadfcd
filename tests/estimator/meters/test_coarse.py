from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.meters.coarse import CoarseCounter
from estimator.meters.port import ZoneReading

STEP = 36_000.0  # 0.01 kWh


def run(powers: list[float], *, wrong_by: float = 1.0, step: float = STEP) -> list[tuple[float, ZoneReading]]:
    """Ten seconds of each power, with a counter that shows whole steps: the truth beside each reading."""
    counter, truth, found = CoarseCounter("platform", "board"), 12_345.0, []
    for n, watts in enumerate(powers):
        truth += 10.0 * watts if n else 0.0
        counter.take(math.floor(truth / step) * step, step, watts * wrong_by, (n + 1) * 10_000_000_000)
        if reading := counter.reading():
            found.append((truth, reading))
    return found


@given(st.lists(st.floats(100.0, 900.0), min_size=2, max_size=200), st.floats(0.8, 1.25))
def test_it_is_never_a_step_off_and_never_goes_down_however_wrong_the_watts_are(
    powers: list[float], wrong_by: float
) -> None:
    found = run(powers, wrong_by=wrong_by)
    for truth, reading in found:
        assert abs(reading.energy_uj / 1e6 - truth) <= STEP + 1.0
    energies = [reading.energy_uj for _, reading in found]
    assert energies == sorted(energies)


def test_between_two_steps_it_goes_on_by_watts() -> None:
    found = run([300.0] * 12)
    energies = [reading.energy_uj / 1e6 for _, reading in found]
    assert [round(after - before) for before, after in pairwise(energies)][:6] == [3000] * 6


def test_over_a_day_it_is_as_exact_as_the_counter() -> None:
    found = run([400.0] * 8640, wrong_by=1.1)
    (_, first), (truth, last) = found[0], found[-1]
    assert abs((last.energy_uj - first.energy_uj) / 1e6 - (truth - 12_345.0)) / truth < 0.002


def test_without_watts_a_counter_that_stands_still_has_no_new_reading() -> None:
    counter = CoarseCounter("platform", "board")
    shown = [0.0, 0.0, 0.0, STEP, STEP, 2 * STEP]
    told = []
    for n, joules in enumerate(shown):
        counter.take(joules, STEP, None, (n + 1) * 10**9)
        told.append(counter.reading())
    assert [reading and reading.energy_uj / 1e6 for reading in told] == [
        0.0,
        None,
        None,
        STEP,
        None,
        2 * STEP,
    ]
    assert told[-1] is not None
    assert told[-1].spread_uj / 1e6 == 2 * STEP


@pytest.mark.parametrize(("step", "can_be_resumed"), [(3_600.0, True), (36_000.0, False)])
def test_only_of_a_fine_counter_another_process_goes_on(step: float, *, can_be_resumed: bool) -> None:
    assert run([300.0, 300.0], step=step)[0][1].can_be_resumed == can_be_resumed


def test_a_counter_that_is_set_back_is_followed_down() -> None:
    counter = CoarseCounter("platform", "board")
    counter.take(10 * STEP, STEP, 300.0, 10**9)
    counter.take(0.0, STEP, 300.0, 11 * 10**9)
    reading = counter.reading()
    assert reading is not None
    assert reading.energy_uj == 0
