from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from prometheus_client.utils import floatToGoString

from exporter.metrics import floats
from exporter.metrics.floats import format_floats
from tests.exporter.reference import newer

MANY = 400  # enough for the values to be done together


@pytest.fixture(scope="module", autouse=True, params=["orjson", "numpy"])
def _writer(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "numpy":
            patch.setitem(sys.modules, "orjson", None)
        patch.setattr(floats, "write_json", floats.json_writer())
        assert (floats.write_json is None) == (request.param == "numpy")
        yield


def expected(values: np.ndarray) -> list[bytes]:
    return [newer(floatToGoString(value).encode()) for value in values.tolist()]


@settings(deadline=None)
@given(st.lists(st.floats(), max_size=50))
def test_few_floats_are_spelled_as_prometheus_client_does(values: list[float]) -> None:
    assert format_floats(np.array(values, dtype=np.float64)) == expected(np.array(values))


@settings(deadline=None)
@given(arrays.arrays(np.float64, MANY, elements=st.floats(), fill=st.nothing()))
def test_many_floats_are_spelled_as_prometheus_client_does(values: np.ndarray) -> None:
    assert format_floats(values) == expected(values)


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_joules_counters_and_short_decimals_are_spelled_as_prometheus_client_does(seed: int) -> None:
    random = np.random.default_rng(seed)
    exponents = random.uniform(-12, 18, MANY)
    for values in (
        10**exponents,
        np.floor(10**exponents),
        np.round(10**exponents, 3),
        random.integers(0, 10**15, MANY) / 1e9,
        np.round(10**exponents, 7),
        -(10**exponents),
        np.nextafter(10.0 ** np.floor(exponents), random.choice([-np.inf, np.inf], MANY)),
        np.nextafter(2.0 ** np.floor(exponents), random.choice([-np.inf, np.inf], MANY)),
    ):
        assert format_floats(values) == expected(values)


def test_every_power_of_two_and_ten_is_spelled_as_prometheus_client_does() -> None:
    values = np.concatenate([2.0 ** np.arange(-1074, 1024), 10.0 ** np.arange(-300, 300), [0.0, -0.0]])
    assert format_floats(values) == expected(values)


def test_small_ones_that_another_json_spells_with_an_exponent_are_spelled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.array([1.5e-5, 2e-5, 0.5])
    monkeypatch.setattr(
        floats, "write_json", lambda each: b",".join(b"%r" % value for value in each.tolist())
    )
    assert format_floats(values) == expected(values)
