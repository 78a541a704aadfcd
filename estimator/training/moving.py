"""What it costs to take a model to another machine: Σ |error| over Σ measured there, percent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from estimator.energy import FloatArray
from estimator.training.accuracy import load_of_rows
from estimator.training.samples import watts_of

_END = 0.2


def errors_elsewhere(
    models: Mapping[str, Any],
    machines: Mapping[str, pd.DataFrame],
    zone: str,
    cpus: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Each model (a row) on each machine's samples (a column), by the name of the machine it was made on.

    models: podjoule.PowerModels of that one zone; each CPU is taken to draw what it drew where the model was
    made. cpus: by machine its cpu, n_cpu and sockets; with them a model is moved as the exporter moves one.
    """
    return pd.DataFrame(
        {
            there: {
                home: _wape(_serving(model, there, cpus).predict(rows), rows, zone)
                for home, model in models.items()
            }
            for there, rows in machines.items()
        }
    )


def error_of_two_readings(rows: pd.DataFrame, zone: str) -> float:
    """Of a straight line between the mean power of the fifth of the rows with the least load and of that with
    the most."""
    load, watts = load_of_rows(rows), watts_of(rows, zone)
    ends = load <= np.quantile(load, _END), load >= np.quantile(load, 1 - _END)
    (low, idle), (high, full) = ((load[end].mean(), watts[end].mean()) for end in ends)
    return _wape(idle + (full - idle) * (load - low) / (high - low), rows, zone)


def _serving(model: Any, there: str, cpus: pd.DataFrame | None) -> Any:
    if cpus is None:
        return model
    of = cpus.loc[there]
    return model.moved_to(of["cpu"], n_cpu=int(of["n_cpu"]), sockets=int(of["sockets"]))


def _wape(predicted: FloatArray, rows: pd.DataFrame, zone: str) -> float:
    measured = watts_of(rows, zone)
    return float(100 * np.abs(predicted - measured).sum() / measured.sum())
