"""The history's rows: one a workload, at most so many, the others in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray
from exporter.names.accounts import Account
from exporter.names.workloads import Kind

IndexArray = npt.NDArray[np.intp]

_FIRST_CAPACITY = 64
_OTHERS = 0  # the row that takes in what has none of its own
# Of all rows, the part that may change hands in one tick: a crowd that comes at once must not drive out all.
_NEWCOMERS = 8


class HistoryRows:
    """float32 joules by row and slot; where rows run out, the one with the least energy joins the others."""

    def __init__(self, n_slots: int, max_rows: int) -> None:
        self._max_rows = max_rows
        self._values = np.zeros((min(_FIRST_CAPACITY, max_rows) + 1, n_slots), np.float32)
        self._accounts: list[Account | None] = [None]
        self._row_of: dict[tuple[Kind, str], int] = {}
        self._seen: tuple[Sequence[Account], IndexArray] = ((), np.zeros(0, np.intp))

    @property
    def n_bytes(self) -> int:
        """What the array takes."""
        return self._values.nbytes

    def clear(self, places: IndexArray | npt.NDArray[np.int64]) -> None:
        """Empty these columns."""
        self._values[:, places] = 0.0

    def add(
        self,
        accounts: Sequence[Account],
        joules: FloatArray,
        rest: float,
        places: npt.NDArray[np.int64],
        parts: FloatArray,
    ) -> None:
        """Add joules, shape (n,), in these parts to these columns; rest to the others."""
        rows = self._rows_of(accounts, joules)
        spent = np.bincount(rows, joules, len(self._accounts)) if len(rows) else np.zeros(1)
        spent[_OTHERS] += rest
        used = np.flatnonzero(spent)
        self._values[used[:, None], places[None, :]] += (spent[used, None] * parts).astype(np.float32)

    def top(
        self, count: int, places: npt.NDArray[np.int64], starts: IndexArray
    ) -> tuple[tuple[Account, ...], FloatArray, FloatArray, int]:
        """The accounts with the most energy in these columns, theirs by point, and the others' with how many.

        starts: where in places each point begins. Rows without any energy there are not among them.
        """
        used = self._values[: len(self._accounts)]
        totals = used[:, places].sum(axis=1, dtype=np.float64)
        totals[_OTHERS] = 0.0
        chosen = np.argsort(-totals, kind="stable")[: min(count, np.count_nonzero(totals))]
        rest = np.ones(len(used), np.bool_)
        rest[chosen] = False
        accounts = tuple(account for row in chosen.tolist() if (account := self._accounts[row]))
        others = used.sum(axis=0, where=rest[:, None], dtype=np.float64)[places]
        points = added(used[np.ix_(chosen, places)], starts)
        return accounts, points, added(others, starts), int(np.count_nonzero(totals[rest]))

    def _rows_of(self, accounts: Sequence[Account], joules: FloatArray) -> IndexArray:
        """The row of each account; of those that come anew, the largest get one."""
        if accounts is not self._seen[0]:
            known = [self._row_of.get(account.key, _OTHERS) for account in accounts]
            self._seen = accounts, np.array(known, np.intp)
        rows = self._seen[1]
        new = np.flatnonzero((rows == _OTHERS) & (joules > 0))
        if len(new):
            self._admit([accounts[i] for i in new[np.argsort(-joules[new], kind="stable")].tolist()])
            rows = np.array([self._row_of.get(account.key, _OTHERS) for account in accounts], np.intp)
            self._seen = accounts, rows
        return rows

    def _admit(self, accounts: Sequence[Account]) -> None:
        free = self._max_rows + 1 - len(self._accounts)
        replaced = min(len(accounts) - free, max(1, self._max_rows // _NEWCOMERS))
        for row, account in zip(self._freed(replaced), accounts[max(0, free) :], strict=False):
            self._accounts[row] = account
            self._row_of[account.key] = row
        for account in accounts[:free]:
            self._row_of[account.key] = len(self._accounts)
            self._accounts.append(account)
        self._grow()

    def _freed(self, count: int) -> list[int]:
        """So many rows of the least energy, which the others take in."""
        if count <= 0:
            return []
        least = 1 + np.argsort(self._values[1 : len(self._accounts)].sum(axis=1), kind="stable")[:count]
        self._values[_OTHERS] += self._values[least].sum(axis=0)
        self._values[least] = 0.0
        for row in least.tolist():
            account = self._accounts[row]
            if account is not None:
                del self._row_of[account.key]
        return [int(row) for row in least]

    def _grow(self) -> None:
        missing = len(self._accounts) - len(self._values)
        if missing > 0:
            capacity = min(self._max_rows + 1, max(2 * len(self._values), len(self._accounts)))
            grown = np.zeros((capacity, self._values.shape[1]), np.float32)
            grown[: len(self._values)] = self._values
            self._values = grown


def added(values: npt.NDArray[np.float32] | FloatArray, starts: IndexArray) -> FloatArray:
    """Sums over the last axis of the groups that begin at starts, in float64."""
    if not len(starts):
        return np.zeros((*values.shape[:-1], 0))
    return np.add.reduceat(values, starts, axis=-1, dtype=np.float64)
