"""Splits in time; nothing here shuffles: rows side by side are nearly the same row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold

IntArray = npt.NDArray[np.intp]
Split = tuple[IntArray, IntArray]

LATER = 0.3
BLOCKS = 5


def later_part(timestamps: npt.NDArray[np.float64]) -> Split:
    """The rows of the first 70 % of the time-ordered table, and those of the rest, by position."""
    order = np.argsort(timestamps, kind="stable")
    cut = round((1 - LATER) * len(order))
    return np.sort(order[:cut]), np.sort(order[cut:])


def time_blocks(timestamps: npt.NDArray[np.float64], n_blocks: int = BLOCKS) -> Iterator[Split]:
    """Each of the blocks in time as the test of what the others train; (train, test) by position."""
    order = np.argsort(timestamps, kind="stable")
    for train, test in KFold(n_blocks).split(order):
        yield np.sort(order[train]), np.sort(order[test])
