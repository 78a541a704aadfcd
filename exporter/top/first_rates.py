"""The rates of a measurement's first tick: what its rows hold is what they grew by, since they began at 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from estimator.energy import FloatArray
from exporter.books.ledger import Balances
from exporter.serving.api.rows import rates
from exporter.serving.api.view import VALUES, Rows

_RATES = [VALUES.index(name) for name in ("cores", "instructions_per_cycle", "misses_per_1000_instructions")]


def with_first_rates(
    rows: Rows, balances: Sequence[Balances], interval_seconds: float, available: frozenset[str]
) -> Rows:
    """The rows with their rates. balances: those that the rows were made of, in the rows' order.

    The API's rates are of rows that it has seen before: of another one it cannot say since when it holds
    what it holds. Of one that was measured in a single tick we can.
    """
    values = rows.values.copy()
    values[:, _RATES] = np.concatenate([rates(_used(each), interval_seconds, available) for each in balances])
    return replace(rows, values=values)


def _used(balances: Balances) -> FloatArray:
    counters = (balances.cpu_seconds, balances.cycles, balances.instructions, balances.cache_misses)
    return np.stack(counters, axis=1)
