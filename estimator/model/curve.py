"""Power against load between an idle and a full-load draw, for a machine of which nothing else is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from estimator.model.estimate import Estimate, Features

# One busy thread wakes a whole package: up to load ^ this of the way to full load (RAPL of nx12, whose rows
# go from idle to half of full load within 4 % of CPU time).
_STEEPEST = 0.25


@dataclass(frozen=True, slots=True)
class Draw:
    """Watts per logical CPU, and between which bounds they lie."""

    watts: float
    low: float
    high: float

    @classmethod
    def within(cls, watts: float, low_factor: float, high_factor: float) -> Draw:
        """Between watts / low_factor and watts · high_factor, both ≥ 1."""
        return cls(watts, watts / low_factor, watts * high_factor)


@dataclass(frozen=True, slots=True)
class CurveZone:
    """E = n_cpu · (idle + (full - idle) · g(load)) · Δt, with load = cpu_seconds / (n_cpu · Δt) in [0, 1].

    g is piecewise linear through (load, draw), from (0, 0) to (1, 1). The true power lies between the bounds
    with the given coverage. hertz: of the nominal clock, where it is known.
    """

    idle: Draw
    full: Draw
    load: tuple[float, ...]
    draw: tuple[float, ...]
    coverage: float
    hertz: float | None = None

    def between(self, idle: float, full: float, factor: float) -> CurveZone:
        """The same curve between ends, watts per CPU, that were measured to within a factor."""
        return replace(
            self, idle=Draw.within(idle, factor, factor), full=Draw.within(max(idle, full), factor, factor)
        )

    def idle_watts(self, n_cpu: int) -> float:
        """The draw of the whole machine at no load, watts."""
        return n_cpu * self.idle.watts

    def needs(self) -> frozenset[str]:
        """The features that a prediction needs."""
        return frozenset({"cpu_seconds"})

    def coefficients(self) -> Features:
        """Joules per unit of each feature, for sharing energy out."""
        return {"cpu_seconds": self.full.watts - self.idle.watts}

    def covers(self, features: Features, n_cpu: int, interval_seconds: float) -> bool:  # noqa: ARG002
        """True: a curve holds between its ends, whatever the load."""
        return True

    def predict(self, features: Features, n_cpu: int, interval_seconds: float) -> Estimate:
        """The energy of an interval.

        g is uncertain too: the straight line bounds it from below, the steepest rise from above. Where cycles
        are counted, they may show work that CPU time misses: it is within the upper bound.
        """
        capacity = n_cpu * interval_seconds
        load = min(1.0, features["cpu_seconds"] / capacity) if capacity > 0 else 0.0
        bend = float(np.interp(load, self.load, self.draw))
        joules = capacity * _between(self.idle.watts, self.full.watts, bend)
        low = capacity * _between(self.idle.low, max(self.idle.low, self.full.low), min(load, bend))
        seen = (
            min(1.0, features.get("cycles", 0.0) / (capacity * self.hertz))
            if capacity and self.hertz
            else 0.0
        )
        steep = max(bend, max(load, seen) ** _STEEPEST)
        high = capacity * _between(self.idle.high, max(self.idle.high, self.full.high), steep)
        return Estimate(joules, min(low, joules), max(high, joules))


def _between(idle: float, full: float, share: float) -> float:
    return idle + (full - idle) * share
