"""A table of floats whose rows come and go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from estimator.energy import FloatArray
from exporter.names.accounts import Account

_FIRST_CAPACITY = 64


@dataclass(frozen=True, slots=True, eq=False)
class KeptRows:
    """All rows of a ledger, as they outlive the process.

    values: shape (n, n_columns), the columns in the ledger's order, those of `zones` last. ended_seconds:
    shape (n,), since the workload ended, -1 where it has not. since_seconds: shape (n,), the Unix time at
    which the row was 0. accounts: the same object while none changes.
    """

    accounts: tuple[Account, ...]
    zones: tuple[str, ...]
    values: FloatArray
    ended_seconds: FloatArray
    since_seconds: FloatArray


class RowTable:
    """float64 rows by number; a released row is taken again, so that no churn makes the table grow.

    values: shape (capacity, n_columns), including rows that nobody has taken. Growing and shrinking replace
    it: hold no reference to it across `take`, `shrink` or `widen`.
    """

    def __init__(self, n_columns: int) -> None:
        self.values: FloatArray = np.zeros((_FIRST_CAPACITY, n_columns))
        self._free = _downwards(0, _FIRST_CAPACITY)

    @property
    def capacity(self) -> int:
        """How many rows there is room for."""
        return len(self.values)

    def take(self) -> int:
        """The number of a row that nobody has, all zeros."""
        if not self._free:
            self._free = _downwards(self.capacity, 2 * self.capacity)
            self.values = np.concatenate([self.values, np.zeros_like(self.values)])
        row = self._free.pop()
        self.values[row] = 0.0
        return row

    def release(self, row: int) -> None:
        """Give back a row; what it held is gone."""
        self._free.append(row)

    def shrink(self) -> bool:
        """Give back the upper half where nobody has a row there and few have one below, again and again.

        Whether anything was given back.
        """
        half = self.capacity // 2
        if half < _FIRST_CAPACITY or len(self._free) < self.capacity - half // 2:
            return False
        free = sorted((row for row in self._free if row < half), reverse=True)
        if len(self._free) - len(free) < self.capacity - half:
            return False
        self._free, self.values = free, self.values[:half].copy()
        self.shrink()
        return True

    def widen(self, n_columns: int) -> None:
        """Add columns of zeros on the right."""
        self.values = np.concatenate([self.values, np.zeros((self.capacity, n_columns))], axis=1)


def _downwards(start: int, stop: int) -> list[int]:
    """The rows in the order that gives out the lowest first."""
    return list(range(stop - 1, start - 1, -1))
