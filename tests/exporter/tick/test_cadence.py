"""A grid of time that nobody sleeps through."""

from __future__ import annotations

from exporter.tick.cadence import Cadence


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_keeps_to_the_grid_however_long_each_round_takes() -> None:
    clock = Clock()
    cadence = Cadence(clock)
    for taken, left in ((1.0, 4.0), (0.5, 4.5), (4.0, 1.0)):
        clock.now += taken
        assert cadence.next(5.0) == left
        clock.now += left


def test_what_comes_late_is_not_made_up_for() -> None:
    clock = Clock()
    cadence = Cadence(clock)
    clock.now += 17.0
    assert cadence.next(5.0) == 0.0
    assert cadence.next(5.0) == 5.0, "the grid begins anew where it was late"


def test_woken_early_the_grid_begins_there() -> None:
    clock = Clock()
    cadence = Cadence(clock)
    assert cadence.next(5.0) == 5.0
    clock.now += 2.0
    cadence.cut_short()
    assert cadence.next(5.0) == 5.0
