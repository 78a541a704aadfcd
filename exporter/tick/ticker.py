"""The tick: when it happens, and whether it is alive."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from ebpf.state_log import StateLog
from exporter.books.row_lifetimes import Lifetimes
from exporter.configuration.config import Config
from exporter.tick.cadence import Cadence
from exporter.tick.measurement import Measurement, Tick

log = logging.getLogger("exporter.tick")

_ALIVE_INTERVALS, _ALIVE_SECONDS = 3, 10.0


@dataclass(frozen=True, slots=True)
class Round:
    """When a tick was, by the monotonic clock, and how it went.

    number: counts the ticks. duration_seconds: so far. ended_seconds: the moment that what was read is of.
    last_duration_seconds: of the whole tick before this one. failure: why it failed, "" if it did not.
    """

    number: int
    interval_seconds: float
    duration_seconds: float
    last_duration_seconds: float
    ended_seconds: float
    failure: str = ""


class Publisher(Protocol):
    """Shows a tick to whoever asks."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was shown yet."""

    def publish(self, tick: Tick, config: Config, when: Callable[[], Round]) -> None:
        """Show a tick that has been booked; when: asked at the moment the answer is needed."""


class Ticker:
    """Measures and publishes once per interval, in the thread that calls `run`.

    A tick that fails is counted and logged once per kind of failure, and what is published says so: counters
    stay, gauges of the last tick go. The next tick goes on from there.
    """

    def __init__(
        self,
        config: Config,
        measurement: Measurement,
        publisher: Publisher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._measurement = measurement
        self._publisher = publisher
        self._clock = clock
        self._began = clock()
        self._ticks = 0
        self._duration_seconds = 0.0
        self._state = StateLog(log, "the tick failed, counters stay as they were", "ticking again")
        # A signal may come while we wait on it: an Event's lock is not reentrant, SimpleQueue.put is.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._stopping = False

    def healthy(self) -> str | None:
        """None while ticks go on; else why not. See web.Published."""
        age = self._clock() - self._began
        allowed = max(_ALIVE_SECONDS, _ALIVE_INTERVALS * self.config.monitor.interval_seconds)
        return None if age <= allowed else f"the last tick began {age:.0f} s ago, more than {allowed:.0f} s"

    def run(self, before_tick: Callable[[], None] = lambda: None, until: float = math.inf) -> None:
        """Tick until stopped, or until a time of the clock: the last tick is then. Ticks keep to a grid."""
        cadence = Cadence(self._clock)
        while not self._stopping:
            before_tick()
            self.tick()
            left = until - self._clock()
            if left <= 0:
                return
            self._wait(min(left, cadence.next(self.config.monitor.interval_seconds)))
            cadence.cut_short()

    def _wait(self, seconds: float) -> None:
        """So long, or until woken; the meter is read in between where its counters cannot wait so long."""
        while True:
            step = min(seconds, self._measurement.longest_seconds)
            with suppress(Empty):
                self._wake.get(timeout=step)
                return
            seconds -= step
            if seconds <= 0:
                return
            self._measurement.poll()

    def wake(self) -> None:
        """Have `run` tick now. May be called from a signal handler."""
        if self._wake.empty():
            self._wake.put(None)

    def stop(self) -> None:
        """Have `run` return after the tick under way. May be called from a signal handler."""
        self._stopping = True
        self.wake()

    def reconfigure(self, config: Config, lifetimes: Lifetimes) -> None:
        """Go on with another configuration, as far as it can change without a restart."""
        self.config = config
        self._measurement.set_lifetimes(lifetimes)

    def tick(self) -> None:
        """Measure and publish once; never raises."""
        self._began = self._clock()
        self._ticks += 1
        try:
            self._advance()
            self._state.enter("")
        except Exception as error:
            self._state.enter(_spelt(error))
            log.debug("the tick failed", exc_info=True)
        self._duration_seconds = self._clock() - self._began

    def _advance(self) -> None:
        try:
            tick = self._measurement.advance()
        except Exception as error:
            if not self._publisher.is_empty:
                self._publish(self._measurement.miss(), _spelt(error))
            raise
        self._publish(tick)

    def _publish(self, tick: Tick, failure: str = "") -> None:
        self._publisher.publish(tick, self.config, lambda: self._round(failure))

    def _round(self, failure: str) -> Round:
        return Round(
            number=self._ticks,
            interval_seconds=self.config.monitor.interval_seconds,
            duration_seconds=self._clock() - self._began,
            last_duration_seconds=self._duration_seconds,
            ended_seconds=self._began,
            failure=failure,
        )


def _spelt(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
