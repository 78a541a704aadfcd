"""When each row began to be counted: the start time that a cumulative point carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.metrics.exposition import Family, Labels
from exporter.metrics.floats import Floats

Nanoseconds = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Seen:
    labels: tuple[Labels, ...]
    values: Floats
    starts: Nanoseconds


def told_by(family: Family) -> Nanoseconds | None:
    """The starts that a family tells itself, in ns since 1970; None where it does not."""
    created = getattr(family, "created", None)
    return None if created is None else (np.asarray(created, np.float64) * 1e9).astype(np.int64)


class Starts:
    """The starts of the rows of one snapshot after another; of rows that are gone nothing is kept.

    Where families do not tell them: a row that was not there the last time began after that, and so did one
    whose value went down: within one start no value ever does. began_ns: when counting began, for the rows of
    the first snapshot.
    """

    def __init__(self, began_ns: int) -> None:
        self._last_ns = began_ns
        self._seen: dict[str, _Seen] = {}
        self._next: dict[str, _Seen] = {}

    def of(self, family: Family) -> Nanoseconds:
        """When each row of a family began, in ns since 1970; once a snapshot."""
        told = told_by(family)
        if told is not None:
            return told
        labels, values = tuple(family.labels), np.asarray(family.values, np.float64)
        seen = self._seen.get(family.name)
        if seen is not None and seen.labels == labels:
            starts = np.where(values < seen.values, self._last_ns, seen.starts)
        else:
            starts = self._matched(seen, labels, values)
        self._next[family.name] = _Seen(labels, values, starts)
        return starts

    def end(self, unix_ns: int) -> None:
        """All families of the snapshot of this moment have been asked for."""
        self._seen, self._next = self._next, {}
        self._last_ns = unix_ns

    def _matched(self, seen: _Seen | None, labels: tuple[Labels, ...], values: Floats) -> Nanoseconds:
        known: dict[Labels, tuple[float, int]] = {}
        if seen is not None:
            pairs = zip(seen.values.tolist(), seen.starts.tolist(), strict=True)
            known = dict(zip(seen.labels, pairs, strict=True))
        starts = np.full(len(labels), self._last_ns, np.int64)
        for i, (key, value) in enumerate(zip(labels, values.tolist(), strict=True)):
            last, start = known.get(key, (np.inf, 0))
            if value >= last:
                starts[i] = start
        return starts
