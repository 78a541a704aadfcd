"""What boards' management controllers said last, for whoever shows it: not energy, but their own watts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from estimator.meters.background import BackgroundMeter
from estimator.meters.port import PowerMeter

# A BMC that is silent for so long has no power to show.
_FRESH_SECONDS = 120.0
_CLOSING_SECONDS = 3.0
_TRYING_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Board:
    """One thing whose watts a BMC tells, labelled as Kepler labels it."""

    source: str
    bmc_id: str
    chassis_id: str
    source_id: str
    source_name: str
    source_type: str
    watts: float


class BoardPower:
    """Written by the threads that ask, read by the one that shows. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, tuple[float, tuple[Board, ...]]] = {}

    def show(self, meter: str, boards: Sequence[Board]) -> None:
        """What a meter was told now, in place of what it was told before."""
        self._told = {**self._told, meter: (self._clock(), tuple(boards))}

    def now(self) -> list[Board]:
        """Of every meter that was answered not long ago."""
        oldest = self._clock() - _FRESH_SECONDS
        return [board for told, boards in self._told.values() if told >= oldest for board in boards]


class BoardMeter(BackgroundMeter):
    """A board's meter in its thread. boards: what it was told last.

    open_meter: given where to show that. What needs a capability is opened by then.
    """

    def __init__(
        self,
        name: str,
        open_meter: Callable[[BoardPower], PowerMeter],
        period_seconds: float,
        deadline_seconds: float,
    ) -> None:
        self.boards = BoardPower()
        super().__init__(name, lambda: open_meter(self.boards), period_seconds, deadline_seconds)

    def try_out(self, seconds: float) -> str:
        """Wait for its first answer, so long at most: what fails, "" where it answers."""
        end = self._clock() + seconds
        while self._clock() < end:
            if self.read():
                return ""
            if self.errors:
                return self.errors[0].message
            time.sleep(_TRYING_SECONDS)
        return f"has not answered for {seconds:g} s"

    def close(self) -> None:
        """End the session with the board as well, unless it hangs."""
        super().close()
        if self._thread is not None and self._busy_since is None:
            self._thread.join(_CLOSING_SECONDS)


def platform_labels(path: str) -> tuple[str, str, str]:
    """Source, BMC and chassis of a platform zone, from its path; all "" for what is no board's."""
    source, _, rest = path.partition("/")
    if source == "redfish":
        bmc, _, chassis = rest.rpartition("/")
        return source, bmc, chassis
    name = path.rpartition("/")[2]
    if name.startswith("ipmi"):
        return "ipmi", name, ""
    return ("hwmon", "", path) if "hwmon" in path else ("", "", "")
