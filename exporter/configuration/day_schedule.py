"""A number by time of day, such as a tariff at night."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

MINUTES = 24 * 60
_PART = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})=(.+)")


@dataclass(frozen=True, slots=True)
class DayPart:
    """A value from one minute of the day to another, which may lie beyond midnight: 22:00-06:00."""

    begin_minute: int
    end_minute: int
    value: float

    @property
    def minutes(self) -> list[int]:
        """The minutes of the day that it covers."""
        beyond = MINUTES if self.end_minute <= self.begin_minute else 0
        return [minute % MINUTES for minute in range(self.begin_minute, self.end_minute + beyond)]

    def __str__(self) -> str:
        value = int(self.value) if self.value.is_integer() else self.value
        return f"{_clock(self.begin_minute)}-{_clock(self.end_minute)}={value}"


def parse_day_parts(texts: Sequence[str], low: float, high: float) -> tuple[DayPart, ...]:
    """The parts of a day from texts such as 22:00-06:00=120, values from low to high.

    Raises ValueError, naming the text, for one that is no such part, or overlaps with one before it.
    """
    parts: list[DayPart] = []
    taken: set[int] = set()
    for text in texts:
        part = _parse(text, low, high)
        if taken.intersection(part.minutes):
            raise ValueError(f"{text!r} overlaps with another")
        taken.update(part.minutes)
        parts.append(part)
    return tuple(parts)


class DaySchedule:
    """A number that goes by the time of day in a time zone; elsewhere than in its parts it is `otherwise`.

    clock: the time in Unix seconds. Between two whole minutes it is constant, in every time zone: their
    offsets are whole minutes, so that a day of 23 or 25 hours comes out right.
    """

    def __init__(
        self,
        parts: Sequence[DayPart],
        otherwise: float,
        zone: tzinfo,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._by_minute = [otherwise] * MINUTES
        for part in parts:
            for minute in part.minutes:
                self._by_minute[minute] = part.value
        self._zone = zone
        self._clock = clock

    def mean(self, seconds: float) -> float:
        """The mean over the last `seconds`; with 0 the value of the moment."""
        now = self._clock()
        if seconds <= 0:
            return self._at(now)
        at, weighted = now - seconds, 0.0
        while at < now:
            until = min(now, (math.floor(at / 60) + 1) * 60.0)
            weighted += self._at(at) * (until - at)
            at = until
        return weighted / seconds

    def _at(self, unix_seconds: float) -> float:
        local = datetime.fromtimestamp(unix_seconds, self._zone)
        return self._by_minute[60 * local.hour + local.minute]


def open_part(parts: Sequence[DayPart]) -> str:
    """The first stretch of the day that no part covers, such as 06:00-22:00; empty where there is none."""
    taken = {minute for part in parts for minute in part.minutes}
    free = [minute for minute in range(MINUTES) if minute not in taken]
    if not free:
        return ""
    end = next((minute for minute in range(free[0], MINUTES) if minute in taken), MINUTES)
    return f"{_clock(free[0])}-{_clock(end)}"


def _parse(text: str, low: float, high: float) -> DayPart:
    found = _PART.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not like 22:00-06:00=120")
    hours = [int(group) for group in found.groups()[:4]]
    begin, end = 60 * hours[0] + hours[1], 60 * hours[2] + hours[3]
    if max(hours[1], hours[3]) > 59 or begin >= MINUTES or end > MINUTES or begin == end:
        raise ValueError(f"{text!r} has no time of day from 00:00 to 24:00, or is empty")
    try:
        value = float(found[5])
    except ValueError:
        value = math.nan
    if not low <= value <= high or math.isinf(value):
        raise ValueError(f"{text!r} has no number from {low:g} to {high:g} after =")
    return DayPart(begin, end, value)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
