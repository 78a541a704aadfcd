"""The tick: when it happens, what it publishes, and whether it is alive."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from exporter.api.observer import Observer, Round
from exporter.collect import Collector
from exporter.config import Config
from exporter.exposition import Renderer
from exporter.measurement import Measurement, Tick
from exporter.page import RenderedPage
from exporter.register import Lifetimes
from exporter.tick_page import TickPage

log = logging.getLogger("exporter.tick")

_ALIVE_INTERVALS, _ALIVE_SECONDS = 3, 10.0


class Ticker:
    """Measures and renders once per interval, in the thread that calls `run`; the web reads the last page.

    A tick that fails is counted and logged once per kind of failure, and the page says so: its counters stay,
    its gauges of the last tick go. The next tick goes on from there.
    """

    def __init__(
        self, config: Config, measurement: Measurement, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.config = config
        self.page: RenderedPage | None = None
        self._measurement = measurement
        self._collector = Collector(
            measurement, config.kube.node_name, config.host.procfs, config.kube.pod_labels
        )
        self._renderer = Renderer()
        self._observer = Observer(measurement, config.kube.node_name, clock)
        self._clock = clock
        self._began = clock()
        self._ticks = 0
        self._duration_seconds = 0.0
        self._failure = ""
        # A signal may come while we wait on it: an Event's lock is not reentrant, SimpleQueue.put is.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._stopping = False

    def healthy(self) -> str | None:
        """None while ticks go on; else why not. See web.Published."""
        age = self._clock() - self._began
        allowed = max(_ALIVE_SECONDS, _ALIVE_INTERVALS * self.config.monitor.interval_seconds)
        return None if age <= allowed else f"the last tick began {age:.0f} s ago, more than {allowed:.0f} s"

    def run(self, before_tick: Callable[[], None]) -> None:
        """Tick until stopped. Ticks keep to the interval's grid; one that is late is not made up for."""
        due = self._clock()
        while not self._stopping:
            before_tick()
            self.tick()
            due = max(due + self.config.monitor.interval_seconds, self._clock())
            with suppress(Empty):
                self._wake.get(timeout=max(0.0, due - self._clock()))
            due = min(due, self._clock())  # woken early: the grid begins here

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
        """Measure, collect and render once; never raises."""
        self._began = self._clock()
        self._ticks += 1
        try:
            self._advance()
            self._enter("")
        except Exception as error:
            self._enter(_spelt(error))
            log.debug("the tick failed", exc_info=True)
        self._duration_seconds = self._clock() - self._began

    def _advance(self) -> None:
        try:
            tick = self._measurement.advance()
        except Exception as error:
            if self.page is not None:
                self._publish(self._measurement.miss(), _spelt(error))
            raise
        self._publish(tick)

    def _publish(self, tick: Tick, failure: str = "") -> None:
        with self._measurement.components.timed("render"):
            levels = self.config.exporter.prometheus.metrics_level
            families = self._collector.collect(tick, levels, self._ticks, self._duration_seconds)
            blocks = self._renderer.blocks(families)
        view = None
        try:
            with self._measurement.components.timed("view"):
                view = self._observer.observe(tick, self._round(failure))
        finally:  # whatever ails the page, Prometheus gets its metrics, and never more than is kept
            self._measurement.keeper.keep(self._measurement)
            self.page = TickPage(blocks, view)

    def _round(self, failure: str) -> Round:
        return Round(
            number=self._ticks,
            interval_seconds=self.config.monitor.interval_seconds,
            duration_seconds=self._clock() - self._began,
            ended_seconds=self._began,
            failure=failure,
        )

    def _enter(self, failure: str) -> None:
        if failure == self._failure:
            return
        self._failure = failure
        if failure:
            log.error("the tick failed, counters stay as they were: %s", failure)
        else:
            log.info("ticking again")


def _spelt(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
