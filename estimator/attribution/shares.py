"""Who drew it: the energy of each zone, split and shared out among the cgroups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ebpf.counters import FIELDS
from estimator.attribution.idle import split_idle, two_parts
from estimator.energy import FloatArray, Usage, ZoneEnergy, ZoneShare
from estimator.features import FEATURES, Coefficients, measured

NO_USAGE, MAP_FULL, SUSPENDED = "no_usage", "map_full", "suspended"
_CPU_TIME = FEATURES["cpu_seconds"]


def attribute(
    energies: Sequence[ZoneEnergy],
    usage: Usage,
    coefficients: Coefficients,
    socket_index: Mapping[int, int],
    spans: Mapping[str, Usage] = MappingProxyType({}),
) -> list[ZoneShare]:
    """Share out each zone's active energy in proportion to w = Σ β·x; one ZoneShare an energy, in order.

    coefficients: β by zone and feature (see FEATURES), joules per CPU second, cycle, …; a zone without any,
    or with none on a measured counter, goes by CPU time alone. Unknown features are left out.
    socket_index: from the physical socket to the index in usage.used; a zone whose socket is None or not
    there is shared out over all sockets. spans: by path, what ran in all of the energy's interval where that
    is longer than the tick; row by row as usage (see backlog.Spans).
    Always Σ cgroups + unattributed + idle == joules, to 1e-9 relative; a cgroup that used nothing gets 0.0.
    Raises ValueError for a coefficient that is negative or not finite. Source: DESIGN section 4, steps 2-5.
    """
    beta = {energy.zone: _beta(energy.zone, coefficients, usage.available) for energy in energies}
    weights = {zone: _weigh(usage, weighed) for zone, weighed in beta.items()}
    shares = []
    for energy in energies:
        span = spans.get(energy.path)
        weighed = weights[energy.zone] if span is None else _weigh(span, beta[energy.zone])
        index = _index(energy.socket, socket_index)
        shares.append(_share(energy, weighed.on(index), (span or usage).cpu_ratio))
    return shares


@dataclass(frozen=True, slots=True)
class _Weights:
    """w by cgroup and socket, and of what the map could not hold; shapes (n, n_sockets) and (n_sockets,)."""

    cgroups: FloatArray
    dropped: FloatArray

    def on(self, index: int | None) -> tuple[FloatArray, float]:
        """The weights on one socket, or on all of them."""
        if index is None or not 0 <= index < len(self.dropped):
            return self.cgroups.sum(axis=1), float(self.dropped.sum())
        return self.cgroups[:, index], float(self.dropped[index])


def _weigh(usage: Usage, beta: FloatArray) -> _Weights:
    return _Weights(usage.used @ beta, usage.dropped @ beta)


def _beta(zone: str, coefficients: Coefficients, available: Set[str]) -> FloatArray:
    """β in the order of the counters' fields, joules per counted unit; shape (n_fields,)."""
    given = coefficients.get(zone, {})
    for name, joules in given.items():
        if not 0 <= joules < math.inf:
            raise ValueError(
                f"coefficient {name} of zone {zone} must be finite and at least 0, found {joules}"
            )
    beta = np.zeros(len(FIELDS))
    for feature in measured(available):
        beta[feature.field] = given.get(feature.name, 0.0) / feature.counts_per_unit
    if not beta.any():
        beta[_CPU_TIME.field] = 1 / _CPU_TIME.counts_per_unit
    return beta


def _share(energy: ZoneEnergy, weights: tuple[FloatArray, float], cpu_ratio: float) -> ZoneShare:
    used, dropped = weights
    suspended, awake = two_parts(energy.joules, energy.suspended_joules)
    split = split_idle(awake, energy.idle_watts, energy.awake_seconds, cpu_ratio)
    total = float(used.sum()) + dropped
    unattributed = {NO_USAGE: 0.0, MAP_FULL: 0.0, SUSPENDED: suspended}
    if total > 0:
        # The ratio first: it lies in [0, 1], where active / total could overflow.
        cgroup_joules = used / total * split.active
        unattributed[MAP_FULL] = dropped / total * split.active
    else:
        cgroup_joules = np.zeros(len(used))
        unattributed[NO_USAGE] = split.active
    return ZoneShare(energy, split.idle, split.method, cgroup_joules, unattributed)


def _index(socket: int | None, socket_index: Mapping[int, int]) -> int | None:
    return None if socket is None else socket_index.get(socket)
