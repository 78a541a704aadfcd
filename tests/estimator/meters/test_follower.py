"""What a counter's readings are taken for: nothing that it did not draw, and all that it did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.meters.difference import Difference, FirstReading, Gap, WrappedOnce
from estimator.meters.follower import (
    AHEAD,
    BELOW,
    OWING,
    STILL,
    CounterFollower,
    Told,
    Waiting,
    longest_seconds,
)
from tests.estimator.usages import reading

JOULE = 1_000_000
AMD_RANGE_UJ = 65_532_610_987


def follow(
    joules: Iterable[float], seconds: float = 1.0, zone: str = "package", most_watts: float | None = None
) -> tuple[CounterFollower, list[tuple[Told, ...]]]:
    """The counter at these heights, one a tick."""
    follower = CounterFollower()
    readings = (
        reading(
            round(height * JOULE),
            tick * seconds,
            zone=zone,
            max_energy_uj=AMD_RANGE_UJ,
            most_watts=most_watts,
        )
        for tick, height in enumerate(joules, 1)
    )
    return follower, [follower.take(each) for each in readings]


def drawn(told: Sequence[tuple[Told, ...]]) -> float:
    return sum(each.joules for one in told for each in one if isinstance(each, Difference | WrappedOnce))


def reasons(told: Sequence[tuple[Told, ...]]) -> list[str]:
    return [each.reason for one in told for each in one if isinstance(each, Gap | Waiting)]


@pytest.mark.parametrize("seconds", [1.0, 5.0])
@pytest.mark.parametrize("n_ahead", [1, 2])
def test_a_counter_that_reads_ahead_and_comes_back_is_counted_as_if_it_had_not(
    seconds: float, n_ahead: int
) -> None:
    """An AMD laptop: 6 W, and for one or two readings in ten 696 J more."""
    n_ticks = 100
    heights = [1000 + 6 * seconds * tick + 696 * (5 <= tick % 10 < 5 + n_ahead) for tick in range(n_ticks)]
    _, told = follow(heights, seconds)
    assert drawn(told) == pytest.approx(6 * seconds * (n_ticks - 1), abs=696 if n_ahead > 1 else 1e-6)
    assert not [each for one in told for each in one if isinstance(each, Gap)]


def test_the_first_difference_may_be_the_lie() -> None:
    """Nothing was seen yet, and no machine is made for 702 W a package."""
    heights = [1000 + 6.0 * tick + 696 * (tick % 5 == 1) for tick in range(30)]
    follower, told = follow(heights)
    assert drawn(told) == pytest.approx(6 * 29)
    assert follower.taken_back == 6
    assert OWING not in reasons(told)


def test_a_package_that_draws_more_than_any_is_made_for_is_believed_a_tick_later() -> None:
    _, told = follow([1000.0 + 700 * tick for tick in range(4)])
    assert told[1:3] == [(Waiting(AHEAD),), (Difference(1400.0, 2.0),)]
    _, told = follow([1000.0 + 480 * tick for tick in range(4)])
    assert told[1] == (Difference(480.0, 1.0),)


def test_what_was_counted_too_much_is_not_counted_again() -> None:
    """The first two readings are too high, and nothing shows it; later ones pay for it."""
    heights = [1000, 1006 + 50, *(1012 + 6 * tick for tick in range(40))]
    follower, told = follow(heights)
    assert OWING in reasons(told)
    assert drawn(told) == pytest.approx(heights[-1] - heights[0])
    assert follower.last is not None
    assert follower.last.energy_uj == round(heights[-1] * JOULE)


def test_a_reset_near_the_end_of_the_range_is_no_wrap() -> None:
    """6 W, and 1,100 W if it were one."""
    top = AMD_RANGE_UJ / JOULE
    heights = [*(top - 1100 + 6 * tick for tick in range(10)), *(6.0 * tick for tick in range(1, 10))]
    _, told = follow(heights)
    assert drawn(told) == pytest.approx(6 * 9 + 6 * 8)
    assert reasons(told) == [BELOW, "reset"]


def test_a_wrap_is_energy_also_when_the_load_has_just_risen() -> None:
    top = AMD_RANGE_UJ / JOULE
    heights = [*(top - 60 + 6 * tick for tick in range(10)), *(60.0 * tick for tick in range(1, 10))]
    _, told = follow(heights)
    assert drawn(told) == pytest.approx(heights[-1] + top - heights[0], abs=1e-5)
    assert not [each for one in told for each in one if isinstance(each, Gap)]


def test_a_load_that_rises_is_counted_a_tick_later_and_whole() -> None:
    heights = [*(6.0 * tick for tick in range(10)), *(54.0 + 200 * tick for tick in range(1, 10))]
    _, told = follow(heights)
    assert told[10] == (Waiting(AHEAD),)
    assert told[11] == (Difference(400.0, 2.0),)
    assert drawn(told) == heights[-1]
    assert reasons(told) == [AHEAD]


def test_what_a_machine_is_made_for_is_not_odd() -> None:
    """60 W at the most: made for 15."""
    heights = [*(1.0 * tick for tick in range(10)), *(9.0 + 14 * tick for tick in range(1, 5))]
    _, told = follow(heights, most_watts=60.0)
    assert reasons(told) == []


def test_a_jump_beyond_what_the_machine_can_draw_is_lost_and_said() -> None:
    """2,700 J at once, where 60 W are the most."""
    heights = [*(4.0 * tick for tick in range(10)), *(36.0 + 2700 + 4 * tick for tick in range(1, 10))]
    _, told = follow(heights, most_watts=60.0)
    assert drawn(told) == pytest.approx(4 * 9 + 4 * 8)
    assert "implausible" in reasons(told)


def test_a_low_reading_that_comes_back_costs_nothing() -> None:
    heights = [500 + 6.0 * tick for tick in range(20)]
    true = heights[-1] - heights[0]
    heights[10] = 3.0
    follower, told = follow(heights)
    assert drawn(told) == pytest.approx(true)
    assert follower.taken_back == 1


def test_a_zone_that_stands_still_is_waited_for() -> None:
    _, told = follow([5.0, 5.0, 5.0, 11.0], 5.0)
    assert told[1:3] == [(Waiting(STILL),)] * 2
    assert told[3] == (Difference(6.0, 15.0),)


def test_a_graphics_unit_that_is_off_draws_nothing() -> None:
    _, told = follow([5.0, 5.0], zone="uncore")
    assert told[1] == (Difference(0.0, 1.0),)


def test_a_reading_that_cannot_be_one_is_no_reading() -> None:
    follower, most = CounterFollower(), 100_000 * JOULE
    assert follower.take(reading(5 * JOULE, 0, max_energy_uj=most)) == (FirstReading(),)
    assert follower.take(reading(most + 1, 5, max_energy_uj=most)) == (Waiting("out of range"),)
    assert follower.take(reading(45 * JOULE, 10, max_energy_uj=most)) == (Difference(40.0, 10.0),)


def test_a_counter_may_go_unread_for_a_quarter_of_its_range() -> None:
    assert longest_seconds(reading(0, max_energy_uj=AMD_RANGE_UJ)) == pytest.approx(16.4, abs=0.1)
    assert longest_seconds(reading(0, max_energy_uj=AMD_RANGE_UJ, most_watts=60)) == pytest.approx(273, abs=1)


@given(
    watts=st.lists(st.floats(0.5, 400.0), min_size=2, max_size=40),
    start=st.integers(0, AMD_RANGE_UJ),
    lies=st.dictionaries(st.integers(2, 38), st.integers(1_000_000, 900_000_000), max_size=4),
)
def test_a_counter_that_goes_on_is_counted_to_the_microjoule(
    watts: list[float], start: int, lies: dict[int, int]
) -> None:
    """Whatever the load and wherever it wraps; lies that come back add nothing for good. Gaps own up."""
    follower, told, height = CounterFollower(), [], start
    for tick, power in enumerate(watts):
        lie = lies.get(tick, 0)
        shown = (height + lie) % (AMD_RANGE_UJ + 1)
        told.append(follower.take(reading(shown, tick + 1.0, max_energy_uj=AMD_RANGE_UJ)))
        height += round(power * JOULE)
    assert follower.last is not None
    most = (follower.last.energy_uj - start) % (AMD_RANGE_UJ + 1) / JOULE
    has_gap = any(isinstance(each, Gap) for one in told for each in one)
    if not has_gap:
        assert drawn(told) == pytest.approx(most, abs=1e-6)


def test_a_reset_early_in_life_is_a_gap_and_no_debt() -> None:
    """What was drawn so far is no more than what could be taken back."""
    heights = [*(5_000 + 100.0 * tick for tick in range(100)), *(100.0 * tick for tick in range(1, 50))]
    _, told = follow(heights, 5.0)
    assert OWING not in reasons(told)
    assert [each.reason for one in told for each in one if isinstance(each, Gap)] == ["implausible"]
    assert drawn(told) == pytest.approx(99 * 100 + 48 * 100)


def test_a_debt_is_not_waited_for_without_end() -> None:
    heights = [*(1_000 + 100.0 * tick for tick in range(60)), *(1_100 + 6.0 * tick for tick in range(80))]
    _, told = follow(heights, 5.0)
    assert [each.reason for one in told for each in one if isinstance(each, Gap)]
    assert isinstance(told[-1][0], Difference)


def test_one_that_stands_still_cannot_have_wrapped_meanwhile() -> None:
    """A psys of 65 kJ and 4 kW could in 17 s, had nobody looked."""
    heights = [1_000, 1_100, *[1_100] * 10, 1_700]
    _, told = follow(heights, 5.0, zone="psys")
    assert not [each for one in told for each in one if isinstance(each, Gap)]
    assert told[-1] == (Difference(600.0, 55.0),)


def test_a_first_reading_that_cannot_be_one_is_not_held_to() -> None:
    follower, most = CounterFollower(), 100_000 * JOULE
    assert follower.take(reading(most + 1, 0, max_energy_uj=most)) == (Waiting("out of range"),)
    assert follower.take(reading(5 * JOULE, 5, max_energy_uj=most)) == (FirstReading(),)
    assert follower.take(reading(45 * JOULE, 10, max_energy_uj=most)) == (Difference(40.0, 5.0),)
