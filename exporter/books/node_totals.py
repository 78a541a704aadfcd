"""What the node drew, zone by zone, since the start and in the last tick."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from estimator.energy import FloatArray, ZoneShare
from exporter.tariffs.tariffs import FREE, Tariff

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


@dataclass(frozen=True, slots=True)
class NodeCharges:
    """What the node's energy emitted and cost; each of shape (2,), grams and money.

    idle: its idle part. unattributed: by reason, what belongs to nobody. The workloads' are the rest.
    """

    total: FloatArray
    idle: FloatArray
    unattributed: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class KeptTotals:
    """What outlives the process. joules: by (zone, path), shape (3,): all, idle, active."""

    joules: Mapping[tuple[str, str], FloatArray]
    unattributed: Mapping[tuple[str, str], float]
    charges: NodeCharges


class NodeTotals:
    """Sums the shares of every tick by (zone, path), and by (zone, reason) what belongs to nobody."""

    def __init__(self) -> None:
        self._joules: dict[tuple[str, str], FloatArray] = {}
        self._watts: dict[tuple[str, str], FloatArray] = {}
        self._zones: tuple[NodeZone, ...] | None = None
        self._unattributed: dict[tuple[str, str], float] = {}
        self._charged, self._idle_charged = np.zeros(2), np.zeros(2)
        self._unattributed_charged: dict[str, FloatArray] = {}

    def add(self, shares: Sequence[ZoneShare], tariff: Tariff = FREE) -> None:
        """Book one tick."""
        for share in shares:
            if share.energy.zone in tariff.zones:
                self._charge(share, tariff.rates)
        self._watts, self._zones = {}, None
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

    def _charge(self, share: ZoneShare, rates: FloatArray) -> None:
        self._charged = self._charged + share.energy.joules * rates
        self._idle_charged = self._idle_charged + share.idle_joules * rates
        for reason, joules in share.unattributed_joules.items():
            charged = self._unattributed_charged.get(reason, np.zeros(2))
            self._unattributed_charged[reason] = charged + joules * rates

    def zones(self) -> tuple[NodeZone, ...]:
        """Every zone that was ever measured, in the order it was first seen."""
        if self._zones is None:
            self._zones = tuple(
                NodeZone(*key, *map(float, joules), *map(float, self._watts.get(key, _NOT_MEASURED)))
                for key, joules in self._joules.items()
            )
        return self._zones

    @property
    def charges(self) -> NodeCharges:
        """What the energy of the zones that count emitted and cost, by the tariff of its time."""
        return NodeCharges(self._charged, self._idle_charged, dict(self._unattributed_charged))

    def kept(self) -> KeptTotals:
        """All of it but the watts, for the process after this one."""
        return KeptTotals(dict(self._joules), dict(self._unattributed), self.charges)

    def restore(self, kept: KeptTotals) -> None:
        """Go on from what a process before this one summed up."""
        self._joules, self._unattributed = dict(kept.joules), dict(kept.unattributed)
        self._zones = None
        self._charged, self._idle_charged = kept.charges.total, kept.charges.idle
        self._unattributed_charged = dict(kept.charges.unattributed)

    def unattributed(self) -> Mapping[tuple[str, str], float]:
        """Joules by (zone, reason)."""
        return dict(self._unattributed)
