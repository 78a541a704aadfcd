"""Rows that cannot be: what no machine does is set aside, and counted by reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

# Above every clock sold: 6.2 GHz (Core i9-14900KS), with room for a timer that is late.
MAX_HERTZ = 6.5e9
# CPU time and the interval come from clocks read a moment apart.
_SLACK = 1.02
_GAP = 5.0
_OUTLIER = 10.0
# An integrated GPU that sleeps draws nothing; no other zone does.
_MAY_SLEEP = "uncore"


def set_aside(
    table: pd.DataFrame, unreadable: pd.Series, zones: Sequence[str], max_hertz: float | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows that can be, and how many could not by reason; a row counts under its first reason.

    table: sorted by node and time. unreadable: True where a cell held no number. Reasons: not_a_number;
    no_interval (or no CPUs); negative; zero_energy (a meter that stood still, or ran backwards);
    cpu_over_capacity; cycles_over_clock; gap (an interval over 5 times the node's usual one: nobody watched);
    overlap (less time since the last row than the row spans: counted twice); power_outlier (over 10 times
    the 95th percentile).
    """
    reasons = {
        "not_a_number": unreadable.reindex(table.index) | np.isinf(table.select_dtypes("number")).any(axis=1),
        **_impossible_use(table, max_hertz or MAX_HERTZ),
        **_impossible_energy(table, zones),
        **_impossible_time(table),
    }
    left = pd.Series(data=True, index=table.index)
    counts = {}
    for reason, wrong in reasons.items():
        counts[reason] = int((left & wrong).sum())
        left &= ~wrong
    return table[left], {reason: count for reason, count in counts.items() if count}


def _impossible_use(table: pd.DataFrame, max_hertz: float) -> dict[str, pd.Series]:
    capacity = table["n_cpu"] * table["interval_seconds"] * _SLACK
    features = [name for name in table if name in ("cpu_seconds", "cycles", "instructions", "cache_misses")]
    reasons = {
        "no_interval": ~((table["interval_seconds"] > 0) & (table["n_cpu"] >= 1)),
        "negative": (table[features] < 0).any(axis=1),
    }
    if "cpu_seconds" in table:
        reasons["cpu_over_capacity"] = table["cpu_seconds"] > capacity
    if "cycles" in table:
        reasons["cycles_over_clock"] = table["cycles"] > capacity * max_hertz
    return reasons


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
