"""One zone's model: the kind chosen on blocks of time held out, the fit to all rows, and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline

from ebpf.errors import UsageError
from estimator.energy import FloatArray
from estimator.training.accuracy import Score, load_of_rows, score_rows
from estimator.training.blocks import IntArray, Split, time_blocks
from estimator.training.conformal import Beyond, Margins, margins
from estimator.training.export import linear_zone, rounded, sharing, trees_zone
from estimator.training.linear_power import LinearPower
from estimator.training.rates import Rates, extends_along, has_features, knees_of, powers_of
from estimator.training.trees_power import TreesPower

KINDS = ("linear", "trees")
LEAST_ROWS = 100
# How many of the rows, those with the most of a feature, are held out to learn how far off a prediction
# outside the envelope may be, near it and far from it.
_TAILS = (0.2, 0.5)
# A model that has not seen a third of the time misses whole kinds of work, as it will of those to come.
_LONG_BLOCKS = 3
# The simpler kind is kept unless the other is better by more than this.
_CLEARLY = 0.98


@dataclass(frozen=True, slots=True)
class ZoneFit:
    """document: the zone of a model file. pipeline: what it was made from, watts per CPU out of a samples
    table. cv_score: the kind in force on time blocks held out; cv_mae_watts: each kind's."""

    kind: str
    document: Mapping[str, Any]
    pipeline: Pipeline
    rows: int
    cv_score: Score
    cv_mae_watts: Mapping[str, float]


def make_zone_pipeline(kind: str, zone: str, features: Sequence[str]) -> Pipeline:
    """An unfitted pipeline from a samples table to watts per CPU."""
    along = extends_along(zone, features)
    extends = [name in along for name in features]
    if kind == "linear":
        return make_pipeline(Rates(features), LinearPower([(1.0,)] * len(features), extends))
    powers, knees = [powers_of(name) for name in features], [knees_of(zone, name) for name in features]
    return make_pipeline(Rates(features), TreesPower(powers, extends, knees))


def fit_zone(
    frame: pd.DataFrame, zone: str, features: Sequence[str], kind: str = "auto", least: int = LEAST_ROWS
) -> ZoneFit:
    """Choose the kind (unless it is told), fit it to all usable rows and measure how far off it may be.

    Raises UsageError for fewer usable rows than the least.
    """
    rows = usable_rows(frame, zone, features)
    if len(rows) < least:
        part = "" if least == LEAST_ROWS else f" in the first {least / LEAST_ROWS:.0%} of the time"
        raise UsageError(
            f"zone {zone}: {len(rows)} usable rows with {', '.join(features)}{part}, "
            f"wanted {least}; record longer"
        )
    watts = _watts_per_cpu(rows, zone)
    tried = KINDS if kind == "auto" else (kind,)
    blocks = list(time_blocks(rows["timestamp_seconds"].to_numpy(dtype=np.float64)))
    held_out = {
        name: cross_val_predict(make_zone_pipeline(name, zone, features), rows, watts, cv=blocks)
        for name in tried
    }
    n_cpu = rows["n_cpu"].to_numpy(dtype=np.float64)
    mae = {name: float((np.abs(predicted - watts) * n_cpu).mean()) for name, predicted in held_out.items()}
    best = _best(mae)
    pipeline = make_zone_pipeline(best, zone, features).fit(rows, watts)
    return ZoneFit(
        kind=best,
        document=_document(
            pipeline,
            rows,
            features,
            zone,
            _margins(pipeline, rows, watts, held_out[best], blocks, features),
        ),
        pipeline=pipeline,
        rows=len(rows),
        cv_score=score_rows(rows, watts * n_cpu, held_out[best] * n_cpu),
        cv_mae_watts=mae,
    )


def usable_rows(frame: pd.DataFrame, zone: str, features: Sequence[str]) -> pd.DataFrame:
    """The rows in which the zone and every feature were measured."""
    return frame[has_features(frame, features) & frame[f"{zone}_joules"].notna().to_numpy()]


def _watts_per_cpu(rows: pd.DataFrame, zone: str) -> FloatArray:
    return np.asarray(rows[f"{zone}_joules"] / rows["interval_seconds"] / rows["n_cpu"], dtype=np.float64)


def _margins(
    pipeline: Pipeline,
    rows: pd.DataFrame,
    watts: FloatArray,
    held_out: FloatArray,
    blocks: Sequence[Split],
    features: Sequence[str],
) -> Margins:
    """What leaving out blocks and longer ones shows, and leaving out the rows with most of a feature.

    held_out: what each row was predicted to draw by the other blocks, watts per CPU.
    """
    longer = list(time_blocks(rows["timestamp_seconds"].to_numpy(dtype=np.float64), _LONG_BLOCKS))
    by_longer = cross_val_predict(clone(pipeline), rows, watts, cv=longer)
    return margins(
        np.concatenate([held_out - watts, by_longer - watts]),
        np.tile(load_of_rows(rows), 2),
        np.concatenate([_block_of_rows(blocks, len(rows)), len(blocks) + _block_of_rows(longer, len(rows))]),
        _beyond(pipeline, rows, watts),
        dict(zip(features, rounded(_limits(pipeline)), strict=True)),
    )


def _block_of_rows(blocks: Sequence[Split], n_rows: int) -> IntArray:
    """The number of the block that each row is held out with."""
    of_row = np.zeros(n_rows, dtype=np.intp)
    for number, (_, test) in enumerate(blocks):
        of_row[test] = number
    return of_row


def _limits(pipeline: Pipeline) -> FloatArray:
    """By feature the rate up to which the fit has seen it."""
    fitted = pipeline[-1]
    return np.asarray((fitted if isinstance(fitted, LinearPower) else fitted.linear_).limits_)


def _beyond(pipeline: Pipeline, rows: pd.DataFrame, watts: FloatArray) -> Beyond | None:
    """For each feature, the errors on the rows with the most of it, of a fit to the others."""
    rates, found = pipeline[0].transform(rows), []
    for of, tail in product(rates.T, _TAILS):
        low = of <= np.quantile(of, 1 - tail)
        if not low.all():
            fitted = clone(pipeline).fit(rows[low], watts[low])
            excess = np.log(np.maximum(1.0, rates[~low] / _limits(fitted)))
            found.append(Beyond(fitted.predict(rows[~low]) - watts[~low], excess))
    if not found:
        return None
    return Beyond(
        np.concatenate([each.errors for each in found]), np.concatenate([each.excess for each in found])
    )


def _best(mae: Mapping[str, float]) -> str:
    """The first kind, unless a later one is clearly better."""
    best, *others = mae
    for name in others:
        best = name if mae[name] < _CLEARLY * mae[best] else best
    return best


def _document(
    pipeline: Pipeline, rows: pd.DataFrame, features: Sequence[str], zone: str, band: Margins
) -> Mapping[str, Any]:
    fitted = pipeline[-1]
    if isinstance(fitted, LinearPower):
        return linear_zone(fitted, features, int(rows["n_cpu"].median()), band)
    straight = make_zone_pipeline("linear", zone, features).fit(rows, _watts_per_cpu(rows, zone))
    return trees_zone(fitted, features, sharing(straight[-1], features), band)
