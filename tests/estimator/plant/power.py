"""What work draws, and what is drawn when there is none: true joules by zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from estimator.energy import FloatArray
from tests.estimator.plant.characters import Characters
from tests.estimator.plant.physics import Physics
from tests.estimator.plant.work import INTERVAL_SECONDS, Work, Workload

IDLE_WATTS = {"package": 24.0, "dram": 6.0}
_TICKS_AN_HOUR = 3600 / INTERVAL_SECONDS


class Power:
    """Active and idle joules of one machine, which warms and cools."""

    def __init__(self, physics: Physics, workload: Workload) -> None:
        self._physics, self._workload = physics, workload
        self._cost = _factors(physics.cost_factors, physics.n_sockets)
        self._idle_factors = _factors(physics.idle_factors, physics.n_sockets)
        self._warmth = np.zeros(physics.n_sockets)

    def active(self, who: Characters, work: Work) -> Mapping[str, FloatArray]:
        """Joules by container and socket: leakage ∝ V, switching ∝ V², memory by the line, and waking by the
        CPU time of those who kept the socket awake.

        What a core spends once, its leakage and its clock, two threads that share it spend together.
        """
        at, kinds = self._workload, self._workload.kinds
        volts, once = 0.62 + 0.13 * work.ghz, 1 - work.shared / 2
        warm = at.by_column(1 + 0.1 * self._warmth)
        leakage = 0.9 * work.cpu_seconds * volts * warm * once * at.of_kind(kinds.leakage)
        clock, done = 0.55e-9 * work.cycles * (1 - 0.4 * work.waiting) * once, 0.8e-9 * work.instructions
        switching = volts**2 * (clock + done) * at.of_kind(kinds.cycle_cost)
        core = at.by_socket(leakage + switching) * who.cost[:, np.newaxis]
        misses = at.by_socket(work.misses)
        lines = misses * who.dram_cost[:, np.newaxis]
        package = (core + 25e-9 * lines) * self._cost + self.waking(work)
        return {"package": package, "dram": 45e-9 * lines * (1 + 0.15 * work.bus) * self._cost}

    def waking(self, work: Work) -> FloatArray:
        """Of the active joules those that a package's being awake cost; shape (n, n_sockets)."""
        used = self._workload.by_socket(work.cpu_seconds)
        share = used / np.maximum(used.sum(axis=0), 1e-12)
        return np.asarray(self._physics.wake_watts * INTERVAL_SECONDS * work.awake * share)

    def idle(self, tick: int) -> Mapping[str, FloatArray]:
        """Joules by socket: the room warms and cools over the hour."""
        season = 1 + 0.03 * np.sin(2 * np.pi * tick / _TICKS_AN_HOUR)
        season = season * (1 + self._physics.drift * tick / _TICKS_AN_HOUR)
        return {
            zone: (
                watts * self._idle_factors * season * (1 + 0.04 * self._warmth) + self._stepped(zone, tick)
            )
            * INTERVAL_SECONDS
            for zone, watts in IDLE_WATTS.items()
        }

    def warm(self, package: FloatArray) -> None:
        """The temperature follows power with a time constant of 20 ticks; 1 at 80 W."""
        self._warmth += (package.sum(axis=0) / INTERVAL_SECONDS / 80 - self._warmth) / 20

    def _stepped(self, zone: str, tick: int) -> float:
        return sum(
            (step.watts for step in self._physics.steps if step.zone == zone and tick >= step.tick), 0.0
        )


def _factors(given: Sequence[float], n_sockets: int) -> FloatArray:
    return np.array(given or [1.0] * n_sockets)
