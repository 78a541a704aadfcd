"""Which zones are the node's energy: they overlap, so that not all of them may count."""

from __future__ import annotations

from collections.abc import Iterable

from estimator.energy import SourceInfo

# The widest first. psys and platform hold everything below them; package and dram do not overlap, and core
# and uncore lie in package: Linux, Documentation/power/powercap/powercap.rst; DESIGN section 4.
LEVELS = (("platform",), ("psys",), ("package", "dram"))


def node_zones(known: Iterable[str]) -> tuple[str, ...]:
    """The zones whose joules make up the node's, no joule twice.

    known: every zone that the source has. `platform` alone where there is one, else `psys` alone, else
    `package` and `dram`, over all sockets; `core` and `uncore` never. Empty where none of these is known.
    """
    zones = set(known)
    return next((level for level in LEVELS if zones.intersection(level)), ())


class CountedZones:
    """The rule over a run, tick by tick, where zones come, fail and come back.

    A zone that has given energy stays known for as long as the source is the same: one that fails for a tick
    counts no energy then, and no narrower zone stands in, since the next reading spans the hole. A wider zone
    that appears takes over at the tick after its first, whose joules may reach back over ticks that were
    already counted.
    """

    def __init__(self) -> None:
        self._source: SourceInfo | None = None
        self._known: set[str] = set()

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones that count and have given energy."""
        return tuple(zone for zone in node_zones(self._known) if zone in self._known)

    def choose(self, source: SourceInfo, measured: Iterable[str]) -> tuple[str, ...]:
        """The zones that count in a tick. measured: those with energy in it."""
        zones = set(measured)
        if source != self._source:
            self._source, self._known = source, set()
        chosen = node_zones(self._known or zones)
        self._known |= zones
        return chosen
