"""From a samples table to a model file's content, with scores on what was held back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ebpf.errors import UsageError
from estimator.model_file import parse_model, render_model
from estimator.power_model import PowerModel
from estimator.scores import Score
from estimator.training.blocks import BLOCKS, LATER, later_part
from estimator.training.evaluate import evaluate
from estimator.training.features import choose_features, envelope, has_features
from estimator.training.samples import FEATURE_UNITS, Samples
from estimator.training.zone_fit import KINDS, ZoneFit, fit_zone

UNKNOWN_MACHINE: Mapping[str, Any] = dict.fromkeys(
    ("vendor", "family", "model", "microarchitecture", "cores", "sockets", "tdp_watts")
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to train: zones and features, by default what the table can give; kind linear, trees or auto."""

    zones: Sequence[str] = ()
    features: Sequence[str] = ()
    kind: str = "auto"


@dataclass(frozen=True, slots=True)
class Title:
    """What the file says of itself. machine: as UNKNOWN_MACHINE, with what is known."""

    name: str
    created: str
    machine: Mapping[str, Any]


def train(samples: Samples, recipe: Recipe, title: Title) -> dict[str, Any]:
    """Everything but schema and hash of a model file, for estimator.model_file.render_model.

    Each zone's kind is chosen on blocks of time held out. Scores: time_blocked_cv, each of 5 blocks predicted
    by the others; later_part, the last 30 % of the time by a model that was trained, and whose kind was
    chosen, on the rest. The model itself rests on all rows. Raises UsageError for zones, features or a kind
    that cannot be had, and for tables that are too short.
    """
    zones, features = _zones(samples, recipe.zones), choose_features(samples, recipe.features)
    if recipe.kind not in (*KINDS, "auto"):
        raise UsageError(f"--kind: found {recipe.kind!r}; allowed: {', '.join(KINDS)}, auto")
    fits = _fit(samples.frame, zones, features, recipe.kind)
    scores = {
        "time_blocked_cv": {zone: fit.cv_score for zone, fit in fits.items()},
        "later_part": _score_later(samples, zones, features, recipe.kind, title),
    }
    return _content(samples, features, fits, title, scores)


def _fit(frame: pd.DataFrame, zones: Sequence[str], features: Sequence[str], kind: str) -> dict[str, ZoneFit]:
    return {zone: fit_zone(frame, zone, features, kind) for zone in zones}


def _score_later(
    samples: Samples, zones: Sequence[str], features: Sequence[str], kind: str, title: Title
) -> dict[str, Score]:
    """The later part of the table as predicted by a model of the earlier one, through a model file."""
    earlier, later = later_part(samples.frame["timestamp_seconds"].to_numpy(dtype=np.float64))
    frame = samples.rows(earlier)
    model = as_model(_content(samples, features, _fit(frame, zones, features, kind), title, {}, frame))
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
        "features": {name: FEATURE_UNITS[name] for name in features},
        "zones": {zone: fit.document for zone, fit in fits.items()},
        "envelope": envelope(rows[has_features(rows, features)], _with_cpu_time(samples, features)),
        "scores": scores,
        "training": _provenance(samples, fits),
    }


def _with_cpu_time(samples: Samples, features: Sequence[str]) -> tuple[str, ...]:
    """The envelope is told for CPU time too, wherever it is measured."""
    return tuple(
        name
        for name in FEATURE_UNITS
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


def _zones(samples: Samples, wanted: Sequence[str]) -> tuple[str, ...]:
    lacking = [zone for zone in wanted if zone not in samples.zones]
    if lacking or not samples.zones:
        raise UsageError(
            f"--zones: {', '.join(lacking) or 'any zone'} not measured in {samples.source}; "
            f"it holds {', '.join(samples.zones) or 'none'}"
        )
    return tuple(wanted) or samples.zones
