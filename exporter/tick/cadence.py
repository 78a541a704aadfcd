"""When the next of a row of things that happen once an interval is due."""

from __future__ import annotations

import time
from collections.abc import Callable


class Cadence:
    """A grid that begins now. What comes late is not made up for: the grid begins anew there."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = clock()

    def next(self, interval_seconds: float) -> float:
        """Go on by an interval; the seconds until that is due, never negative."""
        now = self._clock()
        self._due = max(self._due + interval_seconds, now)
        return self._due - now

    def cut_short(self) -> None:
        """Whoever waited was woken before the time, perhaps: then the grid begins anew now."""
        self._due = min(self._due, self._clock())
