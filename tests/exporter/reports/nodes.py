"""Nodes of the world as `collect` has them after asking, without a server."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exporter.reports.accounting import Account, Pods, Workload, account
from exporter.reports.matrix import Series
from exporter.reports.merging import HourOfRows, NodeGroup
from exporter.reports.node_hour import NodeHour, make_node_hour, make_timeline
from exporter.reports.rows import Row
from tests.exporter.reports.world import HOUR, Node, samples_of


def series_of(node: Node) -> list[Series]:
    return [
        Series(dict(labels), *np.array(points, dtype=np.float64).T)
        for labels, points in samples_of([node]).items()
    ]


def node_hour(node: Node, hour: int = HOUR) -> NodeHour:
    series = series_of(node)
    timeline = make_timeline(node.name, series)
    assert timeline is not None
    return make_node_hour(timeline, series, hour, timeline.longest(hour))


def pods_of(node: Node, **requested: float) -> Pods:
    told = {
        pod.uid: Workload(pod.namespace, "Deployment", pod.workload, (("team", pod.team),))
        for pod in node.pods
    }
    return Pods(told, requested)


def account_of(node: Node, hour: int = HOUR) -> Account:
    return account(node_hour(node, hour), pods_of(node))


def rows_of(
    nodes: Sequence[Node],
    hour: int = HOUR,
    groups: Sequence[NodeGroup] = (),
    market_intensity: float | None = None,
) -> list[Row]:
    added = HourOfRows(hour, groups, market_intensity)
    for node in sorted(nodes, key=lambda node: node.name):
        added.add(account_of(node, hour))
    return added.rows()


def total(rows: Sequence[Row], *kinds: str, late: bool | None = None) -> float:
    return sum(
        row.joules for row in rows if (not kinds or row.kind in kinds) and (late is None or row.late is late)
    )
