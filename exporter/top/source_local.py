"""Frames from a measurement of our own, through the same documents as the API's."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from exporter.books.row_lifetimes import Lifetimes
from exporter.configuration.config import Config
from exporter.configuration.option_tree import LEVELS, State
from exporter.serving.api.observer import Observer
from exporter.serving.api.query import WorkloadsQuery
from exporter.serving.api.rows import SHOWN_KINDS
from exporter.serving.api.status import status
from exporter.serving.api.view import Rows, View
from exporter.serving.api.workloads_answer import WorkloadsWriter
from exporter.tick.assembly import assemble
from exporter.tick.measurement import Measurement, Tick
from exporter.tick.ticker import Round
from exporter.top.first_rates import with_first_rates
from exporter.top.frame import Frame, Unanswered, make_frame
from exporter.top.lacking import line_of
from exporter.top.warning_line import without_preliminaries

# A row waits for its name no longer than this part of an interval: so the first table holds them all.
_NAMING_PART = 0.9


class LocalSource:
    """Measures at each read. Belongs to one thread at a time. lacks: see Node."""

    waits = True
    measures = True

    def __init__(
        self, measurement: Measurement, node_name: str, interval_seconds: float, lacks: str = ""
    ) -> None:
        self._measurement, self._lacks = measurement, lacks
        self._interval_seconds = interval_seconds
        self._observer = Observer(measurement, node_name)
        self._writer = WorkloadsWriter()
        self._number = 0
        self._has_measured = False

    def read(self) -> Frame:
        """One tick. Raises Unanswered where it fails: the next one then spans both."""
        began = time.monotonic()
        self._number += 1
        try:
            tick = self._measurement.advance()
        except Exception as error:
            self._measurement.miss()
            raise Unanswered(f"the measurement failed: {type(error).__name__}: {error}") from error
        return self._frame(tick, began)

    def close(self) -> None:
        """Detach from the kernel and the meter."""
        self._measurement.close()

    def _frame(self, tick: Tick, began: float) -> Frame:
        now = time.monotonic()
        when = Round(self._number, self._interval_seconds, now - began, 0.0, began)
        view = self._observer.observe(tick, when)
        if tick.interval_seconds > 0 and not self._has_measured:
            self._has_measured = True
            view = replace(view, rows=self._first_rates(view, tick))
        frame = _as_answered(view, self._writer, now)
        return replace(frame, node=replace(frame.node, lacks=self._lacks))

    def _first_rates(self, view: View, tick: Tick) -> Rows:
        balances = [self._measurement.ledger.balances(*SHOWN_KINDS)]
        if self._measurement.processes is not None:
            balances.append(self._measurement.processes.ledger.balances("process"))
        if sum(len(each.accounts) for each in balances) != len(view.rows.accounts):
            return view.rows
        return with_first_rates(view.rows, balances, tick.interval_seconds, tick.usage.available)


def open_local(config: Config, interval_seconds: float) -> LocalSource:
    """A measurement with these options, and by process. Raises what `assemble` raises."""
    with without_preliminaries():
        measurement = assemble(for_top(config))
    measurement.set_lifetimes(
        Lifetimes(config.monitor.terminated_ttl_seconds, silence_seconds=_NAMING_PART * interval_seconds)
    )
    lacks = line_of(measurement, config)
    return LocalSource(measurement, config.kube.node_name, interval_seconds, lacks)


def for_top(config: Config) -> Config:
    """The configuration without what belongs to a running exporter, and with processes told apart.

    The levels say which series are exported, and nothing is here; the state is the exporter's to write.
    """
    prometheus = replace(config.exporter.prometheus, metrics_level=LEVELS)
    return replace(config, exporter=replace(config.exporter, prometheus=prometheus), state=State())


def _as_answered(view: View, writer: WorkloadsWriter, now_seconds: float) -> Frame:
    """What a client would make of the API's answers: so both ways show the same."""
    return make_frame(status(view, now_seconds, None), json.loads(writer.write(view, WorkloadsQuery())))
