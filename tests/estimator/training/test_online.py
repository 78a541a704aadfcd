"""One step ahead over a real recording, and what the score makes of tables with holes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from estimator.training.accuracy import FIGURES
from estimator.training.online_scores import score_online

NX12 = Path(__file__).parents[2] / "data" / "nx12_train.csv"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(NX12)


def test_one_step_ahead_over_nx12_beats_plain_recursive_least_squares(table: pd.DataFrame) -> None:
    """Recursive least squares with forgetting 0.95 and CPU time among its features: 4.65 W and 1.68 W."""
    scores = score_online(table)
    assert scores["package"]["mae_watts"] <= 4.5
    assert scores["dram"]["mae_watts"] <= 1.7
    for zone in scores.values():
        assert tuple(zone) == FIGURES
        assert zone["rows"] == 1540
        assert 80 <= zone["coverage_percent"] <= 97


def test_each_node_is_calibrated_by_itself(table: pd.DataFrame) -> None:
    few = table[:150].copy()
    twice = pd.concat([few.assign(node="a"), few.assign(node="b")])
    one, two = score_online(few)["package"], score_online(twice)["package"]
    assert two["rows"] == 2 * one["rows"]
    assert two["mae_watts"] == pytest.approx(one["mae_watts"])


def test_what_is_not_measured_is_not_scored(table: pd.DataFrame) -> None:
    few = table[:150].copy()
    few.loc[100:109, "package_joules"] = np.nan
    few.loc[120:124, "cycles"] = np.nan
    few["dram_joules"] = np.nan
    scores = score_online(few)
    assert "dram" not in scores
    assert scores["package"]["rows"] == 149 - 15


def test_without_counters_it_goes_by_cpu_time(table: pd.DataFrame) -> None:
    few = table[:300].drop(columns=["cycles", "instructions", "cache_misses"])
    assert score_online(few)["package"]["mae_watts"] < 15


def test_units_do_not_matter(table: pd.DataFrame) -> None:
    few = table[:150].copy()
    scaled = few.assign(package_joules=few["package_joules"] * 2)
    assert score_online(scaled)["package"]["mae_watts"] == pytest.approx(
        2 * score_online(few)["package"]["mae_watts"], rel=0.01
    )
