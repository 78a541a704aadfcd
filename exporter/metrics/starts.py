"""Since when the counters count that are no row of the books: the node's and podjoule's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from exporter.metrics.exposition import Family
from exporter.tick.measurement import Measurement


class Starts:
    """Gives every counter its start, and remembers it in the measurement, which outlives the process.

    A series of the first page was 0 when the process began, or where counts go on from before it, when that
    was. One that comes later was not there on the page before: it was 0 when its tick's interval began.
    """

    def __init__(self, measurement: Measurement) -> None:
        self._measurement = measurement
        self._is_first = True

    def dated(self, families: Iterable[Family]) -> list[Family]:
        """The families of a page, all counters with their starts; those of rows have them already."""
        since = self._measurement.since_seconds
        if self._is_first:
            since = min(since, self._measurement.start_seconds)
        self._is_first = False
        return [self._dated(family, since) if _is_undated(family) else family for family in families]

    def _dated(self, family: Family, since: float) -> Family:
        starts = self._measurement.starts
        created = [starts.setdefault((family.name, labels), since) for labels in family.labels]
        return replace(family, created=created)


def _is_undated(family: Family) -> bool:
    return family.type == "counter" and family.created is None
