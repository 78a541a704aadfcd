"""What the node drew, zone by zone, since the start and in the last tick."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from estimator.energy import FloatArray, ZoneShare

_NOT_MEASURED = (math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class NodeZone:
    """One zone at one path. joules since the start; watts of the last tick, NaN if it gave no reading."""

    zone: str
    path: str
    joules: float
    idle_joules: float
    active_joules: float
    watts: float
    idle_watts: float
    active_watts: float


class NodeTotals:
    """Sums the shares of every tick by (zone, path), and by (zone, reason) what belongs to nobody."""

    def __init__(self) -> None:
        self._joules: dict[tuple[str, str], FloatArray] = {}
        self._watts: dict[tuple[str, str], FloatArray] = {}
        self._unattributed: dict[tuple[str, str], float] = {}

    def add(self, shares: Sequence[ZoneShare]) -> None:
        """Book one tick."""
        self._watts = {}
        for share in shares:
            self._add_zone(share)
            for reason, joules in share.unattributed_joules.items():
                key = share.energy.zone, reason
                self._unattributed[key] = self._unattributed.get(key, 0.0) + joules

    def _add_zone(self, share: ZoneShare) -> None:
        energy, idle = share.energy, share.idle_joules
        key = energy.zone, energy.path
        amounts = np.array([energy.joules, idle, max(0.0, energy.joules - idle)])
        self._joules[key] = self._joules.get(key, np.zeros(3)) + amounts
        if energy.interval_seconds > 0:
            self._watts[key] = self._watts.get(key, np.zeros(3)) + amounts / energy.interval_seconds

    def zones(self) -> tuple[NodeZone, ...]:
        """Every zone that was ever measured, in the order it was first seen."""
        return tuple(
            NodeZone(*key, *map(float, joules), *map(float, self._watts.get(key, _NOT_MEASURED)))
            for key, joules in self._joules.items()
        )

    def unattributed(self) -> Mapping[tuple[str, str], float]:
        """Joules by (zone, reason)."""
        return dict(self._unattributed)
