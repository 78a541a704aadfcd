"""A model that can be read, and cannot be right."""

from __future__ import annotations

import math
from dataclasses import replace

from estimator.features import FEATURES
from estimator.model.power_model import LinearZone, PowerModel

# No CPU draws so much, whatever it does: joules were taken for microjoules, or sums for differences.
_MOST_WATTS_PER_CPU = 1000.0


def implausible(model: PowerModel) -> str:
    """What no machine does, in one line that says what to do; empty where nothing is."""
    n_cpu = max(model.trained_cpus, default=1)
    for name, kept in model.zones.items():
        # What the file says, which its ceiling would hide.
        zone = replace(kept, ceiling=math.inf) if isinstance(kept, LinearZone) else kept
        costs = [zone.idle_watts(n_cpu) / n_cpu]
        costs += [
            joules * FEATURES[feature].usual
            for feature, joules in zone.coefficients().items()
            if feature in FEATURES
        ]
        if max(costs) > _MOST_WATTS_PER_CPU:
            return (
                f"zone {name}: {max(costs):.3g} W a CPU is more than any draws; check the table it was made"
                " from with podjoule samples check"
            )
    return ""
