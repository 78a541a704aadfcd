"""Which zones are the whole machine's energy, of those that can be."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.metrics import tariff_families as c
from exporter.metrics.exposition import Family


class HostZones:
    """Told of a zone once, when it is first known which zones count, it stays so for the process.

    A zone that changed its metric's name would have its whole energy in both.
    """

    def __init__(self) -> None:
        self._told = {"platform": True}  # where there is one, it is what counts
        self._counted: frozenset[str] = frozenset()

    @property
    def are_known(self) -> bool:
        """Whether it was said which zones count; before the first energy it is not."""
        return bool(self._counted)

    def follow(self, families: Sequence[Family]) -> None:
        """Take up which zones count in a snapshot."""
        self._counted = _counted(families) or self._counted

    def holds(self, zone: str) -> bool | None:
        """Whether this zone is the whole machine; None while that is not known."""
        if zone == "psys" and self.are_known:
            self._told.setdefault(zone, zone in self._counted)
        return self._told.get(zone, None if zone == "psys" else False)


def _counted(families: Sequence[Family]) -> frozenset[str]:
    """The zones that together are the node's energy."""
    name = c.ENERGY_ZONE_INFO.name
    return frozenset(labels[1] for family in families if family.name == name for labels in family.labels)
