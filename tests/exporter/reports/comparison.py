"""An account beside the truth of its fleet: by how much its rows are off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from tests.exporter.reports.fleet import Plan
from tests.exporter.reports.truth import KEY, Truth

WITHIN = 0.005
_GROUP = ["hour_seconds", "node_group", "late"]
_AMOUNTS = ["joules", "grams", "cpu_seconds", "low_joules", "high_joules"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """rows: accounted and true amounts side by side, `_true` after the latter's names. nodes: the sums of all
    rows but the overhead beside what the meters counted, by hour, node group and late."""

    rows: pd.DataFrame
    nodes: pd.DataFrame

    @property
    def wrong(self) -> pd.DataFrame:
        """Rows that are off by more than WITHIN and what no two samples can tell, idling and nobody's too."""
        allowed = WITHIN * self.rows["joules_true"].abs() + self.rows["edge_joules"] + 1e-6
        return self.rows[self.rows["error"] > allowed]

    @property
    def of_workloads(self) -> pd.DataFrame:
        """Rows of kind active."""
        return self.rows[self.rows["kind"] == "active"]

    @property
    def worst(self) -> float:
        """The greatest error of a workload's row, relative, beyond what no two samples can tell."""
        rows = self.of_workloads[self.of_workloads["joules_true"] > 0]
        return float(((rows["error"] - rows["edge_joules"]) / rows["joules_true"]).max())

    @property
    def off(self) -> pd.DataFrame:
        """Rows of workloads that are off by more than WITHIN, for whatever reason."""
        rows = self.of_workloads
        return rows[rows["error"] > WITHIN * rows["joules_true"]]

    @property
    def sum_error(self) -> float:
        """By how much an hour's rows and its nodes' counters differ, relative."""
        return float((self.nodes["joules"] / self.nodes["sampled_joules"] - 1).abs().max())

    @property
    def carbon_error(self) -> float:
        """By how much the grams of all that is not late differ from the integral, relative."""
        rows = self.rows[~self.rows["late"] & (self.rows["kind"] != "difference")]
        return abs(float(rows["grams"].sum() / rows["grams_true"].sum()) - 1)


def read_rows(store: Path) -> pd.DataFrame:
    """All rows of a store."""
    return ds.dataset(store, format="parquet", partitioning="hive").to_table().to_pandas()


def compare(rows: pd.DataFrame, truth: Truth, plan: Plan) -> Comparison:
    """Rows of the plan's hours beside their truth."""
    counted = rows[~rows["kind"].isin(["overhead", "difference"])]
    found = counted.groupby(KEY, as_index=False)[_AMOUNTS].sum()
    both = found.merge(_within(truth.rows, plan), on=KEY, how="outer", suffixes=("", "_true"))
    numbers = [*_AMOUNTS, "joules_true", "grams_true", "cpu_seconds_true", "edge_joules"]
    both[numbers] = both[numbers].fillna(0.0)
    both["error"] = np.abs(both["joules"] - both["joules_true"])
    sums = rows[rows["kind"] != "overhead"].groupby(_GROUP, as_index=False)["joules"].sum()
    apart = rows[rows["kind"] == "difference"].groupby(_GROUP, as_index=False)["joules"].sum()
    nodes = sums.merge(_within(truth.nodes, plan), on=_GROUP, how="outer", suffixes=("", "_true"))
    nodes = nodes.merge(apart, on=_GROUP, how="left", suffixes=("", "_difference"))
    return Comparison(both, nodes.fillna({"joules_difference": 0.0}))


def _within(table: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    hours = table["hour_seconds"]
    return table[(hours >= plan.start) & (hours < plan.end)]
