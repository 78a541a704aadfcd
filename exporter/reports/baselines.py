"""Counters that come late onto a page, as after a change of --metrics.level: they count from then on.

Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from estimator.energy import FloatArray
from exporter.metrics import families as f
from exporter.metrics.specs import Spec
from exporter.reports.node_hour import NodeHour
from exporter.reports.timeline import BoolArray, are_new

_ACTIVE: Final = (f.POD_JOULES, f.CONTAINER_JOULES, f.VM_JOULES, f.CGROUP_JOULES, f.UNATTRIBUTED_JOULES)
_PARTS: Final = (
    (f.NODE_JOULES, (f.NODE_IDLE_JOULES, *_ACTIVE)),
    (f.NODE_IDLE_JOULES, (f.POD_IDLE_JOULES, f.CONTAINER_IDLE_JOULES)),
)
"""A whole, and families whose series are parts of it: they cannot grow by more together."""
_BESIDE: Final = (
    (f.CONTAINER_SECONDS, f.POD_JOULES),
    (f.CGROUP_SECONDS, f.CGROUP_JOULES),
    (f.NODE_JOULES, f.POD_JOULES),
)
"""A family, and another that is on no page before it is."""
_SLACK = 1e-6
# What a pod used before its names were known is in its first sample: 30 s of it while Kubernetes answers.
_NAMELESS_SECONDS: Final = 60.0


def with_baselines(node: NodeHour) -> NodeHour:
    """The node with the steps in which what is new does not count from 0.

    Those in which new series claim more than their whole grew by, and those in which a family comes onto a
    page that has had what is never there without it.
    """
    late = [*(_is_claimed(node, *each) for each in _PARTS), *(_is_behind(node, *each) for each in _BESIDE)]
    return replace(node, late=np.asarray(np.any(late, axis=0), dtype=np.bool_))


def _is_claimed(node: NodeHour, whole: Spec, parts: tuple[Spec, ...]) -> BoolArray:
    """Of each step, whether what is new in some zone claims more than its whole grew by meanwhile."""
    found = np.zeros(len(node.steps.end), dtype=np.bool_)
    for zone in {labels[whole.labels.index("zone")] for labels in node.table(whole.name).labels}:
        values = _in_zone(node, whole, zone)
        grown = _lately(node, node.grown(values).sum(axis=0))
        claimed = np.sum([_claimed(_in_zone(node, part, zone)) for part in parts], axis=0)
        found |= np.isfinite(values[:, 1:]).any(axis=0) & (claimed > grown * (1 + _SLACK))
    return found


def _lately(node: NodeHour, grown: FloatArray) -> FloatArray:
    """Of each step, what it and those that end within _NAMELESS_SECONDS before it grew by together."""
    until = np.concatenate(([0.0], np.cumsum(grown)))
    first = np.searchsorted(node.steps.end, node.steps.begin - _NAMELESS_SECONDS, side="right")
    together: FloatArray = until[1:] - until[np.minimum(first, np.arange(len(grown)))]
    return together


def _claimed(values: FloatArray) -> FloatArray:
    """What series that are new count from 0 to, by step."""
    claimed: FloatArray = np.where(are_new(values), values[:, 1:], 0.0).sum(axis=0)
    return claimed


def _is_behind(node: NodeHour, family: Spec, other: Spec) -> BoolArray:
    """Of each step, whether the first series of a family comes in it, and one of the other came before."""
    new, there = (
        np.logical_or.accumulate(np.isfinite(node.table(spec.name).values).any(axis=0))
        for spec in (family, other)
    )
    return np.asarray(new[1:] & ~new[:-1] & there[:-1], dtype=np.bool_)


def _in_zone(node: NodeHour, spec: Spec, zone: str) -> FloatArray:
    """The series that are parts of a zone: a pod's own containers are within it."""
    table, names = node.table(spec.name), spec.labels
    is_container = spec in (f.CONTAINER_JOULES, f.CONTAINER_IDLE_JOULES)
    rows = [
        row
        for row, labels in enumerate(table.labels)
        if labels[names.index("zone")] == zone and not (is_container and labels[names.index("pod_id")])
    ]
    return table.values[rows]
