"""Which columns of a recording are counters, and what is made of several of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

import numpy as np

from ebpf.counters import CPU_NS, CYCLES, FIELDS, CounterArray
from estimator import features

# By name of the column: the counter, and how much of it is one of the column's unit.
COUNTED: Mapping[str, tuple[int, float]] = {
    name: (feature.field, feature.counts_per_unit) for name, feature in features.COUNTED.items()
}
CLOCKED, AWAKE = "clocked_cycles", "awake_seconds"
# In the samples alone: of a whole node and its interval.
DERIVED = (CLOCKED, AWAKE)
_USUAL_GHZ = 3.0


def counted(available: Set[str]) -> Iterator[tuple[str, int, float]]:
    """Name, counter and counts per unit of the columns whose counters are among the available."""
    return (
        (name, field, per_unit) for name, (field, per_unit) in COUNTED.items() if FIELDS[field] in available
    )


def clocked_cycles(counts: CounterArray) -> float:
    """Σ cycles · (GHz / 3)² over the rows of shape (n, n_fields), a cgroup and socket each; GHz is the clock
    that it ran at, its cycles over its CPU time."""
    cycles, cpu_ns = (counts[:, field].astype(np.float64) for field in (CYCLES, CPU_NS))
    ghz = np.divide(cycles, cpu_ns, out=np.zeros_like(cycles), where=cpu_ns > 0)
    return float((cycles * (ghz / _USUAL_GHZ) ** 2).sum())
