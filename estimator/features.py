"""The one table of features: what energy goes by, in which unit, and how much of it there can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ebpf.counters import (
    CACHE_MISSES,
    CPU_NS,
    CYCLES,
    FIELDS,
    INSTRUCTIONS,
    SHARED_CYCLES,
    SHARED_NS,
    SWITCHES,
)

FloatArray = npt.NDArray[np.float64]

# Joules per unit of each feature, by zone and name of the feature.
Coefficients = Mapping[str, Mapping[str, float]]

# Of what was used, shape (n, n_sockets, n_fields), and how long each socket was awake, shape (n_sockets,),
# how much of a feature each has; shape (n, n_sockets).
Amount = Callable[[FloatArray, FloatArray], FloatArray]

_MOST_GHZ = 6.5  # above every clock sold: 6.2 GHz (Core i9-14900KS), with room for a timer that is late
_USUAL_GHZ = 3.0  # a cycle at this clock is one clocked cycle


@dataclass(frozen=True, slots=True)
class Feature:
    """One row of the table; to add a feature is to add one.

    name: of the coefficient, of the model's input, of the samples table's column. counters: those that it is
    made of, by the index in ebpf.counters.FIELDS. unit: as a model file has it. usual: so much of it a second
    is what a busy CPU does, to scale by; most: what no CPU does in a second, beyond which a counter lied.
    counts_per_unit: how much of its one counter is one of the feature. predicts: whether models predict power
    from it; learned: whether calibration learns its weight. compute: where it is not its one counter.
    needs_awake: whether it needs the sockets' awake time.
    """

    name: str
    counters: tuple[int, ...]
    unit: str
    usual: float
    most: float
    counts_per_unit: float = 1.0
    predicts: bool = True
    learned: bool = True
    compute: Amount | None = None
    needs_awake: bool = False

    @property
    def field(self) -> int:
        """Its first counter."""
        return self.counters[0]

    def amount(self, used: FloatArray, awake_seconds: FloatArray) -> FloatArray:
        """See Amount."""
        if self.compute is None:
            return np.asarray(used[..., self.field] / self.counts_per_unit)
        return self.compute(used, awake_seconds)


def _core_cycles(used: FloatArray, _awake: FloatArray) -> FloatArray:
    """Cycles of cores rather than of threads: what a core spends once is shared by the two that it runs."""
    return np.maximum(used[..., CYCLES] - used[..., SHARED_CYCLES] / 2, 0.0)


def _clocked_cycles(used: FloatArray, _awake: FloatArray) -> FloatArray:
    """Cycles, times (GHz / 3)², at the clock of each cgroup on each socket: voltage goes with the clock, and
    a cycle's energy with its square."""
    return np.asarray(used[..., CYCLES] * _squared(used[..., CYCLES], used[..., CPU_NS]))


def _socket_clocked_cycles(used: FloatArray, _awake: FloatArray) -> FloatArray:
    """The same at the clock of the socket, for packages whose cores have one clock together."""
    cycles, busy = used[..., CYCLES].sum(axis=0), used[..., CPU_NS].sum(axis=0)
    return np.asarray(used[..., CYCLES] * _squared(cycles, busy))


def _squared(cycles: FloatArray, cpu_ns: FloatArray) -> FloatArray:
    ghz = np.divide(cycles, cpu_ns, out=np.zeros_like(cycles), where=(cpu_ns > 0) & np.isfinite(cpu_ns))
    return np.asarray((np.minimum(ghz, _MOST_GHZ) / _USUAL_GHZ) ** 2)


def _awake_seconds(used: FloatArray, awake_seconds: FloatArray) -> FloatArray:
    """How long a socket was awake, shared by CPU time among those who kept it so."""
    busy = used[..., CPU_NS]
    total = busy.sum(axis=0)
    share = np.divide(busy, total, out=np.zeros_like(busy), where=total > 0)
    return np.asarray(share * awake_seconds)


_MOST_SQUARED = (_MOST_GHZ / _USUAL_GHZ) ** 2
_TABLE = (
    Feature("cpu_seconds", (CPU_NS,), "s", usual=1.0, most=1.0, counts_per_unit=1e9),
    Feature("cycles", (CYCLES,), "1", usual=1e9, most=_MOST_GHZ * 1e9),
    # 8 a cycle.
    Feature("instructions", (INSTRUCTIONS,), "1", usual=1e9, most=52e9),
    # One a nanosecond.
    Feature("cache_misses", (CACHE_MISSES,), "1", usual=1e7, most=1e9),
    # A switch takes a microsecond and more.
    Feature("switches", (SWITCHES,), "1", usual=1e4, most=1e6, predicts=False, learned=False),
    Feature(
        "shared_seconds", (SHARED_NS,), "s", 1.0, 1.0, counts_per_unit=1e9, predicts=False, learned=False
    ),
    Feature("shared_cycles", (SHARED_CYCLES,), "1", 1e9, _MOST_GHZ * 1e9, predicts=False, learned=False),
    Feature(
        "socket_clocked_cycles",
        (CYCLES, CPU_NS),
        "1",
        usual=1e9,
        most=_MOST_GHZ * 1e9 * _MOST_SQUARED,
        predicts=False,
        compute=_socket_clocked_cycles,
    ),
    Feature(
        "core_cycles",
        (CYCLES, SHARED_CYCLES),
        "1",
        usual=1e9,
        most=_MOST_GHZ * 1e9,
        predicts=False,
        compute=_core_cycles,
    ),
    Feature(
        "clocked_cycles",
        (CYCLES, CPU_NS),
        "1",
        usual=1e9,
        most=_MOST_GHZ * 1e9 * _MOST_SQUARED,
        predicts=False,
        compute=_clocked_cycles,
    ),
    Feature(
        "awake_seconds",
        (CPU_NS,),
        "s",
        usual=1.0,
        most=1.0,
        predicts=False,
        compute=_awake_seconds,
        needs_awake=True,
    ),
)
FEATURES: Mapping[str, Feature] = {feature.name: feature for feature in _TABLE}
COUNTED: Mapping[str, Feature] = {name: row for name, row in FEATURES.items() if row.compute is None}
PREDICTORS: Mapping[str, Feature] = {name: row for name, row in FEATURES.items() if row.predicts}
LEARNED: Mapping[str, Feature] = {name: row for name, row in FEATURES.items() if row.learned}
# Of them those that must have predicted better than a fit without them: the others' place is never in doubt.
COMPETING = ("core_cycles", "clocked_cycles", "awake_seconds")


def measured(counted: Set[str], features: Mapping[str, Feature] = COUNTED) -> Iterator[Feature]:
    """Those whose counters are among the counted, which go by their names in ebpf.counters.FIELDS."""
    return (row for row in features.values() if all(FIELDS[field] in counted for field in row.counters))


def names_measured(counted: Set[str]) -> set[str]:
    """The names of the features that these counters tell."""
    return {feature.name for feature in measured(counted)}


def amounts(
    used: FloatArray, features: Sequence[Feature], awake_seconds: FloatArray | None = None
) -> FloatArray:
    """How much of each feature everyone has; shape (n, n_sockets, n_features).

    used: shape (n, n_sockets, n_fields), all who ran, since sockets' clocks and awake time are told by them
    together. awake_seconds: shape (n_sockets,), None where it is not known, for nobody to have any. Of what
    is summed over several ticks, clocks are the mean of them all.
    """
    awake = np.zeros(used.shape[1]) if awake_seconds is None else awake_seconds
    columns = [feature.amount(used, awake) for feature in features]
    return np.stack(columns, axis=-1) if columns else np.zeros((*used.shape[:2], 0))
