"""Two meters of one truth, compared: the power of each over the last ten minutes or so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from estimator.energy import ZoneEnergy

_HALF_LIFE_SECONDS = 300.0
_LEAST_SECONDS = 60.0
_SILENT_NS = 600 * 10**9


@dataclass(frozen=True, slots=True)
class Twin:
    """Another source of a zone that `source` serves. ratio: how far it is from that, |a - b| / a by their
    joules; None before that is known."""

    zone: str
    source: str
    other: str
    ratio: float | None


@dataclass(slots=True)
class _Fading:
    joules: float = 0.0
    seconds: float = 0.0
    heard_ns: int = 0

    def add(self, energy: ZoneEnergy, now_ns: int) -> None:
        kept = 0.5 ** (energy.interval_seconds / _HALF_LIFE_SECONDS)
        self.joules = self.joules * kept + energy.joules
        self.seconds = self.seconds * kept + energy.interval_seconds
        self.heard_ns = now_ns


class MeanPower:
    """The recent power of a zone by one source: the mean of each of its counters, added up."""

    def __init__(self) -> None:
        self._by_path: dict[str, _Fading] = {}

    def add(self, energies: Iterable[ZoneEnergy], now_ns: int) -> None:
        """Take in what was told by then, CLOCK_BOOTTIME."""
        for energy in energies:
            self._by_path.setdefault(energy.path, _Fading()).add(energy, now_ns)

    def watts(self, now_ns: int) -> float | None:
        """None before a minute of it is known, and where nothing was told for ten."""
        for path in [path for path, each in self._by_path.items() if now_ns - each.heard_ns > _SILENT_NS]:
            del self._by_path[path]
        known = [each for each in self._by_path.values() if each.seconds >= _LEAST_SECONDS]
        return sum(each.joules / each.seconds for each in known) if known else None


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """|a - b| / a; None where one is not known or a is nothing."""
    if ours is None or theirs is None or ours <= 0:
        return None
    return abs(ours - theirs) / ours


def furthest(found: Iterable[Twin]) -> list[Twin]:
    """One a pair and zone: of several devices, the one that is furthest apart."""
    by_pair: dict[tuple[str, str, str], Twin] = {}
    for each in found:
        key = each.zone, each.source, each.other
        by_pair[key] = max(by_pair.get(key, each), each, key=lambda twin: twin.ratio or 0.0)
    return list(by_pair.values())
