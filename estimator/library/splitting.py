"""Blocks of time as scikit-learn's cross-validation wants them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils.validation import _num_samples

from estimator.training.blocks import BLOCKS, Split, time_blocks


class BlockedSplit(BaseCrossValidator):  # type: ignore[misc]  # scikit-learn has no types
    """Each of n_splits blocks of time as the test of what the others train, for GridSearchCV and its like.

    Rows side by side in time are nearly the same row: shuffled, a model is tested on what it has seen. X with
    a column timestamp_seconds is parted by it, anything else by the order of its rows.
    """

    def __init__(self, n_splits: int = BLOCKS) -> None:
        self.n_splits = n_splits

    def split(self, X: Any, y: object = None, groups: object = None) -> Iterator[Split]:  # noqa: N803, ARG002
        """(train, test) by position, block after block."""
        is_timed = isinstance(X, pd.DataFrame) and "timestamp_seconds" in X
        times = X["timestamp_seconds"].to_numpy(np.float64) if is_timed else np.arange(float(_num_samples(X)))
        return time_blocks(times, self.n_splits)

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:  # noqa: N803, ARG002
        """How many there are."""
        return self.n_splits
