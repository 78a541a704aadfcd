"""Who kept each GPU busy, moment by moment, until its energy is known."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from estimator.gpu.port import Gpu, PlaceUse

# What is not asked for in so many looks (an hour of them) is as much as is kept.
_MOST_LOOKS = 4_096
_SAME_SPAN = 0.8


class Process(NamedTuple):
    """A process where it ran."""

    cgroup_id: int
    pid: int


@dataclass(frozen=True, slots=True)
class Activity:
    """What ran on one place in a span of time.

    busy: by process, for how long it kept the place busy, in seconds; 0.0 where it held it alone.
    unknown_seconds: the same of processes whose cgroup is not known, is_unknown whether there were any.
    busy_seconds: of all together, None where nobody says. untold_seconds: in which processes are not told.
    """

    seconds: float = 0.0
    busy: Mapping[Process, float] = field(default_factory=dict)
    unknown_seconds: float = 0.0
    is_unknown: bool = False
    busy_seconds: float | None = None
    untold_seconds: float = 0.0

    @property
    def is_unused(self) -> bool:
        """Whether it is known that nobody held the place."""
        return self.seconds > 0 and not (self.busy or self.is_unknown or self.untold_seconds)


NOTHING = Activity()


class Look(NamedTuple):
    """What a thread saw at once: what each place did since the look before; the machine's GPUs."""

    gpus: tuple[Gpu, ...]
    by_place: Mapping[str, Activity]


def look_at(
    gpus: Sequence[Gpu],
    uses: Iterable[PlaceUse],
    seconds: float,
    cgroups: Callable[[Collection[int]], Mapping[int, int]],
) -> Look:
    """Name the processes. cgroups: by PID, of those that are there; asked at once, before they end."""
    found = list(uses)
    known = cgroups({pid for use in found for pid in use.processes})
    return Look(tuple(gpus), {use.uuid: _activity(use, seconds, known) for use in found})


def _activity(use: PlaceUse, seconds: float, cgroup_of: Mapping[int, int]) -> Activity:
    unknown = [part for pid, part in use.processes.items() if pid not in cgroup_of]
    return Activity(
        seconds,
        {Process(cgroup_of[pid], pid): p * seconds for pid, p in use.processes.items() if pid in cgroup_of},
        sum(unknown) * seconds,
        bool(unknown),
        None if use.busy is None else use.busy * seconds,
        0.0 if use.is_told else seconds,
    )


def together(activities: Sequence[Activity]) -> Activity:
    """Several spans as one."""
    busy: dict[Process, float] = {}
    for activity in activities:
        for process, seconds in activity.busy.items():
            busy[process] = busy.get(process, 0.0) + seconds
    known = [each.busy_seconds for each in activities if each.busy_seconds is not None]
    return Activity(
        sum(each.seconds for each in activities),
        busy,
        sum(each.unknown_seconds for each in activities),
        any(each.is_unknown for each in activities),
        sum(known) if known else None,
        sum(each.untold_seconds for each in activities),
    )


class ActivityLog:
    """Looks, from the thread that makes them to the one that books them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: deque[Look] = deque(maxlen=_MOST_LOOKS)

    def add(self, look: Look) -> None:
        """Keep one for the next tick."""
        with self._lock:
            self._looks.append(look)

    def take(self) -> list[Look]:
        """All since the last call."""
        with self._lock:
            looks, self._looks = list(self._looks), deque(maxlen=_MOST_LOOKS)
        return looks


class Spans:
    """What ran on each place since its energy was told last; for one thread."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Activity]] = {}

    def add(self, looks: Iterable[Look]) -> None:
        """Take over what was seen."""
        for look in looks:
            for place, activity in look.by_place.items():
                self._waiting.setdefault(place, deque(maxlen=_MOST_LOOKS)).append(activity)

    def take(self, place: str, seconds: float) -> Activity:
        """What ran in the span of an energy. What came before a gap is left out: it did not draw this."""
        waiting = self._waiting.pop(place, deque())
        chosen: list[Activity] = []
        covered = 0.0
        while waiting and covered < seconds / _SAME_SPAN:
            chosen.append(waiting.pop())
            covered += chosen[-1].seconds
        return together(chosen)

    @property
    def processes(self) -> set[Process]:
        """All that some energy may come to be shared out to."""
        return {process for spans in self._waiting.values() for one in spans for process in one.busy}
