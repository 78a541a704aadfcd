"""Who drew it: the energy of each zone, split and shared out among the cgroups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from estimator.attribution.idle import split_idle, two_parts
from estimator.energy import FloatArray, Usage, ZoneEnergy, ZoneShare
from estimator.features import FEATURES, Coefficients, amounts, measured

NO_USAGE, MAP_FULL, SUSPENDED = "no_usage", "map_full", "suspended"


def attribute(
    energies: Sequence[ZoneEnergy],
    usage: Usage,
    coefficients: Coefficients,
    socket_index: Mapping[int, int],
    spans: Mapping[str, Usage] = MappingProxyType({}),
) -> list[ZoneShare]:
    """Share out each zone's active energy in proportion to w = Σ β·x; one ZoneShare an energy, in order.

    coefficients: β by zone and feature (see FEATURES), joules per CPU second, cycle, …; a zone without any,
    or with none on what is measured, goes by CPU time alone. Unknown features are left out.
    socket_index: from the physical socket to the index in usage.used; a zone whose socket is None or not
    there is shared out over all sockets. spans: by path, what ran in all of the energy's interval where that
    is longer than the tick; row by row as usage (see backlog.Spans).
    Always Σ cgroups + unattributed + idle == joules, to 1e-9 relative; a cgroup that used nothing gets 0.0.
    Raises ValueError for a coefficient that is negative or not finite. Source: DESIGN section 4, steps 2-5.
    """
    beta = {energy.zone: _beta(energy.zone, coefficients, usage) for energy in energies}
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


def _weigh(usage: Usage, beta: Mapping[str, float]) -> _Weights:
    """Of everyone at once, who was dropped last."""
    used = np.concatenate([usage.used, usage.dropped[np.newaxis]])
    features = [FEATURES[name] for name in beta]
    weights = amounts(used, features, usage.awake_seconds) @ np.array(list(beta.values()))
    return _Weights(weights[:-1], weights[-1])


def _beta(zone: str, coefficients: Coefficients, usage: Usage) -> Mapping[str, float]:
    """Joules per unit of each feature that is measured and weighs something."""
    given = coefficients.get(zone, {})
    for name, joules in given.items():
        if not 0 <= joules < math.inf:
            raise ValueError(
                f"coefficient {name} of zone {zone} must be finite and at least 0, found {joules}"
            )
    has_awake = usage.awake_seconds is not None
    able = [row.name for row in measured(usage.available, FEATURES) if has_awake or not row.needs_awake]
    return {name: given[name] for name in able if given.get(name, 0.0) > 0} or {"cpu_seconds": 1.0}


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
