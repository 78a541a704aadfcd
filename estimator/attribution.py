"""Who drew it: the energy of each zone, split and shared out among the cgroups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ebpf.counters import CACHE_MISSES, CPU_NS, CYCLES, FIELDS, INSTRUCTIONS, SWITCHES
from estimator.energy import FloatArray, Usage, ZoneEnergy, ZoneShare
from estimator.idle import split_idle

NO_USAGE, MAP_FULL = "no_usage", "map_full"

# The names coefficients go by are the features of a model (DESIGN section 6), joules per unit:
# where the counter is in another unit than the feature, the factor turns the one into the other.
FEATURES = {
    "cpu_seconds": (CPU_NS, 1e-9),
    "cycles": (CYCLES, 1.0),
    "instructions": (INSTRUCTIONS, 1.0),
    "cache_misses": (CACHE_MISSES, 1.0),
    "switches": (SWITCHES, 1.0),
}


def attribute(
    energies: Sequence[ZoneEnergy],
    usage: Usage,
    coefficients: Mapping[str, Mapping[str, float]],
    socket_index: Mapping[int, int],
) -> list[ZoneShare]:
    """Share out each zone's active energy in proportion to w = Σ β·x; one ZoneShare an energy, in order.

    coefficients: β by zone and feature (see FEATURES), joules per CPU second, cycle, …; a zone without any,
    or with none on a measured counter, goes by CPU time alone. Unknown features are left out.
    socket_index: from the physical socket to the index in usage.used; a zone whose socket is None or not
    there is shared out over all sockets.
    Always Σ cgroups + unattributed + idle == joules, to 1e-9 relative; a cgroup that used nothing gets 0.0.
    Raises ValueError for a coefficient that is negative or not finite. Source: DESIGN section 4, steps 2-5.
    """
    weights = {zone: _weigh(usage, _beta(zone, coefficients, usage.available)) for zone in _zones(energies)}
    cpu_ratio = usage.cpu_ratio
    return [
        _share(energy, weights[energy.zone].on(_index(energy.socket, socket_index)), cpu_ratio)
        for energy in energies
    ]


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


def _beta(
    zone: str, coefficients: Mapping[str, Mapping[str, float]], available: frozenset[str]
) -> FloatArray:
    """β in the order of the counters' fields, joules per counted unit; shape (n_fields,)."""
    beta = np.zeros(len(FIELDS))
    for feature, joules in coefficients.get(zone, {}).items():
        if not 0 <= joules < math.inf:
            raise ValueError(
                f"coefficient {feature} of zone {zone} must be finite and at least 0, found {joules}"
            )
        field, factor = FEATURES.get(feature, (None, 0.0))
        if field is not None and FIELDS[field] in available:
            beta[field] = joules * factor
    if not beta.any():
        beta[CPU_NS] = 1e-9
    return beta


def _share(energy: ZoneEnergy, weights: tuple[FloatArray, float], cpu_ratio: float) -> ZoneShare:
    used, dropped = weights
    split = split_idle(energy.joules, energy.idle_watts, energy.interval_seconds, cpu_ratio)
    total = float(used.sum()) + dropped
    unattributed = {NO_USAGE: 0.0, MAP_FULL: 0.0}
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


def _zones(energies: Sequence[ZoneEnergy]) -> set[str]:
    return {energy.zone for energy in energies}
