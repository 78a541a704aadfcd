from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.attribution.wall import MOST_FILLED_SECONDS, WallFill, WallModel
from estimator.energy import ZoneEnergy

TICK = 5.0


def told(joules: float, seconds: float, end: float) -> ZoneEnergy:
    return ZoneEnergy(
        "platform", None, "redfish/b/1", joules, seconds, None, joules, joules, end_ns=round(end * 1e9)
    )


class Machine:
    """A wall that draws base + slope · within, behind a counter that is read now and then, and its fill.

    given: what each tick was given; truth: what was drawn since the first reading, by tick.
    """

    def __init__(self, within: Callable[[float], float], *, base: float = 60.0, slope: float = 1.15) -> None:
        self.within, self.base, self.slope = within, base, slope
        self.now = self.counted_until = 100.0
        self.fill = WallFill(told(0.0, 0.0, self.now))
        self.drawn = self.counted = self.sum = 0.0
        self.given: list[ZoneEnergy | None] = []
        self.truth: list[float] = []

    def tick(self, *, read: bool = False, seconds: float = TICK) -> None:
        self.now += seconds
        within = self.within(self.now) * seconds
        self.drawn += self.base * seconds + self.slope * within
        self.truth.append(self.drawn)
        self.fill.add(self.now, seconds, within)
        if read:
            self.fill.tell(told(self.drawn - self.counted, self.now - self.counted_until, self.now))
            self.counted, self.counted_until = self.drawn, self.now
        given = self.fill.give(self.now)
        self.sum += given.joules if given else 0.0
        self.given.append(given)


def wave(seconds: float) -> float:
    return 150.0 + 100.0 * math.sin(seconds / 37.0) + (80.0 if seconds % 200 < 60 else 0.0)


def test_minutes_between_two_readings_are_filled_truly_once_the_wall_is_learned() -> None:
    machine = Machine(wave)
    for n in range(1, 721):  # an hour
        machine.tick(read=n % 12 == 0)
    last = list(zip(machine.given, machine.truth, strict=True))[-240:]
    for (_, before), (filled, truth) in pairwise(last):
        assert filled is not None
        assert abs(filled.joules - (truth - before)) <= 0.02 * (truth - before)
    assert machine.fill.model.slope == pytest.approx(1.15, abs=0.01)
    assert machine.fill.model.base_watts == pytest.approx(60.0, abs=2.0)


def test_at_each_reading_the_sum_is_what_the_counter_says() -> None:
    machine = Machine(wave)
    for n in range(1, 121):
        machine.tick(read=n % 6 == 0)
        if n % 6 == 0:
            assert machine.sum == pytest.approx(machine.drawn, rel=1e-9)


@given(
    st.lists(st.tuples(st.floats(0.0, 900.0), st.booleans()), min_size=1, max_size=120),
    st.floats(0.0, 300.0),
    st.floats(0.6, 2.0),
)
def test_whatever_the_load_does_nothing_is_given_twice_and_nothing_taken_back(
    ticks: list[tuple[float, bool]], base: float, slope: float
) -> None:
    loads = iter([watts for watts, _ in ticks])
    machine = Machine(lambda _: next(loads), base=base, slope=slope)
    for n, (_, read) in enumerate(ticks):
        machine.tick(read=read)
        given = machine.given[n]
        assert given is None or given.joules >= 0.0
        if read:
            # what was given too much before is what comes later less: never is less given than was counted
            assert machine.sum >= machine.counted * (1 - 1e-9) - 1e-6
    ahead = machine.sum - machine.counted
    assert machine.fill.ahead_joules == pytest.approx(ahead, abs=1e-6 + 1e-9 * machine.sum)


def test_before_anything_is_learned_the_wall_draws_what_is_drawn_within() -> None:
    machine = Machine(lambda _: 100.0)
    for _ in range(3):
        machine.tick()
    assert [given and given.joules for given in machine.given] == [500.0] * 3
    machine.tick(read=True)
    assert machine.sum == pytest.approx(machine.drawn)


def test_a_board_that_is_silent_is_not_filled_for_ever_and_what_it_counted_is_told_once_it_answers() -> None:
    machine = Machine(lambda _: 100.0)
    for n in range(1, 13):
        machine.tick(read=n % 2 == 0)
    for _ in range(120):
        machine.tick()
    filled = [given for given in machine.given[12:] if given is not None]
    assert len(filled) == MOST_FILLED_SECONDS / TICK
    machine.tick(read=True)
    assert machine.sum == pytest.approx(machine.drawn)
    last = machine.given[-1]
    assert last is not None
    assert last.interval_seconds == pytest.approx(61 * TICK)


def test_what_was_filled_over_a_gap_stays_and_nothing_is_given_twice_after_it() -> None:
    machine = Machine(lambda _: 100.0)
    for n in range(1, 13):
        machine.tick(read=n % 2 == 0)
    for _ in range(4):
        machine.tick()
    machine.counted, machine.counted_until = machine.drawn, machine.now  # a first reading: it tells no energy
    for n in range(1, 5):
        machine.tick(read=n % 2 == 0)
    assert machine.sum == pytest.approx(machine.drawn, rel=0.01)


def test_another_counter_of_the_same_wall_goes_on_without_giving_anything_twice() -> None:
    machine = Machine(lambda _: 100.0)
    for n in range(1, 13):
        machine.tick(read=n % 4 == 0)
    for _ in range(2):
        machine.tick()
    span = machine.now - machine.counted_until
    other = WallFill(told(machine.drawn - machine.counted, span + TICK, machine.now + TICK))
    other.take_over(machine.fill)
    machine.fill = other
    machine.tick(read=True)
    assert machine.sum == pytest.approx(machine.drawn)


def test_the_bounds_are_as_wide_as_it_was_off() -> None:
    noisy = iter([0.0, 60.0] * 200)
    machine = Machine(lambda _: 100.0)
    for n in range(1, 201):
        machine.base = 60.0 + next(noisy)
        machine.tick(read=n % 3 == 0)
    last = machine.given[-1]
    assert last is not None
    half = (last.high_joules - last.low_joules) / 2 / TICK
    assert 5.0 <= half <= 60.0
    steady = Machine(lambda _: 100.0)
    for n in range(1, 201):
        steady.tick(read=n % 3 == 0)
    last = steady.given[-1]
    assert last is not None
    assert last.high_joules - last.low_joules < 5.0 * TICK


def test_one_load_alone_teaches_the_base_and_a_watt_within_stays_a_watt() -> None:
    model = WallModel()
    for _ in range(100):
        model.learn(joules=175.0 * 10, within_joules=100.0 * 10, seconds=10.0)
    assert model.slope == pytest.approx(1.0)
    assert model.base_watts == pytest.approx(75.0)
