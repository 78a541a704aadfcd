"""The families about the whole machine, as its board measures it."""

from __future__ import annotations

from collections.abc import Sequence

from estimator.meters.boards import Board, platform_labels
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


def platform_families(boards: Sequence[Board], zones: Sequence[NodeZone], node: str) -> list[Family]:
    """Nothing where no board was read. boards: what they told last. zones: the node's, from the books."""
    measured = [(labels, zone.joules) for zone in zones if (labels := _labels(zone))[0]]
    families = []
    if boards:
        rows = [(node, *_shown(board)) for board in boards]
        families.append(PLATFORM_WATTS.family(rows, [float(board.watts) for board in boards]))
    if measured:
        named = [(node, *labels) for labels, _ in measured]
        families.append(PLATFORM_JOULES.family(named, [joules for _, joules in measured]))
    return families


def _labels(zone: NodeZone) -> tuple[str, str, str]:
    return platform_labels(zone.path) if zone.zone == "platform" else ("", "", "")


def _shown(board: Board) -> tuple[str, ...]:
    own = board.source_id, board.source_name, board.source_type
    return board.source, board.bmc_id, board.chassis_id, *own
