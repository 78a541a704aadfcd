"""How often a BMC is worth asking: not more often than it has something newer."""

from __future__ import annotations

# So many answers in a row that are all the same say that it was asked too soon. A load that is steady looks
# the same: so never more rarely than once a minute.
_SAME_ANSWERS = 3
_LONGEST_SECONDS = 60.0
# What is due within so much of a period is due now.
_SLACK = 0.1


class Pace:
    """Twice as long between two questions after three answers that are the same, till one is not."""

    def __init__(self, period_seconds: float) -> None:
        self.longest_seconds = max(period_seconds, _LONGEST_SECONDS)
        self._shortest_seconds = self._seconds = period_seconds
        self._asked_ns: int | None = None
        self._last: object = None
        self._same = 0

    def is_due(self, boottime_ns: int) -> bool:
        """Whether it is time; if so it counts as asked."""
        least_ns = (self._seconds - _SLACK * self._shortest_seconds) * 1e9
        if self._asked_ns is not None and boottime_ns - self._asked_ns < least_ns:
            return False
        self._asked_ns = boottime_ns
        return True

    def take(self, answer: object) -> None:
        """What was answered."""
        if answer != self._last:
            self._last, self._same, self._seconds = answer, 0, self._shortest_seconds
            return
        self._same += 1
        if self._same % _SAME_ANSWERS == 0:
            self._seconds = min(self.longest_seconds, 2 * self._seconds)
