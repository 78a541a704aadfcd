"""The online calibration over a samples table: how well it would have predicted each next row."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ebpf.counters import FIELDS
from estimator.calibration.calibration import add_zone, new_fit
from estimator.calibration.observations import ObservationReader
from estimator.energy import Usage, ZoneEnergy
from estimator.features import PREDICTORS
from estimator.meters.port import ZONES
from estimator.training.accuracy import Score, score_watts
from estimator.training.conformal import quantile

# The interval is as wide as its share of so many of the last errors, and says so in advance.
_REMEMBERED_ERRORS = 200
_AHEAD = ["zone", "measured", "predicted", "width"]


def score_online(frame: pd.DataFrame) -> dict[str, Score]:
    """By zone, how the calibration predicts each row from those before it, one node after the other.

    frame: a samples table in the order of time, NaN for what is not measured. The figures
    are those of score_watts, coverage_percent that of an interval meant to hold 90 %. Rows of which too
    little is measured and the first of each node, which nothing precedes, are not scored; outliers are.
    """
    ahead = pd.DataFrame(
        [row for _, rows in frame.groupby("node") for row in predict_ahead(rows)], columns=_AHEAD
    )
    return {str(zone): _score(rows) for zone, rows in ahead.groupby("zone", sort=False) if len(rows) > 1}


def _score(rows: pd.DataFrame) -> Score:
    measured, predicted, width = (rows[name].to_numpy(dtype=np.float64) for name in _AHEAD[1:])
    inside = np.abs(predicted - measured) <= width
    return score_watts(measured, predicted, inside[np.isfinite(width)])


def predict_ahead(rows: pd.DataFrame) -> Iterator[tuple[str, float, float, float]]:
    """Zone, watts, what was predicted for it, and within how many watts, for every row of a node but the
    first; the width is inf while there are too few errors to tell."""
    zones = [zone for zone in ZONES if f"{zone}_joules" in rows]
    fit, reader = new_fit(), ObservationReader({})
    errors = {zone: deque[float](maxlen=_REMEMBERED_ERRORS) for zone in zones}
    for zone in zones:
        add_zone(fit, zone)
    for at, (energies, usage) in enumerate(_ticks(rows, zones)):
        seen = reader.read(energies, usage)
        features = np.stack([each.features for each in seen])
        if at > 0 and np.isfinite(features).all():
            for energy, watts in zip(energies, (fit.shadow * features).sum(axis=1).tolist(), strict=True):
                measured, of_zone = energy.joules / energy.interval_seconds, errors[energy.zone]
                if np.isfinite(measured):
                    yield energy.zone, measured, watts, quantile(np.array(of_zone))
                    of_zone.append(abs(measured - watts))
        usable = np.array([not each.reason for each in seen])
        watts = np.array([0.0 if each.reason else each.watts for each in seen])
        fit.learn(np.where(usable[:, np.newaxis], features, 0.0), watts, usable, usage.interval_seconds)


def _ticks(rows: pd.DataFrame, zones: Sequence[str]) -> Iterator[tuple[list[ZoneEnergy], Usage]]:
    """Each row as the energy of zones without sockets, and as one cgroup's use of one socket."""
    features = [PREDICTORS[name] for name in PREDICTORS if name in rows and rows[name].notna().any()]
    available = frozenset(FIELDS[feature.field] for feature in features)
    nobody, ids, tgids = np.zeros((1, len(FIELDS))), np.ones(1, dtype=np.uint64), np.zeros(1, dtype=np.uint32)
    for row in rows.to_dict("records"):
        seconds, used = float(row["interval_seconds"]), np.zeros((1, 1, len(FIELDS)))
        for feature in features:
            used[0, 0, feature.field] = row[feature.name] * feature.counts_per_unit
        joules = [float(row[f"{zone}_joules"]) for zone in zones]
        yield (
            [
                ZoneEnergy(zone, None, zone, j, seconds, None, j, j)
                for zone, j in zip(zones, joules, strict=True)
            ],
            Usage(ids, tgids, used, nobody, available, seconds, int(row["n_cpu"])),
        )
