"""Places in a chart: inside it, in order, and ticks that are round."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.reports.page.scales import Scale, decimals_of, scale_of, ticks

VALUES = st.floats(-1e12, 1e12, allow_nan=False)


@given(st.floats(0, 1e12), st.floats(1e-6, 1e12))
def test_ticks_are_evenly_apart_and_hold_all_between(low: float, over: float) -> None:
    high = low + over
    if high - low < 1e-9 * high:  # no float lies between these
        return
    found = ticks(low, high)
    assert 2 <= len(found) <= 6
    steps = [after - before for before, after in itertools.pairwise(found)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-6, abs=1e-9 * high)
    assert found[0] <= low + 1e-8 * high
    assert found[-1] >= high * (1 - 1e-8)


@pytest.mark.parametrize(
    ("high", "expected"),
    [
        (64.7, (0, 20, 40, 60, 80)),
        (1.0, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0.0, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (12_300, (0, 2_500, 5_000, 7_500, 10_000, 12_500)),
    ],
)
def test_ticks_are_round(high: float, expected: tuple[float, ...]) -> None:
    assert ticks(0.0, high) == pytest.approx(expected)


def test_ticks_go_below_zero() -> None:
    assert ticks(-3.0, 9.0) == pytest.approx((-5.0, 0.0, 5.0, 10.0))


@example(0.0, 5e-324, 0.0)
@given(VALUES, VALUES, VALUES)
def test_a_place_is_in_the_chart_and_the_larger_is_further(a: float, b: float, c: float) -> None:
    scale = scale_of([a, b])
    assert 0.0 <= scale.place(a) <= 100.0
    low, high = sorted((b, c))
    assert scale.place(low) <= scale.place(high)


def test_a_bar_spans_from_the_lesser_to_the_greater_whichever_comes_first() -> None:
    scale = Scale(0.0, 50.0)
    assert scale.span(10.0, 30.0) == scale.span(30.0, 10.0) == (20.0, 40.0)


@pytest.mark.parametrize(
    ("step", "decimals"), [(20, 0), (2.5, 1), (0.25, 2), (0.2, 1), (1e-4, 4), (1e-12, 9)]
)
def test_ticks_are_written_with_the_decimals_that_they_need(step: float, decimals: int) -> None:
    assert decimals_of(step) == decimals
