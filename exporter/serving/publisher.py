"""What one tick publishes: metrics, rendered when asked for, and the view of the API and the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from exporter.configuration.config import Config
from exporter.metrics.collect import Collector
from exporter.metrics.exposition import Family, Renderer
from exporter.metrics.negotiation import Once, RenderedPage
from exporter.serving.api.observer import Observer
from exporter.serving.api.view import View
from exporter.tick.measurement import Measurement, Tick
from exporter.tick.ticker import Round, Ticker


class TickPage(RenderedPage):
    """One immutable snapshot, so that one assignment publishes all of a tick. view: None if it failed."""

    def __init__(self, render: Callable[[bool], bytes], view: View | None) -> None:
        super().__init__(render)
        self.view = view


class Outlet(Protocol):
    """Another way out for what a tick publishes."""

    def families(self) -> list[Family]:
        """What it says of itself, on the page as well."""

    def show(self, families: Sequence[Family]) -> None:
        """Take what a tick publishes; neither waits nor raises."""


class PagePublisher:
    """Publishes each tick; the web renders and reads the last page. page: None before the first."""

    def __init__(
        self,
        config: Config,
        measurement: Measurement,
        clock: Callable[[], float] = time.monotonic,
        outlet: Outlet | None = None,
    ) -> None:
        self.page: TickPage | None = None
        self._measurement = measurement
        self._collector = Collector(
            measurement,
            config.kube.node_name,
            config.host.procfs,
            config.kube.pod_labels,
            others=outlet.families if outlet else list,
        )
        self._outlet = outlet
        self._renderer = Renderer()
        self._observer = Observer(measurement, config.kube.node_name, clock)

    @property
    def is_empty(self) -> bool:
        """See tick.ticker.Publisher."""
        return self.page is None

    def publish(self, tick: Tick, config: Config, when: Callable[[], Round]) -> None:
        """See tick.ticker.Publisher."""
        timed = self._measurement.components.timed
        with timed("render"):
            levels, now = config.exporter.prometheus.metrics_level, when()
            families = self._collector.measured(tick, levels, now.number, now.last_duration_seconds)
        view = None
        try:
            with timed("view"):
                view = self._observer.observe(tick, when())
        finally:  # whatever ails the page, Prometheus gets its metrics, and never more than is kept
            self._measurement.keeper.keep(self._measurement)
            own = Once(self._collector.own)  # of a tick that nobody asks for it is not read
            self.page = TickPage(partial(self._render, families, own), view)
            if self._outlet:
                self._outlet.show([*families, *own.get()])

    def _render(self, families: list[Family], own: Once[list[Family]], openmetrics: bool) -> bytes:
        return self._renderer.render([*families, *own.get()], openmetrics)


@dataclass(slots=True)
class Stage:
    """What the web shows: nothing until there is a ticker, then what was published; see page.Published."""

    ticker: Ticker | None = None
    publisher: PagePublisher | None = None

    @property
    def page(self) -> TickPage | None:
        """What the last tick rendered."""
        return self.publisher.page if self.publisher else None

    def healthy(self) -> str | None:
        """None while ticks go on, or before the first; else why not."""
        return self.ticker.healthy() if self.ticker else None
