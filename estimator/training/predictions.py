"""Row by row, what a model makes of a samples table: what plots are drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd

from estimator.power_model import PowerModel
from estimator.training.frame_scores import load_of_rows
from estimator.training.samples import FEATURE_UNITS
from estimator.training.zone_fit import usable_rows

LOAD_EDGES = (0.0, 0.05, 0.25, 0.5, 0.75, 1.02)


def predict_rows(model: PowerModel, frame: pd.DataFrame, zone: str) -> pd.DataFrame:
    """timestamp_seconds, node, load (of the CPUs, NaN where not measured), measured, predicted, low, high
    (watts), error (predicted - measured), is_outside (the model's envelope); one row a usable one."""
    predictor = model.zones[zone]
    rows = usable_rows(frame, zone, sorted(predictor.needs()))
    seconds = rows["interval_seconds"].to_numpy(dtype=np.float64)
    names = [name for name in FEATURE_UNITS if name in rows]
    inputs = [
        ({name: float(row[name]) for name in names if row[name] == row[name]}, int(row["n_cpu"]), dt)
        for row, dt in zip(rows.to_dict("records"), map(float, seconds), strict=True)
    ]
    estimates = np.array([predictor.predict(*of) for of in inputs]).reshape(-1, 3) / seconds[:, np.newaxis]
    measured = rows[f"{zone}_joules"].to_numpy(dtype=np.float64) / seconds
    return pd.DataFrame(
        {
            "timestamp_seconds": rows["timestamp_seconds"].to_numpy(),
            "node": rows["node"].to_numpy(),
            "load": load_of_rows(rows),
            "measured": measured,
            "predicted": estimates[:, 0],
            "low": estimates[:, 1],
            "high": estimates[:, 2],
            "error": estimates[:, 0] - measured,
            "is_outside": [not model.is_within_envelope(*of) for of in inputs],
        }
    )


def errors_by_load(predictions: pd.DataFrame) -> pd.DataFrame:
    """By bin of load: rows, mae_watts, bias_watts, mape_percent, coverage_percent."""
    error, measured = predictions["error"], predictions["measured"]
    inside = (predictions["low"] <= measured) & (measured <= predictions["high"])
    figures = pd.DataFrame(
        {
            "rows": 1,
            "mae_watts": error.abs(),
            "bias_watts": error,
            "mape_percent": 100 * error.abs() / measured,
            "coverage_percent": 100.0 * inside,
        }
    )
    by_load = figures.groupby(
        pd.cut(predictions["load"], list(LOAD_EDGES), include_lowest=True), observed=True
    )
    return by_load.mean().assign(rows=by_load.size())
