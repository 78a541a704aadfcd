from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from estimator.training.blocks import later_part
from estimator.training.samples import Samples, read_samples

NX12 = Path(__file__).parents[2] / "data" / "nx12_train.csv"


@pytest.fixture(scope="session")
def nx12() -> Samples:
    return read_samples([NX12])


@pytest.fixture(scope="session")
def nx12_parts(nx12: Samples) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first 70 % of the time and the rest."""
    earlier, later = later_part(nx12.frame["timestamp_seconds"].to_numpy())
    return nx12.rows(earlier), nx12.rows(later)


@pytest.fixture
def table() -> pd.DataFrame:
    """300 rows of a machine that draws 10 W, and 2 nJ a cycle; nothing is wrong with them."""
    rng = np.random.default_rng(0)
    n, n_cpu, seconds = 300, 4, 5.0
    load = rng.uniform(0, 1, n)
    cycles = load * n_cpu * seconds * 3e9
    return pd.DataFrame(
        {
            "timestamp_seconds": 1_700_000_000 + seconds * np.arange(n),
            "node": "n1",
            "interval_seconds": seconds,
            "n_cpu": n_cpu,
            "cpu_seconds": load * n_cpu * seconds,
            "cycles": cycles,
            "instructions": cycles * rng.uniform(0.5, 2, n),
            "cache_misses": cycles * 1e-4,
            "package_joules": 10 * seconds + 2e-9 * cycles,
        }
    )
