"""Pictures of samples, of models and of who used the energy: one figure each, which a notebook shows itself.

Beneath each stands the sentence that says what it shows, with its figures; it is in `caption`, too.
"""

from __future__ import annotations

from estimator.training.energy_plots import (
    attribution,
    attribution_errors,
    by_node,
    energy,
    energy_over_time,
    specified,
    transfer,
)
from estimator.training.figure import Plot
from estimator.training.plots import (
    by_load,
    coverage,
    drift,
    importance,
    learning,
    online,
    over_time,
    power_against_load,
    recorded,
    residuals,
)

__all__ = [
    "Plot",
    "attribution",
    "attribution_errors",
    "by_load",
    "by_node",
    "coverage",
    "drift",
    "energy",
    "energy_over_time",
    "importance",
    "learning",
    "online",
    "over_time",
    "power_against_load",
    "recorded",
    "residuals",
    "specified",
    "transfer",
]
