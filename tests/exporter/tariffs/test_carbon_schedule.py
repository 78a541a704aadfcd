"""A number by time of day: parts, midnight, time zones, and the mean over a tick."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.configuration.day_schedule import MINUTES, DayPart, DaySchedule, open_part, parse_day_parts

BERLIN = ZoneInfo("Europe/Berlin")


def parse(*texts: str) -> tuple[DayPart, ...]:
    return parse_day_parts(texts, 0.0, 5_000.0)


def at(moment: datetime, *texts: str, zone: ZoneInfo | None = None, seconds: float = 0.0) -> float:
    schedule = DaySchedule(parse(*texts), 0.0, zone or UTC, moment.timestamp)
    return schedule.mean(seconds)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("00:00-06:00", "not like"),
        ("0:00-06:00=1", "not like"),
        ("00:00-24:01=1", "no time of day"),
        ("24:00-06:00=1", "no time of day"),
        ("00:60-06:00=1", "no time of day"),
        ("06:00-06:00=1", "empty"),
        ("00:00-06:00=-1", "no number from 0 to 5000"),
        ("00:00-06:00=5001", "no number"),
        ("00:00-06:00=nan", "no number"),
        ("00:00-06:00=much", "no number"),
        ("00:00-06:00=", "not like"),
    ],
)
def test_what_is_no_part_of_a_day_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)


def test_parts_that_overlap_are_refused_also_over_midnight() -> None:
    with pytest.raises(ValueError, match="overlaps"):
        parse("22:00-06:00=1", "05:59-07:00=2")
    assert len(parse("22:00-06:00=1", "06:00-22:00=2")) == 2


@pytest.mark.parametrize("text", ["00:00-06:00=120", "22:00-06:00=0.25", "06:00-24:00=300"])
def test_a_part_is_written_as_it_was_read(text: str) -> None:
    assert str(parse(text)[0]) == text


@pytest.mark.parametrize(
    ("hour", "value"), [(0, 120.0), (5, 120.0), (6, 300.0), (21, 300.0), (22, 120.0), (23, 120.0)]
)
def test_a_part_may_lie_over_midnight(hour: int, value: float) -> None:
    moment = datetime(2026, 3, 4, hour, 0, tzinfo=UTC)
    assert at(moment, "22:00-06:00=120", "06:00-22:00=300") == value


def test_what_is_left_open_is_named() -> None:
    assert open_part(parse("00:00-24:00=1")) == ""
    assert open_part(parse("00:00-06:00=1", "22:00-24:00=1")) == "06:00-22:00"
    assert open_part(parse("06:00-22:00=1")) == "00:00-06:00"


def test_the_mean_over_a_boundary_is_weighted_by_time() -> None:
    moment = datetime(2026, 3, 4, 6, 0, 2, tzinfo=UTC)
    assert at(moment, "00:00-06:00=100", "06:00-24:00=200", seconds=5.0) == pytest.approx(140.0)


def test_the_time_zone_is_that_of_the_place() -> None:
    winter, summer = datetime(2026, 1, 1, 6, 30, tzinfo=UTC), datetime(2026, 7, 1, 5, 30, tzinfo=UTC)
    for moment in (winter, summer):
        assert at(moment, "07:00-08:00=1", zone=BERLIN) == 1.0
        assert at(moment, "07:00-08:00=1") == 0.0


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 6, 1), 24)], ids=str
)
def test_a_day_that_is_shorter_or_longer_counts_its_own_hours(day: tuple[int, int, int], hours: int) -> None:
    """On the last Sundays of March and October 02:00 to 03:00 is left out, and comes twice."""
    begin = datetime(*day, tzinfo=BERLIN)
    end = begin.timestamp() + hours * 3600
    schedule = DaySchedule(parse("02:00-03:00=24"), 0.0, BERLIN, lambda: end)
    assert schedule.mean(hours * 3600.0) * hours == pytest.approx(24.0 * (hours - 23))
    assert datetime.fromtimestamp(end, BERLIN).hour == 0


@given(
    edges=st.lists(st.integers(0, MINUTES - 1), min_size=2, max_size=8, unique=True).map(sorted),
    end=st.integers(0, 2_000_000_000),
    seconds=st.floats(0.001, 90_000.0),
)
def test_the_mean_is_that_of_every_minute(edges: list[int], end: int, seconds: float) -> None:
    pairs = zip(edges, [*edges[1:], edges[0]], strict=True)
    parts = [DayPart(begin, until, float(begin)) for begin, until in pairs]
    by_minute = {minute: part.value for part in parts for minute in part.minutes}
    assert len(by_minute) == MINUTES
    begin = end - seconds
    expected = sum(
        by_minute[minute % MINUTES] * max(0.0, min(end, 60 * minute + 60) - max(begin, 60 * minute))
        for minute in range(int(begin // 60), end // 60 + 1)
    )
    mean = DaySchedule(parts, 0.0, UTC, lambda: float(end)).mean(seconds)
    assert mean == pytest.approx(expected / seconds, rel=1e-6, abs=1e-3)
