"""Two meters of one truth, compared: the power of each over the last ten minutes or so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from estimator.energy import ZoneEnergy

_HALF_LIFE_SECONDS = 300.0
_LEAST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How far `other` is from `source`, which serves the zone: |a - b| / a, by their joules."""

    zone: str
    source: str
    other: str
    ratio: float


@dataclass(slots=True)
class _Fading:
    joules: float = 0.0
    seconds: float = 0.0

    def add(self, energy: ZoneEnergy) -> None:
        kept = 0.5 ** (energy.interval_seconds / _HALF_LIFE_SECONDS)
        self.joules = self.joules * kept + energy.joules
        self.seconds = self.seconds * kept + energy.interval_seconds


class MeanPower:
    """The recent power of a zone by one source: the mean of each of its counters, added up."""

    def __init__(self) -> None:
        self._by_path: dict[str, _Fading] = {}

    def add(self, energies: Iterable[ZoneEnergy]) -> None:
        """Take in what was told."""
        for energy in energies:
            self._by_path.setdefault(energy.path, _Fading()).add(energy)

    @property
    def watts(self) -> float | None:
        """None before a minute of it is known."""
        known = [each for each in self._by_path.values() if each.seconds >= _LEAST_SECONDS]
        return sum(each.joules / each.seconds for each in known) if known else None


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """|a - b| / a; None where one is not known or a is nothing."""
    if ours is None or theirs is None or ours <= 0:
        return None
    return abs(ours - theirs) / ours


def largest(found: Sequence[Disagreement]) -> list[Disagreement]:
    """One a pair and zone: of several devices, the one that is furthest apart."""
    by_pair: dict[tuple[str, str, str], Disagreement] = {}
    for each in found:
        key = each.zone, each.source, each.other
        by_pair[key] = max(by_pair.get(key, each), each, key=lambda one: one.ratio)
    return list(by_pair.values())
