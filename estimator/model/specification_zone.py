"""A zone of power by specification: what it says becomes a curve once the machine is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from estimator.energy import FloatArray
from estimator.machine.description import Knowledge, MachineDescription, ceilings_of
from estimator.machine.specification import Specification
from estimator.model.curve import CurveZone, Draw
from estimator.model.estimate import Estimate, Features
from estimator.model.process import AMD_FAMILIES, PowerProcess

# A provider sells a host's CPUs about once: up to a quarter twice, and up to a quarter not at all.
_OVERCOMMIT, _EMPTY = 1.25, 1.25
# What the best power supplies bring of what they draw (80 PLUS Titanium, at half load).
_SUPPLY = 0.96
_MEMORY_GB_PER_CHIP = tuple(float(gb) for gb in np.geomspace(8, 4096, 37))
_LEVELS = np.linspace(0.0, 1.0, 11)
_UNKNOWN = MachineDescription(Specification(), 1)


@dataclass(frozen=True, slots=True)
class Factors:
    """The true watts lie between watts / low and watts · high; each ≥ 1, idle and at full load."""

    idle: tuple[float, float]
    full: tuple[float, float]


@dataclass(frozen=True, slots=True)
class SpecificationZone:
    """Idle and full load from the process, the shape between from the vendor's.

    shapes: by vendor ("AMD", "Intel", "any"), the share of the way from idle to full at eleven levels of
    throughput. second_thread: what a core's second thread adds to its throughput. factors: by knowledge, then
    family, "any" for those with too few machines. unknown: watts per CPU where nothing is known.
    """

    process: PowerProcess
    shapes: Mapping[str, tuple[float, ...]]
    second_thread: float
    factors: Mapping[Knowledge, Mapping[str, Factors]]
    unknown: tuple[float, float]
    coverage: float

    def for_machine(self, machine: MachineDescription) -> CurveZone:
        """The curve of a machine, watts per logical CPU of its own; of a guest its share of the host's."""
        idle, full = self.watts_per_cpu(machine)
        family = machine.specification.family or ""
        factors = self.factors[machine.knowledge]
        within = factors.get(family, factors["any"])
        ends = Draw.within(idle, *within.idle), _up_to_tdp(Draw.within(full, *within.full), machine)
        fewer, more = (_OVERCOMMIT, _EMPTY) if machine.is_guest else (1.0, 1.0)
        per_cpu = ceilings_of(machine).get("platform", math.inf) / machine.n_cpu
        held = [
            Draw(min(end.watts, per_cpu), min(end.low / fewer, per_cpu), min(end.high * more, per_cpu))
            for end in ends
        ]
        load, draw = self._shape(machine.specification)
        mhz = machine.specification.mhz
        return CurveZone(held[0], held[1], load, draw, self.coverage, mhz * 1e6 if mhz else None)

    def watts_per_cpu(self, machine: MachineDescription, *, is_dense: bool = False) -> tuple[float, float]:
        """Idle and at full load, of a logical CPU of its own."""
        of = machine.specification
        if of.cores_per_chip is None:
            return self._typical(machine.candidates) if machine.candidates else self.unknown
        watts = [self.process.watts_per_chip(each, is_dense=is_dense) for each in _down(machine)]
        idle, full = np.max(watts, axis=0).tolist()
        threads = of.threads_per_chip or 1.0
        if not machine.is_guest and of.chips:
            threads = machine.n_cpu / of.chips
        return idle / threads, full / threads

    def _typical(self, parts: tuple[Specification, ...]) -> tuple[float, float]:
        """Of several parts: the mean of ln watts per thread, each weighing as its cores."""
        cores = np.array([part.cores_per_chip or 1.0 for part in parts])
        watts = np.array([self.process.watts_per_chip(part) for part in parts])
        threads = cores * np.array([part.threads_per_core or 1.0 for part in parts])
        idle, full = np.exp(np.average(np.log(watts / threads[:, np.newaxis]), axis=0, weights=cores))
        return float(idle), float(full)

    def _shape(self, of: Specification) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """CPU time to draw. Where a core has two threads, the first of them brings most of the throughput."""
        throughput = np.array(self.shape_of(of.family))
        draw = np.interp(throughput_at(_LEVELS, self.second_thread_of(of)), _LEVELS, throughput)
        return tuple(_LEVELS.tolist()), tuple(draw.tolist())

    def second_thread_of(self, of: Specification) -> float:
        """What a core's second thread adds; 1, as another core would, where there is none."""
        return self.second_thread if (of.threads_per_core or 2.0) > 1 else 1.0

    def shape_of(self, family: str | None) -> tuple[float, ...]:
        """Draw at eleven levels of throughput."""
        return self.shapes["any" if family is None else "AMD" if family in AMD_FAMILIES else "Intel"]

    # What a zone of any kind does, for a machine of which nothing is known.

    def idle_watts(self, n_cpu: int) -> float:
        """The draw of the whole machine at no load, watts."""
        return self.for_machine(_UNKNOWN).idle_watts(n_cpu)

    def needs(self) -> frozenset[str]:
        """The features that a prediction needs."""
        return frozenset({"cpu_seconds"})

    def coefficients(self) -> Features:
        """Joules per unit of each feature, for sharing energy out."""
        return self.for_machine(_UNKNOWN).coefficients()

    def covers(self, features: Features, n_cpu: int, interval_seconds: float) -> bool:  # noqa: ARG002
        """True: a curve holds between its ends, whatever the load."""
        return True

    def predict(self, features: Features, n_cpu: int, interval_seconds: float) -> Estimate:
        """The energy of an interval."""
        return self.for_machine(_UNKNOWN).predict(features, n_cpu, interval_seconds)


def _down(machine: MachineDescription) -> list[Specification]:
    """The machine, and of a guest's host the same with less memory: more of it never draws less, which the
    process, having seen few hosts that differ in that alone, need not say."""
    of = machine.specification
    if not machine.is_guest:
        return [of]
    less = (gb for gb in _MEMORY_GB_PER_CHIP if gb < (of.memory_gb_per_chip or 0.0))
    return [of, *(replace(of, memory_gb_per_chip=gb) for gb in less)]


def _up_to_tdp(full: Draw, machine: MachineDescription) -> Draw:
    """Packages have their TDP, at the wall more, under loads heavier than those that the model has seen."""
    of = machine.specification
    threads = machine.n_cpu / of.chips if of.chips and not machine.is_guest else of.threads_per_chip
    if not of.tdp_watts or not threads:
        return full
    return replace(full, high=max(full.high, of.tdp_watts / _SUPPLY / threads))


def throughput_at(cpu_time: FloatArray, second_thread: float) -> FloatArray:
    """The share of a machine's throughput at a share of its CPU time, threads busy at random.

    A core with one busy thread does 1, with two 1 + second_thread: (2u(1 - u) + u²(1 + s)) / (1 + s).
    """
    u = cpu_time
    return np.asarray((2 * u * (1 - u) + u * u * (1 + second_thread)) / (1 + second_thread))


def cpu_time_at(throughput: FloatArray, second_thread: float) -> FloatArray:
    """The inverse of throughput_at."""
    if second_thread == 1.0:
        return throughput
    root = np.sqrt(np.maximum(0.0, 1 - (1 - second_thread) * (1 + second_thread) * throughput))
    return np.asarray((1 - root) / (1 - second_thread))
