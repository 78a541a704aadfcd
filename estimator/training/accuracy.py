"""How good predictions of power are: the figures of `podjoule evaluate` and of the model cards."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, r2_score

from estimator.energy import FloatArray

Score = dict[str, float | None]

_ERRORS = ("mae_watts", "mape_percent", "wape_percent", "bias_watts", "r2", "coverage_percent")
FIGURES = ("rows", *_ERRORS)
# Of the machine's CPU time: what a node without work spends on itself.
IDLE_LOAD = 0.05


def score_watts(
    measured: FloatArray, predicted: FloatArray, inside: npt.NDArray[np.bool_] | None = None
) -> Score:
    """Errors of predicted - measured, watts; measured ≥ 0, shapes (n,).

    inside: whether the interval held, for the rows that had one. wape_percent: Σ |error| / Σ measured, which
    no row near zero can blow up as it can mape_percent, where rows at zero do not count. None where a figure
    cannot be given (no rows, all rows the same, no interval).
    """
    if not len(measured):
        return {"rows": 0, **dict.fromkeys(_ERRORS)}
    error, drew = predicted - measured, measured > 0
    some = bool(drew.any())
    figures = {
        "mae_watts": mean_absolute_error(measured, predicted),
        "mape_percent": 100 * mean_absolute_percentage_error(measured[drew], predicted[drew])
        if some
        else None,
        "wape_percent": 100 * np.abs(error).sum() / measured.sum() if some else None,
        "bias_watts": error.mean(),
        "r2": r2_score(measured, predicted) if np.ptp(measured) > 0 else None,
        "coverage_percent": 100 * inside.mean() if inside is not None and len(inside) else None,
    }
    return {"rows": len(measured), **{name: _rounded(value) for name, value in figures.items()}}


def _rounded(value: float | None) -> float | None:
    """Six digits: more than any table holds."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


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
