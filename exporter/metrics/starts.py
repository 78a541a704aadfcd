"""Since when the counters count that are no row of the books: the node's and podjoule's own."""

from __future__ import annotations

from collections.abc import Iterable

from exporter.metrics.exposition import Family
from exporter.tick.measurement import Measurement


class Starts:
    """Gives every counter its start, and remembers it in the measurement, which outlives the process.

    A series that comes to a family of the page before was 0 when its tick's interval began. One of a family
    that was not on that page may have been counted and not shown: it was 0 when all counting began.
    """

    def __init__(self, measurement: Measurement) -> None:
        self._measurement = measurement
        self._shown: frozenset[str] = frozenset()

    def dated(self, families: Iterable[Family]) -> list[Family]:
        """The families of a page, all counters with their starts; those of rows have them already."""
        page = list(families)
        dated = [self._dated(family) if _is_undated(family) else family for family in page]
        self._shown = frozenset(family.name for family in page)
        return dated

    def _dated(self, family: Family) -> Family:
        starts, since = self._measurement.starts, self._measurement.since_seconds
        if family.name not in self._shown:
            since = min(since, self._measurement.start_seconds)
        created = [starts.setdefault((family.name, labels), since) for labels in family.labels]
        return Family(
            *(family.name, family.help, family.type, family.label_names, family.labels, family.values),
            created,
        )


def _is_undated(family: Family) -> bool:
    return family.type == "counter" and family.created is None
