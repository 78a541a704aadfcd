"""Figures say what they are, with digits that mean something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.reports.page.figures import (
    DASH,
    change,
    decimal,
    decimals_for,
    kilograms,
    kwh,
    kwh_between,
    money,
    number,
    percent,
    period,
    plural,
    signed,
    span_before,
)

KWH = 3_600_000.0


def plain(text: str) -> str:
    return text.replace("\u202f", " ").replace("\u2212", "-")


@pytest.mark.parametrize(
    ("kilowatt_hours", "expected"),
    [
        (0, "0 kWh"),
        (0.00001, "<0.0001 kWh"),
        (0.0123, "0.0123 kWh"),
        (0.5, "0.500 kWh"),
        (3.14159, "3.14 kWh"),
        (84.1, "84.1 kWh"),
        (381.4, "381 kWh"),
        (1_234_567, "1,234,567 kWh"),
        (-15.26, "-15.3 kWh"),
    ],
)
def test_energy(kilowatt_hours: float, expected: str) -> None:
    assert plain(kwh(kilowatt_hours * KWH)) == expected


def test_bounds_have_the_decimals_of_the_upper_one() -> None:
    assert plain(kwh_between(9.51 * KWH, 10.46 * KWH)) == "9.5 to 10.5 kWh"
    assert plain(kwh_between(10.01 * KWH, 10.02 * KWH)) == "10.0 kWh"


@pytest.mark.parametrize(
    ("grams", "expected"),
    [(0.42, "0.420 g"), (99, "99.0 g"), (582_000, "582 kg"), (582_000_000, "582 t"), (-18_000, "-18.0 kg")],
)
def test_carbon(grams: float, expected: str) -> None:
    assert plain(kilograms(grams)) == expected


def test_money_is_in_hundredths_until_nobody_counts_them() -> None:
    assert plain(money(512.449, "EUR")) == "512.45 EUR"
    assert plain(money(1_512_449.4, "EUR")) == "1,512,449 EUR"
    assert plain(money(2, "")) == "2.00"


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.99999, ">99.9 %"),
        (0.0001, "<0.1 %"),
        (0.316, "31.6 %"),
        (-0.063, "-6.3 %"),
    ],
)
def test_a_part_is_never_told_as_all_or_nothing(ratio: float, expected: str) -> None:
    assert plain(percent(ratio)) == expected


def test_changes_have_their_sign() -> None:
    assert plain(change(110, 100)) == "+10.0 %"
    assert plain(change(90, 100)) == "-10.0 %"
    assert plain(change(100, 100)) == "0 %"
    assert change(100, 0) == DASH
    assert signed(DASH) == DASH
    assert plain(signed(kilograms(0))) == "0 kg"
    assert plain(signed(kwh(0.5 * KWH))) == "+0.500 kWh"


def test_what_is_not_known_is_a_dash() -> None:
    assert decimal(None, 2) == number(None) == percent(None) == decimal(float("nan"), 1) == DASH


@given(st.lists(st.floats(1e-4, 1e9), min_size=1))
def test_a_column_shows_at_least_two_digits_of_its_largest(values: list[float]) -> None:
    largest = max(values)
    digits = decimal(largest, decimals_for(values)).replace(",", "").replace(".", "").lstrip("0")
    assert len(digits) >= 2 or largest < 1e-3


def test_a_month_has_its_name() -> None:
    assert period(1790812800, 1793491200) == "October 2026"
    assert period(1796083200, 1798761600) == "December 2026"
    assert period(1790812800, 1790812800 + 86_400) == "2026-10-01"
    assert period(1767225600, 1798761600) == "2026"
    assert period(1790812800, 1796083200) == "2026-10-01 to 2026-11-30"


def test_a_span_is_compared_with_one_like_it() -> None:
    assert span_before(1790812800, 1793491200) == "the month before"
    assert span_before(1767225600, 1798761600) == "the year before"
    assert span_before(1790812800, 1790812801) == "the time before"


def test_one_is_one() -> None:
    assert (plural(1, "hour"), plural(2, "hour"), plural(0, "row")) == ("1 hour", "2 hours", "0 rows")
