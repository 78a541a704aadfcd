"""The families about the whole machine, as its board measures it."""

from __future__ import annotations

from collections.abc import Sequence

from estimator.meters.boards import Board, BoardMeter, platform_labels
from estimator.meters.several import SeveralMeters
from exporter.books.node_totals import NodeZone
from exporter.metrics.exposition import Family
from exporter.metrics.specs import Catalogue

declare = Catalogue()

# Kepler's name and labels.
PLATFORM_WATTS = declare.gauge(
    "kepler_platform_watts",
    "Power in watts that a board's management controller told last, of each thing that it is the sum of",
    ("source", "bmc_id", "chassis_id", "source_id", "source_name", "source_type"),
)
PLATFORM_JOULES = declare.booked_counter(
    "podjoule_platform_joules_total",
    "Energy of the whole machine in joules, by the board meter that measured it",
    ("source", "bmc_id", "chassis_id"),
)


def platform_families(meters: SeveralMeters | None, zones: Sequence[NodeZone], node: str) -> list[Family]:
    """Nothing where no board was ever read. zones: the node's, from the books."""
    boards = _boards(meters)
    measured = [
        (labels, zone.joules)
        for zone in zones
        if zone.zone == "platform" and (labels := platform_labels(zone.path))[0]
    ]
    families = []
    if boards:
        labels = [
            (
                node,
                each.source,
                each.bmc_id,
                each.chassis_id,
                each.source_id,
                each.source_name,
                each.source_type,
            )
            for each in boards
        ]
        families.append(PLATFORM_WATTS.family(labels, [float(each.watts) for each in boards]))
    if measured:
        rows = [(node, *each) for each, _ in measured]
        families.append(PLATFORM_JOULES.family(rows, [joules for _, joules in measured]))
    return families


def _boards(meters: SeveralMeters | None) -> list[Board]:
    opened = [each.meter for each in meters.meters] if meters else []
    return [board for meter in opened if isinstance(meter, BoardMeter) for board in meter.boards.now()]
