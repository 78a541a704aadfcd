"""How a node's energy is counted, step by step: zones, source, bounds, and what it emits and costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from estimator.energy import FloatArray
from exporter.metrics import families as f
from exporter.metrics import meter_families as m
from exporter.metrics import tariff_families as c
from exporter.metrics.specs import Spec
from exporter.reports.node_hour import Labels, NodeHour
from exporter.reports.rows import MEASURED
from exporter.reports.timeline import BoolArray, covered_weights, late_weights, nearest_known
from exporter.tariffs.tariffs import JOULES_PER_KWH

UNKNOWN: Final = "unknown"
_MODEL = "model"


class Columns(IntEnum):
    """What is charged for a joule, by column."""

    JOULES = 0
    LOW = 1
    HIGH = 2
    GRAMS = 3
    COST = 4


@dataclass(frozen=True, slots=True)
class Share:
    """The part of one zone's steps that are the hour's, of one source and covered or late.

    weight: shape (steps,), the part of a step. charged: (steps, columns), what a joule counted in a step is
    charged. overhead: the same of the PUE's part, None where nobody told one. error_joules: what the
    calibration may be wrong by.
    """

    source: str
    late: bool
    weight: FloatArray
    charged: FloatArray
    overhead: FloatArray | None
    error_joules: float


@dataclass(frozen=True, slots=True)
class Charges:
    """Of a node.

    by_zone: the zones that count. main: the zone that draws most. lacks: what the node does not tell.
    """

    by_zone: Mapping[str, Sequence[Share]]
    main: Sequence[Share]
    currency: str
    lacks: frozenset[str]


def charges_of(node: NodeHour) -> Charges:
    """From the node's gauges at the end of each step: what was in force when it was counted."""
    zones = _zones(node)
    grams, _ = _tariff(node, c.GRID_INTENSITY)
    cost, currency = _tariff(node, c.GRID_PRICE, "currency")
    pue, _ = _tariff(node, c.GRID_PUE)
    by_zone = {zone: [*_shares(node, zone, counts, grams, cost, pue)] for zone, counts in zones.items()}
    drawn = {zone: _drawn(node, zone) for zone in zones}
    main = min(zones, key=lambda zone: (-drawn[zone], zone), default="")
    found = (("zones", bool(zones)), ("grams", grams is not None), ("cost", cost is not None))
    return Charges(
        by_zone, by_zone.get(main, ()), currency, frozenset(name for name, there in found if not there)
    )


def label(spec: Spec, labels: Labels, name: str) -> str:
    """One label of a family's series."""
    return labels[spec.labels.index(name)]


def grown_in(node: NodeHour, spec: Spec, zone: str) -> tuple[list[Labels], FloatArray]:
    """The series of a family in a zone, and their increments by step, (n, steps)."""
    table = node.table(spec.name)
    rows = [row for row, labels in enumerate(table.labels) if label(spec, labels, "zone") == zone]
    return [table.labels[row] for row in rows], node.grown(table.values[rows])


def _zones(node: NodeHour) -> dict[str, BoolArray]:
    """The zones that are the node's energy, each with the steps at whose end it is."""
    table = node.table(c.ENERGY_ZONE_INFO.name)
    return {
        label(c.ENERGY_ZONE_INFO, labels, "zone"): ~np.isnan(row[1:])
        for labels, row in zip(table.labels, table.values, strict=True)
    }


def _drawn(node: NodeHour, zone: str) -> float:
    return float(grown_in(node, f.NODE_JOULES, zone)[1].sum())


def _shares(
    node: NodeHour,
    zone: str,
    counts: BoolArray,
    grams: FloatArray | None,
    cost: FloatArray | None,
    pue: FloatArray | None,
) -> Iterator[Share]:
    times = ((False, covered_weights(node.steps, node.hour)), (True, late_weights(node.steps, node.hour)))
    for source, by_model, told in _sources(node, zone):
        low, high = _bounds(node, zone) if by_model else _spread(node, zone)
        for late, weights in times:
            weight = np.where(counts & told, weights, 0.0)
            if not weight.any():
                continue
            per_joule = np.stack(
                [np.ones_like(low), low, high, _per_joule(grams, low), _per_joule(cost, low)], 1
            )
            charged = per_joule * weight[:, np.newaxis]
            overhead = None if pue is None else charged * (pue - 1.0)[:, np.newaxis]
            error = 0.0 if by_model else float(weight @ (node.steps.seconds * _error_watts(node, zone)))
            yield Share(source, late, weight, charged, overhead, error)


