"""Row by row, what a model makes of a samples table, as the exporter would: what plots are drawn from."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from estimator.energy import FloatArray
from estimator.features import PREDICTORS
from estimator.model.estimate import Features
from estimator.model.power_model import PowerModel
from estimator.training.accuracy import load_of_rows
from estimator.training.zone_fit import usable_rows

LOAD_EDGES = (0.0, 0.05, 0.25, 0.5, 0.75, 1.02)


def inputs_of(frame: pd.DataFrame, features: Iterable[str] = PREDICTORS) -> list[tuple[Features, int, float]]:
    """Those of the features that were measured, the CPUs and the interval of each row."""
    names = [name for name in features if name in frame]
    return [
        (
            {name: float(row[name]) for name in names if row[name] == row[name]},
            int(row["n_cpu"]),
            float(row["interval_seconds"]),
        )
        for row in frame.to_dict("records")
    ]


def predict_joules(model: PowerModel, zone: str, rows: pd.DataFrame) -> FloatArray:
    """Joules, low and high of each row; shape (n, 3)."""
    inputs = inputs_of(rows, dict.fromkeys((*PREDICTORS, *sorted(model.zones[zone].needs()))))
    return np.array([model.predict(zone, *of) for of in inputs], dtype=np.float64).reshape(-1, 3)


def predict_rows(model: PowerModel, frame: pd.DataFrame, zone: str) -> pd.DataFrame:
    """timestamp_seconds, node, load (of the CPUs, NaN where not measured), measured, predicted, low, high
    (watts), error (predicted - measured), is_outside (the model's envelope); one row a usable one."""
    rows = usable_rows(frame, zone, sorted(model.zones[zone].needs()))
    seconds = rows["interval_seconds"].to_numpy(dtype=np.float64)
    predicted, low, high = predict_joules(model, zone, rows).T / seconds
    measured = rows[f"{zone}_joules"].to_numpy(dtype=np.float64) / seconds
    return pd.DataFrame(
        {
            "timestamp_seconds": rows["timestamp_seconds"].to_numpy(),
            "node": rows["node"].to_numpy(),
            "load": load_of_rows(rows),
            "measured": measured,
            "predicted": predicted,
            "low": low,
            "high": high,
            "error": predicted - measured,
            "is_outside": [not model.is_within_envelope(*of) for of in inputs_of(rows)],
        }
    )


def errors_by_load(predictions: pd.DataFrame) -> pd.DataFrame:
    """By bin of load: rows, mae_watts, bias_watts, mape_percent, coverage_percent."""
    error, measured = predictions["error"], predictions["measured"]
    inside = predictions["measured"].between(predictions["low"], predictions["high"])
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
