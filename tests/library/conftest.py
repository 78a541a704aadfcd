"""A machine whose power is known to the watt, and a model of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import podjoule

IDLE, BUSY = 20.0, 15.0
NOISE = 0.02


def linear_meter(rows: int = 180, n_cpu: int = 8, seconds: float = 5.0, seed: int = 1) -> pd.DataFrame:
    """20 W and 15 W more a busy CPU, to within 2 %, while the load rises and falls."""
    random = np.random.default_rng(seed)
    load = np.clip(0.5 + 0.55 * np.sin(np.arange(rows) / 7) + random.normal(0, 0.05, rows), 0, 1)
    cpu_seconds = load * n_cpu * seconds
    watts = (IDLE + BUSY * load * n_cpu) * (1 + random.normal(0, NOISE, rows))
    return pd.DataFrame(
        {
            "timestamp_seconds": 1.7e9 + seconds * np.arange(rows),
            "node": "n1",
            "interval_seconds": seconds,
            "n_cpu": n_cpu,
            "cpu_seconds": cpu_seconds,
            "package_joules": watts * seconds,
        }
    )


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    return linear_meter()


@pytest.fixture(scope="session")
def model(table: pd.DataFrame) -> podjoule.PowerModel:
    return podjoule.PowerModel(kind="linear").fit(table)
