"""A power meter that answers what a test tells it to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from estimator.meters.port import MeterError, ZoneReading

FakeTick = Sequence[ZoneReading | MeterError] | Exception


class FakeMeter:
    """Each read takes the next tick: its readings are returned, its MeterErrors are in `errors`, an exception
    is raised. After the last tick it raises IndexError."""

    def __init__(self, ticks: Iterable[FakeTick], name: str = "rapl") -> None:
        self.name = name
        self.errors: Sequence[MeterError] = ()
        self._ticks = iter(ticks)

    def read(self) -> list[ZoneReading]:
        """Play the next tick."""
        try:
            tick = next(self._ticks)
        except StopIteration:
            raise IndexError("the fake meter has no tick left") from None
        if isinstance(tick, Exception):
            raise tick
        self.errors = [item for item in tick if isinstance(item, MeterError)]
        return [item for item in tick if isinstance(item, ZoneReading)]
