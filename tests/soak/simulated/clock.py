"""The time of a machine that is made up."""

from __future__ import annotations

from datetime import UTC, datetime

# In America/New_York the clock goes back at 06:00 UTC of the next day, two hours after the month has changed.
NOON_OF_A_LONG_DAY = datetime(2026, 10, 31, 16, tzinfo=UTC).timestamp()
TIME_ZONE = "America/New_York"
_BOOTED_NS = 20 * 10**9


class Clock:
    """CLOCK_MONOTONIC and CLOCK_BOOTTIME since the boot, and the wall clock, which others set.

    lived_seconds: all that passed since the machine was first booted, for us alone; awake_seconds: of that,
    what it did not sleep.
    """

    def __init__(self) -> None:
        self.monotonic_ns, self.slept_ns = _BOOTED_NS, 0
        self.lived_seconds = self.awake_seconds = 0.0
        self._ahead_seconds = 0.0

    def seconds(self) -> float:
        """CLOCK_MONOTONIC."""
        return self.monotonic_ns / 1e9

    def boottime_ns(self) -> int:
        """CLOCK_BOOTTIME."""
        return self.monotonic_ns + self.slept_ns

    def wall(self) -> float:
        """Unix time, as the machine has it."""
        return NOON_OF_A_LONG_DAY + self.lived_seconds + self._ahead_seconds

    def live(self, seconds: float) -> None:
        self.monotonic_ns += round(seconds * 1e9)
        self.lived_seconds += seconds
        self.awake_seconds += seconds

    def sleep(self, seconds: float) -> None:
        """The machine is suspended."""
        self.slept_ns += round(seconds * 1e9)
        self.lived_seconds += seconds

    def step(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self._ahead_seconds += seconds

    def boot(self, seconds: float) -> None:
        """The machine is off for so long, and begins anew."""
        self.lived_seconds += seconds
        self.awake_seconds += seconds
        self.monotonic_ns, self.slept_ns = _BOOTED_NS, 0
