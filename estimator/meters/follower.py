"""One counter, reading after reading: what is energy, what has to wait for the next reading, what is lost.

A counter can lie for one reading and come back (AMD laptops: 696 J ahead for one second in five), be reset
near the end of its range so that it looks like a wrap, or stand still. One reading cannot tell; the next one
can. So a reading that does not fit what this counter drew so far is held until then: what it says lands one
tick later, spread over both, or never.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeGuard

from estimator.meters.difference import (
    STEP_JOULES,
    Change,
    Difference,
    FirstReading,
    Gap,
    WrappedOnce,
    difference,
    plausible,
)
from estimator.meters.port import ZoneReading

# A reading is odd where it says so many times what the counter drew at the most in the last hours, and more
# than a quarter of what the machine says that it can draw, which is about what it is made for (TDP).
_ODD_FACTOR = 2.0
_HALF_LIFE_SECONDS = 3_600.0
_MADE_FOR = 0.25
# The first difference has nothing to be held against. Where the machine does not say what it can draw either,
# it is odd above half of the most that any can: no package is made for more than 500 W.
_FIRST = 0.5
_MOST_ODD = 3

# What was told in the last quarter of an hour or so can be taken back, by a counter that goes back by less;
# not by one that stands near 0, as after a reset, nor for longer than patience has.
_TAKE_BACK_HALF_LIFE_SECONDS = 600.0
_RESET_BELOW = 0.1

# A machine that sleeps draws so much less: without it, no night could be told from several wraps.
_ASLEEP = 0.1

# RAPL moves every millisecond: these zones never stand still while a machine runs. core and uncore may: they
# read 0 W in a package that sleeps, or whose graphics unit is off.
_NEVER_STILL = ("package", "dram", "psys")
# A zone that stands still is waited for so long before its time counts as spent: a board meter that moves
# once a minute has its joules spread over that minute.
_PATIENCE_SECONDS = 300.0
_NO_TIME_SECONDS = 0.1

STILL, OWING = "stands still", "reads less than was counted"
INVALID, NO_TIME = "out of range", "no time passed"
AHEAD, BELOW = "reads more than it ever drew", "reads less than before"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing is known yet, and nothing is lost: `reason` says in a few words what the next reading
    decides."""

    reason: str


Told = Change | Waiting


