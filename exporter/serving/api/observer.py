"""What the tick hands to the API: a view of itself, and the history brought up to date."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from estimator.energy import FloatArray, ZoneShare
from exporter.books.node_totals import NodeZone
from exporter.serving.api.gpus import gpus_now
from exporter.serving.api.grid import Grid, grid_now
from exporter.serving.api.history import History, Spent
from exporter.serving.api.places import Places
from exporter.serving.api.rows import SHOWN_KINDS, RowMaker, joined
from exporter.serving.api.view import Counting, Energy, Pace, Rows, View, ZoneView
from exporter.tick.measurement import Measurement, Tick
from exporter.tick.ticker import Round
from exporter.tick.zone_sources import ZoneSource, zone_sources


class Observer:
    """Makes a View of each tick, in the tick's thread. wall: Unix time, clock: the ticker's own."""

    def __init__(
        self,
        measurement: Measurement,
        node_name: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.history = History()
        self._measurement = measurement
        self._node_name = node_name
        self._clock, self._wall = clock, wall
        self._started_seconds = clock()
        self._rows = RowMaker(Places(measurement.pods))
        self._processes = RowMaker(Places(measurement.pods, measurement.processes))

    def observe(self, tick: Tick, when: Round) -> View:
        """The view of a tick that has been booked."""
        measurement = self._measurement
        statistics = measurement.statistics
        counted, grid = measurement.tariffs.zones, grid_now(measurement.tariffs)
        rows, joules = self._rows.make(measurement.ledger.balances(*SHOWN_KINDS), counted, grid, tick)
        self._remember(tick, when, counted, rows, joules)
        return View(
            node=self._node_name,
            pace=self._pace(tick, when),
            energy=self._energy(tick, counted, grid),
            counting=Counting(
                measurement.source.name,
                measurement.available,
                statistics.dropped_ns / 1e9,
                statistics.lost_events,
                measurement.processes is not None,
            ),
            cpu_ratio=tick.usage.cpu_ratio if tick.interval_seconds > 0 else math.nan,
            n_cpu=tick.usage.n_cpu,
            components={name: part.now() for name, part in measurement.components.by_name.items()},
            kubernetes=measurement.pods.status(),
            grid=grid,
            rows=joined(rows, self._by_process(counted, grid, tick)),
            history=self.history,
            gpus=gpus_now(measurement),
        )

    def _pace(self, tick: Tick, when: Round) -> Pace:
        return Pace(
            number=when.number,
            interval_seconds=when.interval_seconds,
            spanned_seconds=tick.interval_seconds,
            duration_seconds=when.duration_seconds,
            started_seconds=self._started_seconds,
            ended_seconds=when.ended_seconds,
            wall_offset_seconds=self._wall() - self._clock(),
            failure=when.failure,
        )

    def _energy(self, tick: Tick, counted: tuple[str, ...], grid: Grid) -> Energy:
        ledger, source = self._measurement.ledger, self._measurement.power.source
        by_place = {(share.energy.zone, share.energy.path): share for share in tick.shares}
        shares = [share for share in tick.shares if share.energy.zone in counted]
        grams, cost = ledger.node.charges.total.tolist()
        sources = zone_sources(self._measurement.power)
        return Energy(
            source=source.info,
            zones=[
                _zone(totals, by_place.get((totals.zone, totals.path)), sources.get(totals.zone))
                for totals in ledger.node.zones()
            ],
            counted_zones=counted,
            unattributed_watts=sum(map(_unattributed_watts, shares)) if shares else math.nan,
            unattributed_joules=sum(
                joules for (zone, _), joules in ledger.node.unattributed().items() if zone in counted
            ),
            carbon_grams=math.nan if math.isnan(grid.carbon_grams_per_kwh) else grams,
            cost=math.nan if math.isnan(grid.price_per_kwh) else cost,
            errors=source.errors(),
        )

    def _by_process(self, counted: tuple[str, ...], grid: Grid, tick: Tick) -> Rows | None:
        processes = self._measurement.processes
        if processes is None:
            return None
        balances = processes.ledger.balances("process")
        return self._processes.make(balances, counted, grid, tick)[0]

    def _remember(
        self, tick: Tick, when: Round, counted: tuple[str, ...], rows: Rows, joules: FloatArray
    ) -> None:
        """Book the tick in the history; joules: see RowMaker.make."""
        shares = [share for share in tick.shares if share.energy.zone in counted]
        seconds = max((share.energy.interval_seconds for share in shares), default=0.0)
        if seconds > 0:
            active = sum(float(share.cgroup_joules.sum()) for share in shares)
            accounts, joules = self._rows.top(rows, joules, seconds, active)
            rest = max(0.0, active - float(joules.sum()))
            spent = Spent(accounts, joules, rest, _series(tick, counted))
            self.history.add(when.ended_seconds, seconds, spent)


def _series(tick: Tick, counted: Sequence[str]) -> dict[str, float]:
    """The node's joules by name: of the counted zones together, and "zone/…" of each zone."""
    series = dict.fromkeys(("total", "idle", "unattributed"), 0.0)
    for share in tick.shares:
        zone, total, idle = share.energy.zone, share.energy.joules, share.idle_joules
        found = {f"{zone}/total": total, f"{zone}/idle": idle}
        if zone in counted:
            found |= {"total": total, "idle": idle, "unattributed": sum(share.unattributed_joules.values())}
        for name, joules in found.items():
            series[name] = series.get(name, 0.0) + joules
    return series


def _zone(totals: NodeZone, share: ZoneShare | None, source: ZoneSource | None) -> ZoneView:
    told = ("", "") if source is None else (source.info.source, source.why)
    if share is None or share.energy.interval_seconds <= 0:
        return ZoneView(totals, "", None, None, *told)
    energy = share.energy
    is_interval = energy.low_joules < energy.high_joules
    return ZoneView(
        totals,
        share.idle_method,
        energy.low_joules / energy.interval_seconds if is_interval else None,
        energy.high_joules / energy.interval_seconds if is_interval else None,
        *told,
    )


def _unattributed_watts(share: ZoneShare) -> float:
    seconds = share.energy.interval_seconds
    return sum(share.unattributed_joules.values()) / seconds if seconds > 0 else 0.0
