"""The rates of a measurement's first tick: what its rows hold is what they grew by, since they began at 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from estimator.energy import FloatArray
from exporter.api.view import VALUES, Rows
from exporter.ledger import Balances

_RATES = [VALUES.index(name) for name in ("cores", "instructions_per_cycle", "misses_per_1000_instructions")]


def with_first_rates(
    rows: Rows, balances: Sequence[Balances], interval_seconds: float, available: frozenset[str]
) -> Rows:
    """The rows with their rates. balances: those that the rows were made of, in the rows' order.

    The API's rates are of rows that it has seen before: of another one it cannot say since when it holds
    what it holds. Of one that was measured in a single tick we can.
    """
    values = rows.values.copy()
    values[:, _RATES] = np.concatenate([_rates(each, interval_seconds, available) for each in balances])
    return replace(rows, values=values)


def _rates(balances: Balances, interval_seconds: float, available: frozenset[str]) -> FloatArray:
    """In the order of _RATES, shape (n, 3); NaN where not known."""
    rates = np.full((len(balances.accounts), len(_RATES)), np.nan)
    rates[:, 0] = balances.cpu_seconds / interval_seconds
    if {"instructions", "cycles"} <= available:
        np.divide(balances.instructions, balances.cycles, out=rates[:, 1], where=balances.cycles > 0)
    if {"instructions", "cache_misses"} <= available:
        misses = 1000 * balances.cache_misses
        np.divide(misses, balances.instructions, out=rates[:, 2], where=balances.instructions > 0)
    return rates
