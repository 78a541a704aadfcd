"""By how much cumulative rows grew between two ticks, while rows come and go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from estimator.energy import FloatArray
from exporter.names.accounts import Account


class Growth:
    """Remembers the last look; rows are told apart by their account's key."""

    def __init__(self) -> None:
        self._accounts: Sequence[Account] = ()
        self._values: FloatArray = np.zeros((0, 0))

    def since_last(self, accounts: Sequence[Account], values: FloatArray) -> FloatArray:
        """What each row grew by, shape (n, k) as values; NaN where row or column is seen for the first time.

        accounts: the same object as long as none of them came or went.
        """
        before = np.full(values.shape, np.nan)
        columns = min(values.shape[1], self._values.shape[1])
        if accounts is self._accounts:
            before[:, :columns] = self._values[:, :columns]
        else:
            row_of = {account.key: row for row, account in enumerate(self._accounts)}
            known = [(i, row) for i, each in enumerate(accounts) if (row := row_of.get(each.key)) is not None]
            if known:
                here, there = np.array(known).T
                before[here, :columns] = self._values[there, :columns]
        self._accounts, self._values = accounts, values
        grown: FloatArray = values - before
        return grown
