"""The online calibration over a samples table: how well it would have predicted each next row."""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebpf.counters import FIELDS
from estimator.attribution import FEATURES
from estimator.energy import FloatArray, Usage, ZoneEnergy
from estimator.fit_samples import FIT_FEATURES, SampleReader
from estimator.meters.port import ZONES
from estimator.online_fit import OnlineFit

Columns = Mapping[str, npt.NDArray[Any]]
Scores = dict[str, float]

# The interval is as wide as this share of the last errors, and says so in advance.
_COVERAGE = 0.9
_REMEMBERED_ERRORS = 200


def score(table: Path | Columns) -> dict[str, Scores]:
    """By zone, how the calibration predicts each row from those before it, one node after the other.

    table: a samples table (DESIGN section 6), CSV or columns by name, in the order of time; NaN or an empty
    cell is not measured. Keys: rows, mae_watts, mape_percent, wape_percent, bias_watts (predicted less
    measured), r2, coverage_percent (of an interval meant to hold 90 %). Rows of which too little is measured
    and the first of each node, which nothing precedes, are not scored; outliers are.
    """
    columns = read_columns(table) if isinstance(table, Path) else table
    zones = [zone for zone in ZONES if f"{zone}_joules" in columns]
    found: dict[str, list[tuple[float, float, float]]] = {zone: [] for zone in zones}
    for rows in _rows_by_node(columns):
        for zone, *outcome in replay(columns, rows, zones):
            found[zone].append((outcome[0], outcome[1], outcome[2]))
    return {zone: _scores(np.array(outcomes)) for zone, outcomes in found.items() if len(outcomes) > 1}


def read_columns(path: Path) -> Columns:
    """The columns of a CSV file: node as text, the others as numbers, NaN where the cell is empty."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0]) if rows else []
    return {
        name: np.array([row[name] if name == "node" else float(row[name] or "nan") for row in rows])
        for name in names
    }


def replay(
    columns: Columns, rows: npt.NDArray[np.intp], zones: list[str]
) -> Iterator[tuple[str, float, float, float]]:
    """Zone, watts, what was predicted for it, and within how many watts, for every row but the first."""
    fit, reader = OnlineFit(1 + len(FIT_FEATURES)), SampleReader({})
    errors = {zone: deque[float](maxlen=_REMEMBERED_ERRORS) for zone in zones}
    for _ in zones:
        fit.add_row(None)
    for row in rows:
        energies, usage = _energies(columns, row, zones), _usage(columns, row)
        samples = reader.read(energies, usage)
        features = np.stack([sample.features for sample in samples])
        predicted = (fit.shadow * np.nan_to_num(features)).sum(axis=1)
        if row != rows[0] and np.isfinite(features).all():
            for energy, watts in zip(energies, predicted, strict=True):
                measured = energy.joules / energy.interval_seconds
                if math.isfinite(measured):
                    seen = errors[energy.zone]
                    yield energy.zone, measured, float(watts), _width(seen)
                    seen.append(abs(measured - float(watts)))
        usable = np.array([not sample.reason for sample in samples])
        watts = np.array([0.0 if sample.reason else sample.watts for sample in samples])
        fit.learn(np.where(usable[:, np.newaxis], features, 0.0), watts, usable, usage.interval_seconds)


def _rows_by_node(columns: Columns) -> list[npt.NDArray[np.intp]]:
    n_rows = len(columns["interval_seconds"])
    nodes = columns.get("node", np.zeros(n_rows))
    return [np.flatnonzero(nodes == node) for node in np.unique(nodes)]


def _energies(columns: Columns, row: np.intp, zones: list[str]) -> list[ZoneEnergy]:
    seconds = float(columns["interval_seconds"][row])
    joules = [float(columns[f"{zone}_joules"][row]) for zone in zones]
    return [
        ZoneEnergy(zone, None, zone, j, seconds, None, j, j) for zone, j in zip(zones, joules, strict=True)
    ]


def _usage(columns: Columns, row: np.intp) -> Usage:
    """The row as one cgroup's use of one socket."""
    used, available = np.zeros((1, 1, len(FIELDS))), set()
    for name in FIT_FEATURES:
        field, factor = FEATURES[name]
        if name in columns and not np.isnan(columns[name]).all():
            used[0, 0, field] = float(columns[name][row]) / factor
            available.add(FIELDS[field])
    n_cpu, seconds = int(columns["n_cpu"][row]), float(columns["interval_seconds"][row])
    nobody = np.zeros((1, len(FIELDS)))
    ids, tgids = np.ones(1, dtype=np.uint64), np.zeros(1, dtype=np.uint32)
    return Usage(ids, tgids, used, nobody, frozenset(available), seconds, n_cpu)


def _width(errors: deque[float]) -> float:
    """What the next error should stay within; inf while there are too few to tell.

    Source: split conformal prediction, Lei et al., Distribution-free predictive inference, JASA 113 (2018).
    """
    rank = math.ceil((len(errors) + 1) * _COVERAGE)
    return sorted(errors)[rank - 1] if rank <= len(errors) else math.inf


def _scores(outcomes: FloatArray) -> Scores:
    """outcomes: shape (n, 3): watts, predicted, width."""
    watts, predicted, width = outcomes.T
    error = predicted - watts
    known = np.isfinite(width)
    positive = watts > 0
    spread = float(((watts - watts.mean()) ** 2).sum())
    return {
        "rows": float(len(watts)),
        "mae_watts": float(np.abs(error).mean()),
        "mape_percent": _percent(np.abs(error[positive]) / watts[positive]),
        "wape_percent": 100 * float(np.abs(error).sum() / watts.sum()) if watts.sum() > 0 else math.nan,
        "bias_watts": float(error.mean()),
        "r2": 1 - float((error**2).sum()) / spread if spread > 0 else math.nan,
        "coverage_percent": _percent(np.abs(error[known]) <= width[known]),
    }


def _percent(shares: npt.NDArray[Any]) -> float:
    return 100 * float(shares.mean()) if len(shares) else math.nan
