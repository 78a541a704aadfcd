"""A machine through the estimator, as the exporter's tick has it, beside what is true."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ebpf.counters import CounterSnapshot
from estimator.attribution.backlog import UsageBacklog
from estimator.attribution.shares import attribute
from estimator.attribution.usage import UsageTracker
from estimator.calibration.calibration import Calibration
from estimator.calibration.place import ZoneCalibration
from estimator.calibration.state import load_state, save_state
from estimator.energy import FloatArray, Usage, ZoneEnergy, ZoneShare
from estimator.machine.topology import CpuTopology
from estimator.meters.fake import FakeMeter
from estimator.meters.metered import MeteredEnergy
from tests.estimator.plant.faults import NO_FAULTS, Faults, faulty
from tests.estimator.plant.plant import INTERVAL_SECONDS, ZONES, Plant, PlantTick
from tests.estimator.usages import ANY_USAGE, topology

# Takes the number of a tick and what was measured in it; answers what the estimator is told instead.
EnergyHook = Callable[[int, list[ZoneEnergy]], list[ZoneEnergy]]
Given = Mapping[tuple[str, int | None], float]

_MACHINE = "plant"
_SUBSTANTIAL = 0.1  # of the mean container's joules


def _as_measured(_tick: int, measured: list[ZoneEnergy]) -> list[ZoneEnergy]:
    return measured


@dataclass(frozen=True, slots=True)
class Hooks:
    """What happens to a run on its way.

    energies: see EnergyHook. restarts: ticks before which the calibration goes through its file and another
    takes over; the meter and the counters go on. given: idle watts that the user told, by zone and socket.
    """

    energies: EnergyHook = _as_measured
    restarts: Collection[int] = ()
    given: Given = field(default_factory=dict)


NO_HOOKS = Hooks()


@dataclass
class Run:
    """What was found and what is true, by tick; tick 0 is the baseline, in which nothing is.

    found, true: active joules by zone, shape (n_ticks, n_containers). idle_watts, true_idle_watts: by zone,
    shape (n_ticks, n_sockets); NaN where the zone gave no energy. methods: by tick, how each zone and
    socket's idle energy was told apart, as attribution says; statuses: by tick, what calibration says after
    it. conservation_error: the worst, relative, of any share.
    """

    found: Mapping[str, FloatArray]
    true: Mapping[str, FloatArray]
    idle_watts: Mapping[str, FloatArray]
    true_idle_watts: Mapping[str, FloatArray]
    calibration: Calibration
    methods: list[dict[tuple[str, int | None], str]] = field(default_factory=list)
    statuses: list[list[ZoneCalibration]] = field(default_factory=list)
    conservation_error: float = 0.0

    def sums(self, zone: str, since: int = 60, until: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Joules found and true by container over some ticks."""
        ticks = slice(since, until)
        return self.found[zone][ticks].sum(axis=0), self.true[zone][ticks].sum(axis=0)

    def error(self, zone: str, since: int = 60, until: int | None = None) -> float:
        """Σ|found - true| / Σ true over containers, of what each counter has grown by."""
        found, true = self.sums(zone, since, until)
        return float(np.abs(found - true).sum() / true.sum())

    def worst(self, zone: str, since: int = 60, until: int | None = None) -> float:
        """The largest |found - true| / true of a container that drew more than a tenth of the mean."""
        found, true = self.sums(zone, since, until)
        counts = true > _SUBSTANTIAL * true.mean()
        return float((np.abs(found - true)[counts] / true[counts]).max())

    def level(self, zone: str, since: int = 60, until: int | None = None) -> float:
        """How much more active energy was found than there was, a share."""
        found, true = self.sums(zone, since, until)
        return float(found.sum() / true.sum() - 1)

    def by_tick(self, zone: str, since: int = 60, until: int | None = None) -> float:
        """The error of single ticks, weighed by their joules."""
        off = np.abs(self.found[zone] - self.true[zone])[since:until].sum()
        return float(off / self.true[zone][since:until].sum())

    def moved(self, other: Run, zone: str, since: int = 60, until: int | None = None) -> float:
        """How far the other run's counters have grown by something else, over the true joules."""
        found, true = self.sums(zone, since, until)
        return float(np.abs(found - other.sums(zone, since, until)[0]).sum() / true.sum())

    def told(self, zone: str, figure: Callable[[ZoneCalibration], float]) -> FloatArray:
        """A figure of what calibration says of the zone, as it was before each tick; shape (n_ticks,
        n_sockets), NaN where there was none."""
        told = np.full(self.true_idle_watts[zone].shape, np.nan)
        for tick, statuses in enumerate(self.statuses[:-1], start=1):
            for status in statuses:
                if status.zone == zone:
                    told[tick, status.socket] = figure(status)
        return told

    def held(self, zone: str, low: FloatArray, high: FloatArray, since: int = 60) -> float:
        """The share of ticks and sockets in which the true idle power lies within these bounds; a bound that
        is not there holds nothing."""
        true = self.true_idle_watts[zone]
        return float(((low <= true) & (true <= high))[since:].mean())

    def methods_since(self, zone: str, since: int = 60) -> set[str]:
        """All ways in which the zone's idle energy was told apart."""
        return {method for tick in self.methods[since:] for (name, _), method in tick.items() if name == zone}


