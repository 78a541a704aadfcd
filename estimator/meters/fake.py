"""A power meter that answers what a test tells it to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from estimator.meters.port import MeterError, ZoneReading

FakeTick = Sequence[ZoneReading | MeterError] | Exception


class FakeMeter:
    """Each read takes the next tick: its readings are returned, its MeterErrors are in `errors`, an exception
    is raised. After the last tick it raises IndexError. zones: see PowerMeter."""

    def __init__(
        self, ticks: Iterable[FakeTick], name: str = "rapl", zones: Set[str] = frozenset({"package"})
    ) -> None:
        self.name = name
        self.zones = zones
        self.is_closed = False
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

    def close(self) -> None:
        """It is closed."""
        self.is_closed = True