def _per_joule(per_kwh: FloatArray | None, like: FloatArray) -> FloatArray:
    return np.zeros_like(like) if per_kwh is None else per_kwh / JOULES_PER_KWH


def _sources(node: NodeHour, zone: str) -> Iterator[tuple[str, bool, BoolArray]]:
    """Whose word a zone's energy was: a row's source, whether a model's, and in which steps.

    Each step has one.
    """
    left = np.ones(len(node.steps.end), dtype=np.bool_)
    table = node.table(f.SOURCE_INFO.name)
    for labels, row in zip(table.labels, table.values, strict=True):
        if label(f.SOURCE_INFO, labels, "zone") != zone:
            continue
        told = left & ~np.isnan(row[1:])
        left &= ~told
        source, model, sha256 = (label(f.SOURCE_INFO, labels, name) for name in ("source", "model", "sha256"))
        by_model = source == _MODEL
        yield f"{_MODEL}:{model}@{sha256}" if by_model else f"{MEASURED}:{source}", by_model, told
    yield UNKNOWN, False, left


def _bounds(node: NodeHour, zone: str) -> tuple[FloatArray, FloatArray]:
    """The model's bounds over its power, by step; 1 where a step has none."""
    watts, low, high = (
        _watts(node, spec, zone) for spec in (f.NODE_WATTS, f.MODEL_LOW_WATTS, f.MODEL_HIGH_WATTS)
    )
    known = ~np.isnan(watts) & ~np.isnan(low) & ~np.isnan(high) & (watts > 0)
    over = np.where(known, watts, 1.0)
    return np.where(known, low / over, 1.0), np.where(known, high / over, 1.0)


def _spread(node: NodeHour, zone: str) -> tuple[FloatArray, FloatArray]:
    """The bounds of watts that a meter integrated over their power, by step; 1 for a counter."""
    watts, spread = (_watts(node, spec, zone) for spec in (f.NODE_WATTS, m.SPREAD_WATTS))
    known = ~np.isnan(watts) & ~np.isnan(spread) & (watts > 0)
    part = np.where(known, spread / np.where(known, watts, 1.0), 0.0)
    return np.maximum(0.0, 1.0 - part), 1.0 + part


def _error_watts(node: NodeHour, zone: str) -> FloatArray:
    return np.nan_to_num(_watts(node, f.MODEL_ERROR_WATTS, zone))


def _watts(node: NodeHour, spec: Spec, zone: str) -> FloatArray:
    """A gauge of all places of a zone together at the end of each step, NaN where it has none."""
    table = node.table(spec.name)
    rows = [row for row, labels in enumerate(table.labels) if label(spec, labels, "zone") == zone]
    values = table.values[rows, 1:]
    return np.where(np.isnan(values).all(axis=0), np.nan, np.nansum(values, axis=0))


def _tariff(node: NodeHour, spec: Spec, name: str = "") -> tuple[FloatArray | None, str]:
    """A gauge by step, where it is missing the nearest, and the label of its last series; None without any.

    Of several series, one after the other, each has its time; those of another label do not count.
    """
    table = node.table(spec.name)
    rows = [
        (labels, row)
        for labels, row in zip(table.labels, table.values, strict=True)
        if not np.isnan(row).all()
    ]
    if not rows:
        return None, ""
    last = max(rows, key=lambda each: (int(np.flatnonzero(~np.isnan(each[1]))[-1]), each[0]))[0]
    told = label(spec, last, name) if name else ""
    merged = np.full(len(node.steps.end) + 1, np.nan)
    for labels, row in rows:
        if not name or label(spec, labels, name) == told:
            merged = np.where(np.isnan(merged), row, merged)
    return nearest_known(merged)[1:], told
