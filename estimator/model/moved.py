"""A model on another machine than the one it was made on: what changes, and how far it can then be off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from estimator.machine.catalogue import Catalogue
from estimator.machine.description import MachineDescription
from estimator.machine.names import key_of
from estimator.machine.specification import Specification
from estimator.model.estimate import Estimate, Features
from estimator.model.power_model import PowerModel, ZoneModel
from estimator.model.specification_zone import SpecificationZone


@dataclass(frozen=True, slots=True)
class Move:
    """idle, active: how much of either a CPU here draws for each watt of a CPU there. low, high: by which
    factors the true power may be off beyond that. why: one line."""

    idle: float
    active: float
    low: float
    high: float
    why: str


@dataclass(frozen=True, slots=True)
class MovedZone:
    """A zone whose idle and active power are each scaled to another machine's, watt for watt a CPU."""

    zone: ZoneModel
    move: Move

    def idle_watts(self, n_cpu: int) -> float:
        """The draw of the whole machine at no load, watts."""
        return self.zone.idle_watts(n_cpu) * self.move.idle

    def needs(self) -> frozenset[str]:
        """The features that a prediction needs."""
        return self.zone.needs()

    def coefficients(self) -> Features:
        """Joules per unit of each feature, for sharing energy out."""
        return {name: joules * self.move.active for name, joules in self.zone.coefficients().items()}

    def covers(self, features: Features, n_cpu: int, interval_seconds: float) -> bool:
        """Whether the zone knew such a load where it was made."""
        return self.zone.covers(features, n_cpu, interval_seconds)

    def predict(self, features: Features, n_cpu: int, interval_seconds: float) -> Estimate:
        """The energy of an interval; its bounds are those of the zone, and as much wider as the move may be
        off."""
        there = self.zone.predict(features, n_cpu, interval_seconds)
        idle = self.zone.idle_watts(n_cpu) * interval_seconds
        joules, low, high = (
            max(0.0, min(of, idle) * self.move.idle + max(0.0, of - idle) * self.move.active) for of in there
        )
        return Estimate(joules, low / self.move.low, high * self.move.high)


def move_to(
    model: PowerModel, machine: MachineDescription, read: Callable[[], SpecificationZone]
) -> Move | None:
    """What a trained model has to be changed by to serve a machine; None where it is at home there.

    read: power by specification, where it is needed. Idle and active power go as it says for the two CPUs
    where both are known, and as the number of CPUs where one is not; either way the bounds widen by what it
    may be off for a machine of which as much is known.
    """
    sizes = model.trained_cpus
    if not sizes:
        return None
    there, here = _origin(model), machine.specification
    size = f"{max(sizes)} CPUs" if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)} CPUs"
    if there.cores_per_chip is None or here.cores_per_chip is None:
        if model.is_of_size(machine.n_cpu):
            return None
        factors = read().factors["nothing"]["any"]
        why = f"scaled by the CPU from {size} to {machine.n_cpu}: what its own CPU is nobody says"
        return Move(1.0, 1.0, factors.full[0], factors.full[1], why)
    if _is_alike(there, here):
        return None
    by, origin = read(), MachineDescription(there, max(sizes))
    (idle_there, full_there), (idle_here, full_here) = by.watts_per_cpu(origin), by.watts_per_cpu(machine)
    of_kind = by.factors[machine.knowledge]
    factors = of_kind.get(here.family or "", of_kind["any"])
    idle = idle_here / idle_there
    active = max(0.0, full_here - idle_here) / max(1e-9, full_there - idle_there)
    why = (
        f"moved from {there.family or 'another CPU'} to {here.family or 'this CPU'} by specification:"
        f" idle power times {idle:.2f}, active times {active:.2f} a CPU"
    )
    return Move(idle, active, factors.full[0], factors.full[1], why)


def moved(model: PowerModel, move: Move) -> PowerModel:
    """The model, each of its zones moved."""
    return replace(model, zones={name: MovedZone(zone, move) for name, zone in model.zones.items()})


def _origin(model: PowerModel) -> Specification:
    """The machine of the training, by the name of its CPU, or by what else the file says."""
    of, size = model.machine, max(model.trained_cpus)
    named = Catalogue().specification_of(of.cpu) if of.cpu else Specification()
    chips = float(of.sockets or named.chips or 1)
    cores = of.cores / chips if of.cores else named.cores_per_chip
    tdp = of.tdp_watts / chips if of.tdp_watts else named.tdp_watts
    if cores is None or (tdp is None and named.family is None and of.microarchitecture is None):
        return Specification()
    return replace(
        named,
        family=named.family or of.microarchitecture,
        cores_per_chip=cores,
        threads_per_core=named.threads_per_core or max(1.0, size / (cores * chips)),
        tdp_watts=tdp,
        chips=chips,
        cpu=named.cpu or key_of(of.cpu),
    )


def _is_alike(there: Specification, here: Specification) -> bool:
    """Whether they are of one kind: the same CPU, or of one family and as many cores where no name tells."""
    if there.cpu and here.cpu:
        return there.cpu == here.cpu and there.chips == here.chips
    if there.family and here.family and there.family != here.family:
        return False
    return there.cores_per_chip == here.cores_per_chip and there.chips == here.chips
