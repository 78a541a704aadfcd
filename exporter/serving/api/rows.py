"""The rows of a view, from the ledger's balances: what each workload has used, and what it uses now."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray
from exporter.books.ledger import Balances
from exporter.names.accounts import Account
from exporter.names.workloads import Kind
from exporter.serving.api.grid import Grid
from exporter.serving.api.growth import Growth
from exporter.serving.api.places import Places
from exporter.serving.api.view import TOP_KINDS, VALUES, Rows, is_top
from exporter.tick.measurement import Tick

SHOWN_KINDS: tuple[Kind, ...] = (*TOP_KINDS, "container")

BoolArray = npt.NDArray[np.bool_]

_WATTS, _JOULES, _SECONDS = (VALUES.index(name) for name in ("watts", "joules", "cpu_seconds"))
_RATES = slice(VALUES.index("cores"), VALUES.index("misses_per_1000_instructions") + 1)
_CHARGES = slice(VALUES.index("carbon_grams"), VALUES.index("cost_per_hour") + 1)


class RowMaker:
    """Rows tick by tick, of one ledger."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._growth = Growth()
        self._tops: tuple[Sequence[Account], BoolArray, tuple[Account, ...]] = (), np.zeros(0, np.bool_), ()

    def make(
        self, balances: Balances, counted: tuple[str, ...], grid: Grid, tick: Tick
    ) -> tuple[Rows, FloatArray]:
        """The rows, and what each of them spent since the last tick in the counted zones.

        The latter in joules, shape (n,), NaN for a row that was not shown in the last tick.
        """
        chosen = [balances.zones.index(zone) for zone in counted if zone in balances.zones]
        joules = balances.joules[:, chosen].sum(axis=1)
        counters = (balances.cpu_seconds, balances.cycles, balances.instructions, balances.cache_misses)
        grown = self._growth.since_last(balances.accounts, np.stack([joules, *counters], axis=1))
        values = np.full((len(joules), len(VALUES)), np.nan)
        if chosen:
            values[:, _WATTS] = balances.watts[:, chosen].sum(axis=1)
            values[:, _JOULES] = joules
        values[:, _SECONDS] = balances.cpu_seconds
        values[:, _RATES] = rates(grown[:, 1:], tick.interval_seconds, tick.usage.available)
        values[:, _CHARGES] = _charges(balances, values[:, _WATTS], grid)
        rows = Rows(
            accounts=balances.accounts,
            places=self._places.of(balances.accounts),
            zones=balances.zones,
            values=values,
            watts=balances.watts,
            joules=balances.joules,
            running=balances.running,
        )
        return rows, grown[:, 0]

    def top(
        self, rows: Rows, joules: FloatArray, seconds: float, active: float
    ) -> tuple[Sequence[Account], FloatArray]:
        """The accounts that are in no other, and what each of them spent in this tick, in joules.

        A row that is shown for the first time may hold the energy of earlier ticks, when it had no name: of
        it counts what its power says. Their sum never exceeds `active`, what the node spent on workloads.
        The accounts are the same object as long as the rows' are.
        """
        if self._tops[0] is not rows.accounts:
            tops = np.array(
                [is_top(each.workload.kind, each.workload.pod_uid) for each in rows.accounts], np.bool_
            )
            self._tops = rows.accounts, tops, tuple(compress(rows.accounts, tops))
        _, tops, accounts = self._tops
        spent = np.where(np.isnan(joules), rows.values[:, _WATTS] * seconds, joules)[tops]
        spent = np.maximum(0.0, np.nan_to_num(spent))
        whole = float(spent.sum())
        return accounts, spent * (active / whole) if whole > active else spent


def joined(rows: Rows, more: Rows | None) -> Rows:
    """Both sets of books in one; they have seen the same ticks, so the zones are the same."""
    if more is None or more.zones != rows.zones:
        return rows
    return Rows(
        accounts=(*rows.accounts, *more.accounts),
        places=(*rows.places, *more.places),
        zones=rows.zones,
        values=np.concatenate([rows.values, more.values]),
        watts=np.concatenate([rows.watts, more.watts]),
        joules=np.concatenate([rows.joules, more.joules]),
        running=np.concatenate([rows.running, more.running]),
    )


def rates(used: FloatArray, interval_seconds: float, available: frozenset[str]) -> FloatArray:
    """Cores, instructions per cycle, misses per 1000 instructions; shape (n, 3), NaN where not known.

    used: CPU seconds, cycles, instructions and cache misses of the interval, shape (n, 4).
    """
    seconds, cycles, instructions, misses = used.T
    found = np.full((len(used), 3), np.nan)
    if interval_seconds > 0:
        found[:, 0] = seconds / interval_seconds
    if {"instructions", "cycles"} <= available:
        np.divide(instructions, cycles, out=found[:, 1], where=cycles > 0)
    if {"instructions", "cache_misses"} <= available:
        np.divide(1000 * misses, instructions, out=found[:, 2], where=instructions > 0)
    return found


def _charges(balances: Balances, watts: FloatArray, grid: Grid) -> FloatArray:
    """Grams and grams an hour, cost and cost an hour; shape (n, 4), NaN where not known."""
    grams_rate, cost_rate = grid.grams_per_hour_and_watt, grid.cost_per_hour_and_watt
    grams = np.full(len(watts), np.nan) if np.isnan(grams_rate) else balances.grams
    cost = np.full(len(watts), np.nan) if np.isnan(cost_rate) else balances.cost
    return np.stack([grams, watts * grams_rate, cost, watts * cost_rate], axis=1)
