"""From a samples table to a model file's content, with scores on what was held back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from estimator.errors import ArgumentInvalid, SamplesInvalid
from estimator.features import PREDICTORS
from estimator.model.file import parse_model, render_model
from estimator.model.power_model import PowerModel
from estimator.training.accuracy import Score
from estimator.training.blocks import BLOCKS, LATER, later_part
from estimator.training.ceiling import ceiling_per_cpu
from estimator.training.evaluate import evaluate
from estimator.training.export import rounded
from estimator.training.machines import require_one_machine
from estimator.training.plausible import require_plausible
from estimator.training.rates import choose_features, envelope, has_features
from estimator.training.requirements import require_enough
from estimator.training.samples import Samples
from estimator.training.zone_fit import KINDS, LEAST_ROWS, ZoneFit, fit_zone, usable_rows

UNKNOWN_MACHINE: Mapping[str, Any] = dict.fromkeys(
    ("vendor", "family", "model", "microarchitecture", "cores", "sockets", "tdp_watts")
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to train: zones and features, by default what the table can give; kind linear, trees or auto.

    least_rows: usable rows of the whole table without which nothing is trained.
    """

    zones: Sequence[str] = ()
    features: Sequence[str] = ()
    kind: str = "auto"
    least_rows: int = LEAST_ROWS


@dataclass(frozen=True, slots=True)
class Title:
    """What the file says of itself. machine: as UNKNOWN_MACHINE, with what is known."""

    name: str
    created: str
    machine: Mapping[str, Any]


def train(samples: Samples, recipe: Recipe, title: Title) -> dict[str, Any]:
    """Everything but schema and hash of a model file, for estimator.model.file.render_model.

    Each zone's kind is chosen on blocks of time held out. Scores: time_blocked_cv, each of 5 blocks predicted
    by the others; later_part, the last 30 % of the time by a model that was trained, and whose kind was
    chosen, on the rest. The model itself rests on all rows. Raises ArgumentInvalid for zones, features or a
    kind that cannot be had, SamplesInvalid for tables that are too short or of machines of different size.
    """
    _require_rows(samples)
    zones, features = _zones(samples, recipe.zones), choose_features(samples, recipe.features)
    if recipe.kind not in (*KINDS, "auto"):
        raise ArgumentInvalid("kind", f"found {recipe.kind!r}; allowed: {', '.join(KINDS)}, auto")
    require_one_machine(samples)
    require_plausible(samples.frame, samples.source)
    for zone in zones:
        require_enough(samples, zone, features, recipe.least_rows)
    fits = _fit(samples.frame, zones, features, recipe.kind, recipe.least_rows)
    scores = {
        "time_blocked_cv": {zone: fit.cv_score for zone, fit in fits.items()},
        "later_part": _score_later(samples, zones, features, recipe, title),
    }
    return _content(samples, features, fits, title, scores)


def _fit(
    frame: pd.DataFrame, zones: Sequence[str], features: Sequence[str], kind: str, least: int
) -> dict[str, ZoneFit]:
    return {zone: fit_zone(frame, zone, features, kind, least) for zone in zones}


def _score_later(
    samples: Samples, zones: Sequence[str], features: Sequence[str], recipe: Recipe, title: Title
) -> dict[str, Score]:
    """The later part of the table as predicted by a model of the earlier one, through a model file.

    Empty where too few of the usable rows are in the earlier part.
    """
    earlier, later = later_part(samples.frame["timestamp_seconds"].to_numpy(dtype=np.float64))
    frame, least = samples.rows(earlier), round((1 - LATER) * recipe.least_rows)
    if any(len(usable_rows(frame, zone, features)) < max(BLOCKS, least) for zone in zones):
        return {}
    fits = _fit(frame, zones, features, recipe.kind, least)
    model = as_model(_content(samples, features, fits, title, {}, frame))
    evaluation = evaluate(model, samples.rows(later))
    outside = int(evaluation.outside.sum())
    return {zone: {**score, "rows_outside_envelope": outside} for zone, score in evaluation.scores.items()}


def as_model(content: Mapping[str, Any]) -> PowerModel:
    """The model that the content of a file makes, read as any other."""
    return parse_model(f"{content['name']}.json", render_model(content))


def _content(
    samples: Samples,
    features: Sequence[str],
    fits: Mapping[str, ZoneFit],
    title: Title,
    scores: Mapping[str, Any],
    frame: pd.DataFrame | None = None,
) -> dict[str, Any]:
    rows = samples.frame if frame is None else frame
    return {
        "name": title.name,
        "created": title.created,
        "machine": dict(title.machine),
        "features": {name: PREDICTORS[name].unit if name in PREDICTORS else "1" for name in features},
        "zones": {zone: _zone(fit, rows, zone, title) for zone, fit in fits.items()},
        "envelope": envelope(rows[has_features(rows, features)], _with_cpu_time(samples, features)),
        "scores": scores,
        "training": _provenance(samples, fits),
    }


def _zone(fit: ZoneFit, frame: pd.DataFrame, zone: str, title: Title) -> dict[str, Any]:
    measured = frame[frame[f"{zone}_joules"].notna()]
    return {
        **fit.document,
        "ceiling_watts_per_cpu": rounded(ceiling_per_cpu(measured, zone, title.machine)),
    }


def _with_cpu_time(samples: Samples, features: Sequence[str]) -> tuple[str, ...]:
    """The envelope is told for CPU time too, wherever it is measured."""
    return tuple(
        name
        for name in PREDICTORS
        if name in features or (name == "cpu_seconds" and name in samples.features)
    )


def _provenance(samples: Samples, fits: Mapping[str, ZoneFit]) -> dict[str, Any]:
    return {
        "rows": len(samples),
        "rows_by_zone": {zone: fit.rows for zone, fit in fits.items()},
        "set_aside": dict(samples.set_aside),
        "source": samples.source,
        "sha256": samples.sha256,
        "n_cpu": sorted({int(n_cpu) for n_cpu in samples.frame["n_cpu"]}),
        "interval_seconds": float(samples.frame["interval_seconds"].median()),
        "cv_blocks": BLOCKS,
        "later_part": LATER,
        "cv_mae_watts": {
            zone: {kind: float(f"{mae:.6g}") for kind, mae in fit.cv_mae_watts.items()}
            for zone, fit in fits.items()
        },
    }


def _require_rows(samples: Samples) -> None:
    if not len(samples):
        why = ", ".join(f"{count} {reason}" for reason, count in samples.set_aside.items())
        raise SamplesInvalid(f"{samples.source}: no row can be used: {why or 'there is none'}")


def _zones(samples: Samples, wanted: Sequence[str]) -> tuple[str, ...]:
    if not samples.zones:
        raise SamplesInvalid(
            f"{samples.source}: no energy is measured: no column such as package_joules holds more than 0;"
            " record where there is a meter"
        )
    lacking = [zone for zone in wanted if zone not in samples.zones]
    if lacking:
        raise ArgumentInvalid(
            "zones",
            f"{', '.join(lacking)} not measured in {samples.source}; it holds {', '.join(samples.zones)}",
        )
    return tuple(wanted) or samples.zones
