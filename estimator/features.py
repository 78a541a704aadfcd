"""The one table of features: what energy goes by, in which unit, and how much of it there can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from ebpf.counters import CACHE_MISSES, CPU_NS, CYCLES, FIELDS, INSTRUCTIONS, SWITCHES

# Joules per unit of each feature, by zone and name of the feature.
Coefficients = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Feature:
    """One row of the table; to add a feature is to add one.

    name: of the coefficient, of the model's input, of the samples table's column. field: its counter, by the
    index in ebpf.counters.FIELDS; counts_per_unit: how much of the counter is one of the feature. unit: as a
    model file has it. usual: so much of it a second is what a busy CPU does, to scale by; most: what no CPU
    does in a second, beyond which a counter lied. predicts: whether power is predicted from it, or energy
    shared out by it alone.
    """

    name: str
    field: int
    unit: str
    usual: float
    most: float
    counts_per_unit: float = 1.0
    predicts: bool = True


_TABLE = (
    Feature("cpu_seconds", CPU_NS, "s", usual=1.0, most=1.0, counts_per_unit=1e9),
    # Above every clock sold: 6.2 GHz (Core i9-14900KS), with room for a timer that is late.
    Feature("cycles", CYCLES, "1", usual=1e9, most=6.5e9),
    # 8 a cycle.
    Feature("instructions", INSTRUCTIONS, "1", usual=1e9, most=52e9),
    # One a nanosecond.
    Feature("cache_misses", CACHE_MISSES, "1", usual=1e7, most=1e9),
    # A switch takes a microsecond and more.
    Feature("switches", SWITCHES, "1", usual=1e4, most=1e6, predicts=False),
)
FEATURES: Mapping[str, Feature] = {feature.name: feature for feature in _TABLE}
PREDICTORS: Mapping[str, Feature] = {name: feature for name, feature in FEATURES.items() if feature.predicts}


def measured(counted: Set[str], features: Mapping[str, Feature] = FEATURES) -> Iterator[Feature]:
    """Those whose counters are among the counted, which go by their names in ebpf.counters.FIELDS."""
    return (feature for feature in features.values() if FIELDS[feature.field] in counted)


def names_measured(counted: Set[str]) -> set[str]:
    """The names of the features that these counters tell."""
    return {feature.name for feature in measured(counted)}
