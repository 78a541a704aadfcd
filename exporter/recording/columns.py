"""Which columns of a recording are counters, and what is made of several of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

import numpy as np

from ebpf.counters import FIELDS, CounterArray
from estimator import features

# By name of the column: the counter, and how much of it is one of the column's unit.
COUNTED: Mapping[str, tuple[int, float]] = {
    name: (feature.field, feature.counts_per_unit) for name, feature in features.COUNTED.items()
}
CLOCKED, AWAKE = "clocked_cycles", "awake_seconds"
# In the samples alone: of a whole node and its interval.
DERIVED = (CLOCKED, AWAKE)


def counted(available: Set[str]) -> Iterator[tuple[str, int, float]]:
    """Name, counter and counts per unit of the columns whose counters are among the available."""
    return (
        (name, field, per_unit) for name, (field, per_unit) in COUNTED.items() if FIELDS[field] in available
    )


def clocked_cycles(counts: CounterArray) -> float:
    """The feature's sum over the rows of shape (n, n_fields), a cgroup and socket each."""
    used = counts[:, np.newaxis].astype(np.float64)
    return float(features.FEATURES[CLOCKED].amount(used, np.zeros(1)).sum())
