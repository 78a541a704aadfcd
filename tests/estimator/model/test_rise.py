"""Terms rise from 0 to 1, never fall, and go on along their tangent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.model.rise import rise, slope_at_limit

TERMS = st.one_of(
    st.tuples(st.floats(0.125, 8.0), st.just(0.0)), st.tuples(st.just(1.0), st.floats(1e-3, 10.0))
)


@given(TERMS)
def test_a_term_rises_from_nothing_to_the_whole(term: tuple[float, float]) -> None:
    power, knee = np.array([term[0]]), np.array([term[1]])
    held = np.linspace(0, 1, 101)[:, np.newaxis]
    values = rise(held, power, knee)[:, 0]
    assert values[0] == 0
    assert values[-1] == pytest.approx(1)
    assert (np.diff(values) >= 0).all()
    step = 1e-7
    before = rise(np.array([[1 - step]]), power, knee)[0, 0]
    assert slope_at_limit(power, knee)[0] == pytest.approx((1 - before) / step, rel=1e-4)


def test_a_knee_has_half_of_the_way_at_about_the_knee() -> None:
    half = rise(np.array([[0.02]]), np.array([1.0]), np.array([0.02]))[0, 0]
    assert half == pytest.approx(0.5, abs=0.02)
