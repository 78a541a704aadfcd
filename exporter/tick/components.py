"""How the parts of a tick fare: whether they work, how often they failed, how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Component:
    """One part of the tick. up: whether its last run worked. errors: since the start."""

    up: bool = True
    errors: int = 0
    duration_seconds: float = 0.0

    def now(self) -> Component:
        """A copy: it fares on."""
        return Component(self.up, self.errors, self.duration_seconds)


class Components:
    """The parts by name, in the order they first ran."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.by_name: dict[str, Component] = {}
        self._clock = clock

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time one run of a part; an exception is counted and goes on its way."""
        component = self.by_name.setdefault(name, Component())
        started = self._clock()
        try:
            yield
        except BaseException:
            component.up = False
            component.errors += 1
            raise
        else:
            component.up = True
        finally:
            component.duration_seconds = self._clock() - started
