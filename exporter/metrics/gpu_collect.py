"""What GPUs drew, and on whose account, as families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import compress

import numpy as np
import numpy.typing as npt

from exporter.books.ledger import Balances
from exporter.books.node_totals import NodeZone
from exporter.metrics import gpu_families as g
from exporter.metrics.exposition import Family, Labels
from exporter.metrics.floats import Floats
from exporter.metrics.specs import Spec
from exporter.tick.gpus import ZONE, GpuLabels


def without_gpus(balances: Balances) -> Balances:
    """The zones of the CPU and the machine alone; the same object where there is no other."""
    if ZONE not in balances.zones:
        return balances
    kept = [i for i, zone in enumerate(balances.zones) if zone != ZONE]
    return replace(
        balances,
        zones=tuple(balances.zones[i] for i in kept),
        joules=balances.joules[:, kept],
        idle_joules=balances.idle_joules[:, kept],
        watts=balances.watts[:, kept],
    )


def of_node(node: str, zones: Sequence[NodeZone], labels_of: Mapping[str, GpuLabels]) -> list[Family]:
    """One series a GPU, or instance. labels_of: by path; what is not among them has not answered yet."""
    known = [(zone, labels_of[zone.path]) for zone in zones if zone.zone == ZONE and zone.path in labels_of]
    if not known:
        return []
    rows = [(node, each.index, each.uuid, each.name, each.vendor) for _, each in known]
    found = [zone for zone, _ in known]
    columns: tuple[tuple[Spec, list[float]], ...] = (
        (g.NODE_JOULES, [zone.joules for zone in found]),
        (g.NODE_ACTIVE_JOULES, [zone.active_joules for zone in found]),
        (g.NODE_IDLE_JOULES, [zone.idle_joules for zone in found]),
        (g.NODE_WATTS, [zone.watts for zone in found]),
        (g.NODE_ACTIVE_WATTS, [zone.active_watts for zone in found]),
        (g.NODE_IDLE_WATTS, [zone.idle_watts for zone in found]),
        (g.NODE_INFO, [1.0] * len(found)),
    )
    return [_some(spec, rows, np.array(values), ~np.isnan(values)) for spec, values in columns]


def of_workloads(
    balances: Balances, labels: Sequence[Labels], joules: Spec, watts: Spec | None = None
) -> list[Family]:
    """Of those that have used a GPU. labels: of the rows of balances."""
    if ZONE not in balances.zones:
        return []
    column = balances.zones.index(ZONE)
    used, power = balances.joules[:, column], balances.watts[:, column]
    families = [_some(joules, labels, used, used > 0, balances.since_seconds)]
    if watts is not None:
        families.append(_some(watts, labels, power, (used > 0) & ~np.isnan(power)))
    return families


def reserved_idle(balances: Balances, labels: Sequence[Labels]) -> list[Family]:
    """Of the pods that have reserved a GPU. labels: of the rows of balances."""
    if ZONE not in balances.zones:
        return []
    idle = balances.idle_joules[:, balances.zones.index(ZONE)]
    return [_some(g.POD_IDLE_JOULES, labels, idle, idle > 0, balances.since_seconds)]


def _some(
    spec: Spec,
    labels: Sequence[Labels],
    values: Floats,
    chosen: npt.NDArray[np.bool_],
    since_seconds: Floats | None = None,
) -> Family:
    starts = None if since_seconds is None else since_seconds[chosen]
    return spec.family(list(compress(labels, chosen)), values[chosen], starts)
