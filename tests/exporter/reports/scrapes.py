"""When each node of a fleet is scraped, and what its meters, its grid and its model say then."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.exporter.reports.curves import Floats
from tests.exporter.reports.fleet import HOUR, LEAD, TAIL, Load, Node, Plan

Flags = NDArray[np.bool_]

QUARTER = HOUR / 4
PUE, PRICE = 1.3, 0.25
LOW, HIGH = 0.85, 1.2  # the model's bounds by its power
ERROR_WATTS = 0.5  # of the calibration on one package of what is measured


def scrapes(plan: Plan, node: Node) -> Floats:
    """Times of the node's samples: those at which Prometheus and the exporter both were there."""
    times = _regular(plan, node.phase)
    there = (times >= node.first + 5) & ~_within(times, plan.down)
    for restart in node.restarts:
        there &= ~_within(times, (restart.at, restart.back))
    return times[there]


def scrapes_of_kube_state_metrics(plan: Plan) -> Floats:
    """Times of its samples."""
    times = _regular(plan, plan.interval_seconds / 3)
    return times[~_within(times, plan.down)]


def _regular(plan: Plan, phase: float) -> Floats:
    count = int((plan.end + TAIL - plan.start + LEAD) / plan.interval_seconds)
    times: Floats = np.round(plan.start - LEAD + phase + plan.interval_seconds * np.arange(count), 3)
    return times


def _within(times: Floats, window: tuple[float, float] | None) -> Flags:
    return (times >= window[0]) & (times < window[1]) if window else np.zeros(len(times), dtype=bool)


def last_reset(node: Node, times: Floats) -> Floats:
    """When the counters that are read at `times` began at 0: 0 where that was before everything."""
    began: Floats = np.array([0.0, *node.resets])[np.searchsorted(node.resets, times, side="right")]
    return began


def visible(load: Load, times: Floats, ttl: float) -> Flags:
    """Whether the load has series then: from its begin until `ttl` after its end, or until a reset before."""
    return (times > load.begin) & (times <= load.end + ttl) & (last_reset(load.node, times) < load.end)


def counted(load: Load, times: Floats) -> Floats:
    """The load's counter, all zones together, in joules."""
    return load.curve.at(times) - load.curve.at(last_reset(load.node, times))


def intensity(times: Floats) -> Floats:
    """Grams of CO2 equivalent per kWh: another figure every quarter of an hour, high at night."""
    quarter = np.floor(times / QUARTER)
    grams: Floats = 320 + 140 * np.cos(quarter * QUARTER / 86400 * 2 * np.pi) + 40 * np.sin(quarter * 12.9898)
    return grams