class CounterFollower:
    """Takes the readings of one counter, in order.

    last: the reading up to which its energy is told. watts: the power of the interval told last, None before
    the first. taken_back: readings that the next one gave the lie to.
    """

    def __init__(self, last: ZoneReading | None = None) -> None:
        self.last = last
        self.watts: float | None = None
        self.taken_back = 0
        self._odd: list[ZoneReading] = []
        self._still: ZoneReading | None = None
        self._most_seen_watts: float | None = None
        self._recent_joules = 0.0

    def take(self, reading: ZoneReading, slept_seconds: float = 0.0) -> tuple[Told, ...]:
        """What this reading tells: as a rule one thing; after a reset a gap, and what was drawn since.

        slept_seconds: how long of the time since `last` the machine slept.
        All joules that are told add up to what the counter went up by, but for what gaps say.
        """
        if not 0 <= reading.energy_uj <= reading.max_energy_uj:
            return (Waiting(INVALID),)
        last = self.last
        if last is None or last.path != reading.path:
            self.last, self._odd, self._still = reading, [], None
            return (FirstReading(),)
        change = self._compare(last, reading, _plausible_watts(last, reading, slept_seconds))
        if isinstance(change, Gap) and change.reason != "implausible":
            return (self._without_comparison(reading, change),)
        if _is_energy(change) and self._fits(reading, change):
            return (self._take_fitting(reading, change),)
        if self._owes(last, reading):
            self._odd = []
            return (Waiting(OWING),)
        return self._take_odd(last, reading, change)

    def _compare(self, last: ZoneReading, reading: ZoneReading, watts: float) -> Change:
        """Since the last reading that was told; it cannot have wrapped unseen before one that stood still."""
        change, still = difference(last, reading, watts), self._still
        if not isinstance(change, Gap) or still is None:
            return change
        since = difference(still, reading, watts)
        return replace(since, interval_seconds=_seconds(last, reading)) if _is_energy(since) else change

    def _owes(self, last: ZoneReading, reading: ZoneReading) -> bool:
        """Whether a counter goes back by what was counted too much, rather than that it began anew."""
        return (
            0 < (last.energy_uj - reading.energy_uj) / 1e6 <= self._recent_joules
            and reading.energy_uj > _RESET_BELOW * last.energy_uj
            and _seconds(last, reading) < _PATIENCE_SECONDS
        )

    def _without_comparison(self, reading: ZoneReading, gap: Gap) -> Told:
        """Another counter in this place, of which nothing is known yet, or too long a time, is a gap."""
        if gap.reason == NO_TIME:
            return Waiting(gap.reason)
        if gap.reason == "replaced":
            self.watts = self._most_seen_watts = None
        return self._tell(reading, gap)

    def _take_fitting(self, reading: ZoneReading, change: Difference | WrappedOnce) -> Told:
        if self._odd:
            self.taken_back += 1
        if (
            change.joules == 0
            and reading.zone in _NEVER_STILL
            and change.interval_seconds < _PATIENCE_SECONDS
        ):
            self._odd, self._still = [], reading
            return Waiting(STILL if change.interval_seconds > _NO_TIME_SECONDS else NO_TIME)
        return self._tell(reading, change)

    def _take_odd(self, last: ZoneReading, reading: ZoneReading, change: Change) -> tuple[Told, ...]:
        """Where the reading before this one was odd too, and this one goes on from it, both are to be
        believed."""
        if self._odd:
            before = self._odd[-1]
            since = difference(before, reading)
            if _is_energy(since):
                return self._believe(before, difference(last, before), since, reading, change)
            self.taken_back += 1
        self._odd.append(reading)
        if len(self._odd) > _MOST_ODD:
            return (self._tell(reading, Gap("implausible", _seconds(last, reading))),)
        return (Waiting(BELOW if reading.energy_uj < last.energy_uj else AHEAD),)

    def _believe(
        self,
        odd: ZoneReading,
        jump: Change,
        since: Difference | WrappedOnce,
        reading: ZoneReading,
        change: Change,
    ) -> tuple[Told, ...]:
        """The counter went on from an odd reading: it drew that much, or it was set anew."""
        if _is_drawn(jump, since) and _is_energy(change):
            return (self._tell(reading, change),)
        lost = Gap("reset" if isinstance(jump, WrappedOnce) else "implausible", _spanned(jump))
        self._tell(odd, lost)
        return lost, self._tell(reading, since)

    def _tell(self, reading: ZoneReading, change: Change) -> Change:
        self.last, self._odd, self._still = reading, [], None
        if _is_energy(change):
            seconds = change.interval_seconds
            self.watts = change.joules / seconds
            faded = (self._most_seen_watts or 0.0) * 0.5 ** (seconds / _HALF_LIFE_SECONDS)
            self._most_seen_watts = max(faded, self.watts)
            self._recent_joules *= 0.5 ** (seconds / _TAKE_BACK_HALF_LIFE_SECONDS)
            self._recent_joules += change.joules
        else:
            self._recent_joules = 0.0
        return change

    def _fits(self, reading: ZoneReading, change: Difference | WrappedOnce) -> bool:
        """Whether it is what this counter draws; while nothing was seen, what it can draw."""
        return change.joules <= max(self._usual_watts(reading) * change.interval_seconds, STEP_JOULES)

    def _usual_watts(self, reading: ZoneReading) -> float:
        if self._most_seen_watts is None:
            return reading.most_watts or _FIRST * plausible(reading)
        return max(_ODD_FACTOR * self._most_seen_watts, _MADE_FOR * (reading.most_watts or 0.0))


def longest_seconds(reading: ZoneReading) -> float:
    """How long this counter may go unread: a quarter of the time in which it could pass its whole range."""
    return (reading.max_energy_uj + 1) / 1e6 / plausible(reading) / 4


def _is_drawn(jump: Change, since: Difference | WrappedOnce) -> bool:
    """A jump ahead is energy. One past the end of the range may be a reset: then what follows is far less."""
    if isinstance(jump, Difference):
        return True
    if not isinstance(jump, WrappedOnce):
        return False
    return jump.joules / jump.interval_seconds <= _ODD_FACTOR * since.joules / since.interval_seconds


def _is_energy(change: Change) -> TypeGuard[Difference | WrappedOnce]:
    return isinstance(change, Difference | WrappedOnce)


def _spanned(jump: Change) -> float:
    """The time that a change spans."""
    return 0.0 if isinstance(jump, FirstReading) else jump.interval_seconds


def _plausible_watts(before: ZoneReading, after: ZoneReading, slept_seconds: float) -> float:
    """The most that it can draw on average over an interval of which it slept a part."""
    asleep = min(1.0, slept_seconds / seconds) if (seconds := _seconds(before, after)) > 0 else 0.0
    return plausible(after) * (1.0 - (1.0 - _ASLEEP) * asleep)


def _seconds(before: ZoneReading, after: ZoneReading) -> float:
    return (after.boottime_ns - before.boottime_ns) / 1e9
