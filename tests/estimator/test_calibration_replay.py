"""One step ahead over a real recording, and what the score makes of tables with holes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from estimator.calibration_replay import Columns, read_columns, score

NX12 = Path(__file__).parents[1] / "data" / "nx12_train.csv"
KEYS = {"rows", "mae_watts", "mape_percent", "wape_percent", "bias_watts", "r2", "coverage_percent"}


@pytest.fixture(scope="module")
def columns() -> Columns:
    return read_columns(NX12)


def part(columns: Columns, rows: slice) -> dict[str, np.ndarray]:
    return {name: column[rows].copy() for name, column in columns.items()}


def test_one_step_ahead_over_nx12_beats_plain_recursive_least_squares() -> None:
    """Recursive least squares with forgetting 0.95 and CPU time among its features: 4.65 W and 1.68 W."""
    scores = score(NX12)
    assert scores["package"]["mae_watts"] <= 4.5
    assert scores["dram"]["mae_watts"] <= 1.7
    for zone in scores.values():
        assert zone.keys() == KEYS
        assert zone["rows"] == 1540
        assert 80 <= zone["coverage_percent"] <= 97


def test_each_node_is_calibrated_by_itself(columns: Columns) -> None:
    few = part(columns, slice(0, 150))
    twice = {name: np.concatenate([column, column]) for name, column in few.items()}
    twice["node"] = np.repeat(["a", "b"], 150)
    one, two = score(few)["package"], score(twice)["package"]
    assert two["rows"] == 2 * one["rows"]
    assert two["mae_watts"] == pytest.approx(one["mae_watts"])


def test_what_is_not_measured_is_not_scored(columns: Columns) -> None:
    few = part(columns, slice(0, 150))
    few["package_joules"][100:110] = np.nan
    few["cycles"][120:125] = np.nan
    few["dram_joules"][:] = np.nan
    scores = score(few)
    assert "dram" not in scores
    assert scores["package"]["rows"] == 149 - 15


def test_without_counters_it_goes_by_cpu_time(columns: Columns) -> None:
    few = {
        name: column
        for name, column in part(columns, slice(0, 300)).items()
        if name not in ("cycles", "instructions", "cache_misses")
    }
    assert score(few)["package"]["mae_watts"] < 15


def test_units_do_not_matter(columns: Columns) -> None:
    few = part(columns, slice(0, 150))
    scaled = {**few, "package_joules": few["package_joules"] * 2}
    assert score(scaled)["package"]["mae_watts"] == pytest.approx(
        2 * score(few)["package"]["mae_watts"], rel=0.01
    )
