from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ebpf.errors import UsageError
from exporter.reports.hours import hours_of, parse_hour, spelt, spelt_all
from tests.exporter.reports.world import HOUR


@pytest.mark.parametrize(
    "text",
    [
        "2026-10-01T08:00",
        "2026-10-01T08",
        "2026-10-01T08:00Z",
        "2026-10-01T10:00+02:00",
        "2026-10-01 08:00:00",
    ],
)
def test_an_hour_is_of_utc_unless_it_says_otherwise(text: str) -> None:
    assert parse_hour(text, "--from") == HOUR


@pytest.fixture
def in_berlin() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def test_a_day_is_its_first_hour_and_has_twenty_four_also_when_clocks_change(in_berlin: None) -> None:
    hours, not_over = hours_of(
        parse_hour("2026-10-25", "--from"), parse_hour("2026-10-26", "--to"), HOUR + 99 * 86_400
    )
    assert (len(hours), not_over, spelt(hours[0])) == (24, 0, "2026-10-25T00:00Z")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-10-01T08:00:01", "2026-10-01T08:30"])
def test_what_is_no_hour_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--from: found"):
        parse_hour(text, "--from")


def test_an_hour_is_over_ten_minutes_after_its_end() -> None:
    assert hours_of(HOUR, HOUR + 7200, HOUR + 4199) == ([], 2)
    assert hours_of(HOUR, HOUR + 7200, HOUR + 4200) == ([HOUR], 1)


def test_hours_that_follow_each_other_are_told_as_a_range() -> None:
    hours = [HOUR, HOUR + 3600, HOUR + 4 * 3600]
    assert spelt_all(hours) == "2026-10-01T08:00Z to 2026-10-01T09:00Z, 2026-10-01T12:00Z"
    assert spelt_all([HOUR + 7200 * n for n in range(9)], most=1) == "2026-10-01T08:00Z and 8 more"
