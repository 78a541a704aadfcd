"""A model against a samples table: errors by zone, and the rows that lay outside what it has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from estimator.energy import FloatArray
from estimator.features import PREDICTORS
from estimator.model.power_model import PowerModel
from estimator.training.accuracy import FIGURES, Score, score_rows
from estimator.training.predictions import inputs_of, predict_joules
from estimator.training.samples import Samples
from estimator.training.zone_fit import usable_rows


@dataclass(frozen=True, slots=True)
class Evaluation:
    """scores: by zone that both the model and the table have. outside: for each row of the table, whether
    some feature lay outside the model's envelope; shape (n,)."""

    scores: Mapping[str, Score]
    outside: npt.NDArray[np.bool_]

    def document(self, samples: Samples) -> dict[str, Any]:
        """What `podjoule evaluate --format json` prints: the scores; what was set aside; and the rows outside
        the envelope as spans of consecutive rows: first and last timestamp, number of rows."""
        timestamps = samples.frame["timestamp_seconds"].to_numpy(dtype=np.float64)
        return {
            "zones": {zone: {name: score[name] for name in FIGURES} for zone, score in self.scores.items()},
            "set_aside": dict(samples.set_aside),
            "outside_envelope": {
                "rows": int(self.outside.sum()),
                "of": len(self.outside),
                "spans": [
                    [float(timestamps[first]), float(timestamps[last]), last - first + 1]
                    for first, last in _spans(self.outside)
                ],
            },
        }


def evaluate(model: PowerModel, frame: pd.DataFrame) -> Evaluation:
    """Predict every row as the exporter would, one by one, and compare it with what was measured."""
    scores = {
        name: _score(model, usable_rows(frame, name, sorted(zone.needs())), name)
        for name, zone in model.zones.items()
        if f"{name}_joules" in frame and zone.needs() <= set(frame.columns)
    }
    known = dict.fromkeys((*PREDICTORS, *model.features))
    inside = [model.is_within_envelope(*row) for row in inputs_of(frame, known)]
    return Evaluation(scores, ~np.array(inside, dtype=np.bool_))


def _spans(outside: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last position of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], outside, [False]]).astype(np.int8)))
    return [(int(first), int(after) - 1) for first, after in edges.reshape(-1, 2)]


def _score(model: PowerModel, rows: pd.DataFrame, name: str) -> Score:
    predicted, low, high = predict_joules(model, name, rows).T
    joules: FloatArray = rows[f"{name}_joules"].to_numpy(dtype=np.float64)
    seconds: FloatArray = rows["interval_seconds"].to_numpy(dtype=np.float64)
    return score_rows(rows, joules / seconds, predicted / seconds, (low <= joules) & (joules <= high))
