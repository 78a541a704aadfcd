"""Scores of rows of a samples table, with what happens when little runs told apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from estimator.energy import FloatArray
from estimator.scores import Score, score_watts

# Of the machine's CPU time: what a node without work spends on itself.
IDLE_LOAD = 0.05


def load_of_rows(rows: pd.DataFrame) -> FloatArray:
    """CPU time over capacity, NaN where it was not measured; shape (n,)."""
    if "cpu_seconds" not in rows:
        return np.full(len(rows), np.nan)
    return np.asarray(rows["cpu_seconds"] / rows["n_cpu"] / rows["interval_seconds"], dtype=np.float64)


def score_rows(
    rows: pd.DataFrame,
    measured: FloatArray,
    predicted: FloatArray,
    inside: npt.NDArray[np.bool_] | None = None,
) -> Score:
    """score_watts, and idle_bias_watts: where under 5 % of the CPU time was used, None without such."""
    is_idle = load_of_rows(rows) < IDLE_LOAD
    idle = score_watts(measured[is_idle], predicted[is_idle])
    return {**score_watts(measured, predicted, inside), "idle_bias_watts": idle["bias_watts"]}
