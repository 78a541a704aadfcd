"""`python -m tests.exporter.recording.fleet`: the table of a fleet that notebook 05 runs on.

Six nodes of two machine types, an hour of each in two weeks, as a fleet's Prometheus keeps them: rows of a
minute, with counters. Power is linear in what was counted, as in shop.py, with a spread from node to node and
1 % noise. Before the second week the large type got another BIOS, with which it idles at 15 W more.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

TABLE = Path(__file__).parents[2] / "data/fleet.parquet"
WEEKS = (1_794_820_800.0, 1_795_425_600.0)
"""2026-11-16 and 2026-11-23, 08:00 UTC."""
INTERVAL_SECONDS, ROWS = 60.0, 60
NOISE, IDLE_SPREAD, COST_SPREAD = 0.01, 0.03, 0.02


@dataclass(frozen=True, slots=True)
class Type:
    """A machine type. idle_watts: by week; costs: joules a cycle, an instruction and a cache line."""

    name: str
    n_cpu: int
    hertz: float
    idle_watts: tuple[float, float]
    costs: tuple[float, float, float]


TYPES = (
    Type("small", 8, 3.2e9, (20.0, 20.0), (2.8e-9, 1.6e-9, 20e-9)),
    Type("large", 64, 2.6e9, (110.0, 125.0), (1.5e-9, 0.9e-9, 15e-9)),
)
NODES = 3


def make(seed: int = 15) -> pd.DataFrame:
    """The whole table, the same each time."""
    rng = np.random.default_rng(seed)
    parts = []
    for of in TYPES:
        for number in range(1, NODES + 1):
            idle, cost = rng.normal(1.0, IDLE_SPREAD), rng.normal(1.0, COST_SPREAD)
            for week, start in enumerate(WEEKS):
                rows = _hour(rng, of, of.idle_watts[week] * idle, cost)
                parts.append(rows.assign(timestamp_seconds=rows["at"] + start, node=f"{of.name}-{number}"))
    columns = ["timestamp_seconds", "node", "machine_type", "interval_seconds", "n_cpu", "cpu_seconds"]
    return pd.concat(parts, ignore_index=True)[
        [*columns, "cycles", "instructions", "cache_misses", "package_joules"]
    ]


def _hour(rng: np.random.Generator, of: Type, idle_watts: float, cost: float) -> pd.DataFrame:
    at = np.arange(1, ROWS + 1) * INTERVAL_SECONDS
    wave = 0.45 + 0.4 * np.sin(2 * np.pi * (at / 3600 * rng.uniform(1, 3) + rng.uniform(0, 1)))
    load = np.where(np.arange(ROWS) < 6, 0.01, wave * rng.uniform(0.7, 1.1, ROWS)).clip(0.005, 1.0)
    cpu_seconds = (load * of.n_cpu * INTERVAL_SECONDS).round(2)
    cycles = (cpu_seconds * of.hertz * (1.1 - 0.15 * load)).round(-7)
    instructions = (cycles * rng.uniform(0.6, 2.4, ROWS)).round(-7)
    lines = (instructions * 10 ** rng.uniform(-3.5, -2.2, ROWS)).round(-4)
    active = cost * (of.costs[0] * cycles + of.costs[1] * instructions + of.costs[2] * lines)
    joules = (idle_watts * INTERVAL_SECONDS + active) * rng.normal(1.0, NOISE, ROWS)
    return pd.DataFrame(
        {
            "at": at,
            "machine_type": of.name,
            "interval_seconds": INTERVAL_SECONDS,
            "n_cpu": of.n_cpu,
            "cpu_seconds": cpu_seconds,
            "cycles": cycles,
            "instructions": instructions,
            "cache_misses": lines,
            "package_joules": joules.round(1),
        }
    )


def main() -> int:
    """Make it anew."""
    make().to_parquet(TABLE, index=False, compression="zstd")
    return 0


if __name__ == "__main__":
    sys.exit(main())