def run(
    plant: Plant,
    ticks: Sequence[PlantTick],
    faults: Faults = NO_FAULTS,
    hooks: Hooks = NO_HOOKS,
    calibration: Calibration | None = None,
) -> Run:
    """Take the ticks that a machine advanced by through the estimator. faults: of its meter."""
    meter = FakeMeter(faulty([tick.readings for tick in ticks], faults))
    node = Node(topology(plant.socket_of_cpu), MeteredEnergy(meter), plant.n_cpu, hooks, calibration)
    result = _empty(plant, ticks, node.calibration)
    for number, tick in enumerate(ticks):
        usage, shares = node.advance(number, tick.snapshot)
        _book(result, number, usage, shares)
        result.statuses.append(node.calibration.status())
    result.calibration = node.calibration
    return result


class Node:
    """Counters and energy in, shares out, and something learned: the order of the exporter's tick."""

    def __init__(
        self,
        cpus: CpuTopology,
        meter: MeteredEnergy,
        n_cpu: int,
        hooks: Hooks,
        calibration: Calibration | None = None,
    ) -> None:
        self.calibration = calibration or Calibration(cpus.socket_index)
        self._cpus, self._meter, self._n_cpu, self._hooks = cpus, meter, n_cpu, hooks
        self._tracker, self._backlog = UsageTracker(cpus), UsageBacklog()
        self._awake_ns = np.zeros(cpus.n_sockets)

    def advance(self, number: int, snapshot: CounterSnapshot) -> tuple[Usage, list[ZoneShare]]:
        """One tick; without shares for the baseline."""
        if number in self._hooks.restarts:
            self._restart()
        usage = self._awake(snapshot, self._tracker.update(snapshot, self._n_cpu))
        measured = self._hooks.energies(number, self._meter.measure(usage or ANY_USAGE))
        if usage is None:
            return ANY_USAGE, []
        energies = self.calibration.prepare(self._told(measured))
        coefficients = self.calibration.coefficients()
        self.calibration.learn(measured, usage)
        spans = self._backlog.take(energies, usage)
        index = self._cpus.socket_index
        return spans.usage, attribute(energies, spans.usage, coefficients, index, spans.by_path)

    def _awake(self, snapshot: CounterSnapshot, usage: Usage | None) -> Usage | None:
        """Until the tracker tells it itself."""
        before = self._awake_ns
        self._awake_ns = np.array([snapshot.awake_ns[socket] for socket in self._cpus.physical_ids])
        if usage is None or usage.awake_seconds is not None:
            return usage
        return replace(usage, awake_seconds=(self._awake_ns - before) / 1e9)

    def _told(self, measured: Sequence[ZoneEnergy]) -> list[ZoneEnergy]:
        given = self._hooks.given
        return [replace(each, idle_watts=given.get((each.zone, each.socket))) for each in measured]

    def _restart(self) -> None:
        with TemporaryDirectory() as directory:
            path = Path(directory) / "calibration.json"
            save_state(path, self.calibration.fits(), _MACHINE)
            restored = load_state(path, _MACHINE)
        self.calibration = Calibration(self._cpus.socket_index, restored=restored)


def _empty(plant: Plant, ticks: Sequence[PlantTick], calibration: Calibration) -> Run:
    true = {zone: np.array([tick.true_joules[zone].sum(axis=1) for tick in ticks]) for zone in ZONES}
    idle = {zone: np.array([tick.true_idle[zone] for tick in ticks]) / INTERVAL_SECONDS for zone in ZONES}
    for zone in ZONES:
        true[zone][0] = 0.0
    return Run(
        found={zone: np.zeros((len(ticks), plant.n_containers)) for zone in ZONES},
        true=true,
        idle_watts={zone: np.full((len(ticks), plant.n_sockets), np.nan) for zone in ZONES},
        true_idle_watts=idle,
        calibration=calibration,
    )


def _book(result: Run, tick: int, usage: Usage, shares: Sequence[ZoneShare]) -> None:
    rows = usage.cgroup_id.astype(np.intp) - 2
    methods = {}
    for share in shares:
        energy = share.energy
        result.found[energy.zone][tick][rows] += share.cgroup_joules
        result.idle_watts[energy.zone][tick][energy.socket] = share.idle_joules / energy.awake_seconds
        methods[energy.zone, energy.socket] = share.idle_method
        parts = share.cgroup_joules.sum() + share.idle_joules + sum(share.unattributed_joules.values())
        off = abs(float(parts) - energy.joules) / max(energy.joules, 1e-9)
        result.conservation_error = max(result.conservation_error, off)
    result.methods.append(methods)
