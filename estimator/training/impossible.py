"""Rows that cannot be: what no machine does is set aside, and counted by reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from estimator.features import PREDICTORS

# CPU time and the interval come from clocks read a moment apart.
_SLACK = 1.02
_OVER = {"cpu_seconds": "cpu_over_capacity", "cycles": "cycles_over_clock"}
_GAP = 5.0
_OUTLIER = 10.0
# An integrated GPU that sleeps draws nothing; no other zone does.
_MAY_SLEEP = "uncore"


def set_aside(table: pd.DataFrame, zones: Sequence[str]) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows that can be, and how many could not by reason; a row counts under its first reason.

    table: sorted by node and time. Reasons: not_a_number (infinite, as what could not be read is); no_time;
    no_interval (or no CPUs); negative; zero_energy (a meter that stood still, or ran backwards);
    cpu_over_capacity, cycles_over_clock, <feature>_over_most (more than any CPU does); gap (an interval over
    5 times the node's usual one: nobody watched);
    overlap (less time since the last row than the row spans: counted twice); power_outlier (over 10 times
    the 95th percentile).
    """
    reasons = reasons_of(table, zones)
    counts = reasons[reasons != ""].value_counts(sort=False)
    return table[reasons == ""], {str(reason): int(count) for reason, count in counts.items()}


def reasons_of(table: pd.DataFrame, zones: Sequence[str]) -> pd.Series:
    """For each row why it cannot be, empty where it can; see set_aside."""
    unreadable = np.isinf(table.select_dtypes("number")).any(axis=1)
    readable = table[~unreadable]
    reasons = pd.Series("", index=table.index).mask(unreadable, "not_a_number")
    wrong_by_reason = {
        "no_time": readable["timestamp_seconds"].isna(),
        **_impossible_use(readable),
        **_impossible_energy(readable, zones),
        **_impossible_time(readable),
    }
    for reason, wrong in wrong_by_reason.items():
        first = wrong[wrong].index.difference(reasons[reasons != ""].index)
        reasons[first] = reason
    return reasons


def _impossible_use(table: pd.DataFrame) -> dict[str, pd.Series]:
    capacity = table["n_cpu"] * table["interval_seconds"] * _SLACK
    features = [feature for name, feature in PREDICTORS.items() if name in table]
    return {
        "no_interval": ~((table["interval_seconds"] > 0) & (table["n_cpu"] >= 1)),
        "negative": (table[[feature.name for feature in features]] < 0).any(axis=1),
        **{
            _OVER.get(feature.name, f"{feature.name}_over_most"): table[feature.name]
            > capacity * feature.most
            for feature in features
        },
    }


def _impossible_energy(table: pd.DataFrame, zones: Sequence[str]) -> dict[str, pd.Series]:
    joules = table[[f"{zone}_joules" for zone in zones]]
    may_sleep = joules.columns == f"{_MAY_SLEEP}_joules"
    watts = joules.div(table["interval_seconds"].where(table["interval_seconds"] > 0), axis=0)
    return {
        "zero_energy": ((joules <= 0) & ~((joules == 0) & may_sleep)).any(axis=1),
        "power_outlier": (watts > _OUTLIER * watts.quantile(0.95)).any(axis=1),
    }


def _impossible_time(table: pd.DataFrame) -> dict[str, pd.Series]:
    nodes = table.groupby("node", sort=False)
    usual = nodes["interval_seconds"].transform("median")
    since_last = nodes["timestamp_seconds"].diff()
    return {
        "gap": table["interval_seconds"] > _GAP * usual,
        "overlap": since_last < table["interval_seconds"] / 2,
    }
