"""How good models are on a table, and what the calibration makes of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import pandas as pd

from estimator.errors import SamplesInvalid
from estimator.library.reading import Source, read_samples, samples_of
from estimator.library.regressor import PowerModel
from estimator.model import power_model
from estimator.training.accuracy import Score
from estimator.training.evaluate import Evaluation
from estimator.training.evaluate import evaluate as evaluate_frame
from estimator.training.online_scores import predict_ahead, score_online
from estimator.training.samples import Samples
from estimator.training.trust import doubts

Model = PowerModel | power_model.PowerModel | str | PathLike[str]


class SamplesWarning(UserWarning):
    """Figures that are not what they seem."""


@dataclass(frozen=True, slots=True)
class OnlineCalibration:
    """scores: by zone, how the calibration predicts each row from those before it. ahead: those predictions:
    zone, measured, predicted, width of the interval to each side (watts), node."""

    scores: pd.DataFrame
    ahead: pd.DataFrame


def evaluate(model: Model, samples: Source) -> pd.DataFrame:
    """How far a model's predictions are from what was measured: a row a zone.

    Columns: rows, mae_watts, mape_percent, wape_percent, bias_watts, r2, coverage_percent, idle_bias_watts,
    rows_outside_envelope. Warns (SamplesWarning) where the figures are not what they seem: rows that the
    model was trained on, a machine of another size, rows outside the envelope. Raises SamplesInvalid where
    nothing can be judged.
    """
    return _evaluate(_read_model(model), _read(samples))


def compare(models: Mapping[str, Model] | Sequence[Model], samples: Source) -> pd.DataFrame:
    """The same for several models on the same rows, the best (by mae_watts) of each zone first.

    models: by name, or a list of them that go by their own names. Zones that a model does not predict lack.
    """
    read = (
        {name: _read_model(model) for name, model in models.items()}
        if isinstance(models, Mapping)
        else {model.name: model for model in map(_read_model, models)}
    )
    table = samples_of(read_samples(samples))
    scores = {name: _evaluate(model, table) for name, model in read.items()}
    both = pd.concat(scores, names=["model"]).swaplevel()
    return both.sort_values(["zone", "mae_watts"])


def judge(model: power_model.PowerModel, samples: Samples) -> Evaluation:
    """The evaluation, where there is anything to judge. Raises SamplesInvalid."""
    evaluation = evaluate_frame(model, samples.frame)
    if any(score["rows"] for score in evaluation.scores.values()):
        return evaluation
    needed = sorted({name for zone in model.zones.values() for name in zone.needs()})
    raise SamplesInvalid(
        f"{model.name} predicts {', '.join(model.zones)} from {', '.join(needed)};"
        f" {samples.source} measures {', '.join((*samples.zones, *samples.features)) or 'neither'}:"
        " no row holds both"
    )


def calibrate_online(samples: Source) -> OnlineCalibration:
    """What the exporter's online calibration, which learns from the meter, would have said row by row."""
    frame = _read(samples).frame
    ahead = [(*row, node) for node, rows in frame.groupby("node", sort=False) for row in predict_ahead(rows)]
    columns = ["zone", "measured", "predicted", "width", "node"]
    return OnlineCalibration(_table(score_online(frame)), pd.DataFrame(ahead, columns=columns))


def _evaluate(model: power_model.PowerModel, samples: Samples) -> pd.DataFrame:
    """What evaluate and compare say of one model; whoever called them is warned."""
    evaluation = judge(model, samples)
    for doubt in doubts(model, samples, evaluation):
        warnings.warn(f"{model.name}: {doubt}", SamplesWarning, stacklevel=3)
    outside = int(evaluation.outside.sum())
    scores = {zone: {**score, "rows_outside_envelope": outside} for zone, score in evaluation.scores.items()}
    return _table(scores)


def _read(samples: Source) -> Samples:
    return samples_of(samples if isinstance(samples, pd.DataFrame) else read_samples(samples))


def _read_model(model: Model) -> power_model.PowerModel:
    if isinstance(model, power_model.PowerModel):
        return model
    fitted = model if isinstance(model, PowerModel) else PowerModel.load(model)
    served: power_model.PowerModel = fitted.model_
    return served


def _table(scores: Mapping[str, Score] | Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(
        {zone: dict(of) for zone, of in scores.items()}, orient="index"
    ).rename_axis("zone")
