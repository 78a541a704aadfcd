"""What a machine is taken to draw, level by level, for people who plan."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from estimator.machine.description import MachineDescription
from estimator.model.choice import for_machine
from estimator.model.estimate import Estimate
from estimator.model.power_model import PowerModel
from estimator.model.specification_zone import SpecificationZone, cpu_time_at

LEVELS = tuple(range(0, 101, 10))


@dataclass(frozen=True, slots=True)
class Plan:
    """Watts and their bounds by level, in percent: of the most work it can do, and of its CPU time."""

    machine: MachineDescription
    by_throughput: dict[int, Estimate]
    by_cpu_time: dict[int, Estimate]


def plan(model: PowerModel, machine: MachineDescription) -> Plan:
    """By the model's zone of power by specification. Raises ValueError for a model without one."""
    zone = model.zones.get("platform")
    if not isinstance(zone, SpecificationZone):
        raise ValueError(f"{model.name} has no zone of kind specification")
    if not machine.is_guest:
        machine = _sized(zone, machine)
    curve = for_machine(model, machine).zones["platform"]

    def at(load: float) -> Estimate:
        return curve.predict({"cpu_seconds": load * machine.n_cpu}, machine.n_cpu, 1.0)

    second = zone.second_thread_of(machine.specification)
    times = cpu_time_at(np.array(LEVELS) / 100, second)
    return Plan(
        machine,
        {level: at(float(time)) for level, time in zip(LEVELS, times, strict=True)},
        {level: at(level / 100) for level in LEVELS},
    )


def _sized(zone: SpecificationZone, machine: MachineDescription) -> MachineDescription:
    """With the sockets that it likely has, where nobody says."""
    of = machine.specification
    chips = of.chips or float(max(1, round(zone.process.chips_of(of))))
    threads = (of.threads_per_chip or 1.0) * chips
    return replace(machine, n_cpu=round(threads), specification=replace(of, chips=chips))
