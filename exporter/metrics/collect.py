"""The families of one tick, from the ledger and the measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from operator import attrgetter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebpf.version import VERSION
from estimator.attribution.platform import INNER_ZONES
from estimator.calibration.place import IDLE_METHODS, ZoneCalibration
from estimator.energy import ZoneShare
from estimator.machine.cpuinfo import Processor, read_processors
from exporter.books.ledger import Balances
from exporter.books.processes import ProcessLedger
from exporter.metrics import families as f
from exporter.metrics import gpu_collect
from exporter.metrics import gpu_families as g
from exporter.metrics import tariff_families as c
from exporter.metrics.device_families import of_devices
from exporter.metrics.exposition import Family, Labels
from exporter.metrics.families import Spec
from exporter.metrics.floats import Floats
from exporter.metrics.meter_collect import meter_families
from exporter.metrics.platform_families import platform_families
from exporter.metrics.pod_families import PodFamilies
from exporter.metrics.selfmetrics import OwnFamilies
from exporter.metrics.starts import Starts
from exporter.metrics.tariff_collect import CarbonFamilies
from exporter.names.accounts import Account
from exporter.names.workloads import Kind
from exporter.tick.gpus import ZONE as GPU
from exporter.tick.measurement import Measurement, Tick, conservation_error

# A workload's state never changes in its series: a flip would be a second series of the same workload.
RUNNING = "running"
CGROUP_KINDS: tuple[Kind, ...] = ("unit", "user", "kernel", "root", "job", "other")

_Rows = tuple[Labels, ...]


class Collector:
    """Turns a tick into families. Label tuples are kept for as long as the ledger's rows stay the same.

    others: families of what is no part of the measurement.
    """

    def __init__(
        self,
        measurement: Measurement,
        node_name: str,
        procfs: Path,
        pod_labels: Sequence[str] = (),
        others: Callable[[], Iterable[Family]] = list,
    ) -> None:
        self._measurement = measurement
        self._node = node_name
        self._others = others
        self._own = OwnFamilies(procfs, measurement.began_seconds)
        self._starts = Starts(measurement)
        self._processors: Sequence[Processor] = read_processors(procfs)
        self._labels = _LabelCache(node_name)
        self._nameless = _Nameless()
        self._pod_families = PodFamilies(measurement.pods, node_name, pod_labels)
        self._carbon = CarbonFamilies(measurement.tariffs, node_name)

    def measured(
        self, tick: Tick, levels: Iterable[str], ticks: int, duration_seconds: float
    ) -> list[Family]:
        """Every family of the levels asked for, and podjoule's own but for what `own` reads."""
        wanted = set(levels)
        found = [*self._node_families(tick)] if "node" in wanted else []
        if "container" in wanted:
            found += self._containers(tick)
        if "pod" in wanted:
            found += self._pods()
        if "vm" in wanted:
            found += self._vms()
        if "process" in wanted and self._measurement.processes is not None:
            found += self._processes(self._measurement.processes)
        found += [*self._cgroups(), *self._carbon.of_grid()]
        found += [*self._power(tick), *self._self(ticks, duration_seconds), *self._others()]
        return self._starts.dated(self._measurement.keeper.carry(found))

    def own(self) -> list[Family]:
        """What the process itself costs by now: process_* and python_*. From any thread."""
        return self._own.read()

    def _row(self, *values: str) -> Labels:
        return (self._node, *values)

    def _node_families(self, tick: Tick) -> list[Family]:
        measured = self._measurement.ledger.node.zones()
        zones = [zone for zone in measured if zone.zone != GPU]
        labels = [self._row(zone.zone, zone.path) for zone in zones]
        columns = (
            (f.NODE_JOULES, [zone.joules for zone in zones]),
            (f.NODE_ACTIVE_JOULES, [zone.active_joules for zone in zones]),
            (f.NODE_IDLE_JOULES, [zone.idle_joules for zone in zones]),
            (f.NODE_WATTS, [zone.watts for zone in zones]),
            (f.NODE_ACTIVE_WATTS, [zone.active_watts for zone in zones]),
            (f.NODE_IDLE_WATTS, [zone.idle_watts for zone in zones]),
        )
        cpus = [
            self._row(cpu.processor, cpu.vendor_id, cpu.model_name, cpu.physical_id, cpu.core_id)
            for cpu in self._processors
        ]
        return [
            *(_known(spec, labels, values) for spec, values in columns),
            _known(f.NODE_USAGE_RATIO, [self._row()], [_ratio(tick)]),
            *(
                spec.family([self._row()], [self._measurement.used[name]])
                for name, spec in f.NODE_USED.items()
                if name in self._measurement.used
            ),
            f.NODE_CPU_INFO.family(cpus, [1.0] * len(cpus)),
            *platform_families(self._measurement.power.boards(), zones, self._node),
            *gpu_collect.of_node(self._node, measured, self._measurement.gpus.labels),
            *self._carbon.of_node(self._measurement.ledger.node.charges),
        ]

    def _containers(self, tick: Tick) -> list[Family]:
        whole = self._measurement.ledger.balances("container")
        balances = gpu_collect.without_gpus(whole)
        labels, zoned = self._labels.of("container", balances, _container_labels)
        counters = (
            ("cycles", f.CONTAINER_CYCLES, balances.cycles),
            ("instructions", f.CONTAINER_INSTRUCTIONS, balances.instructions),
            ("cache_misses", f.CONTAINER_CACHE_MISSES, balances.cache_misses),
        )
        nameless = int(np.count_nonzero(self._nameless.of(balances.accounts) & balances.running))
        return [
            f.NAMELESS_CONTAINERS.family([self._row()], [float(nameless)]),
            f.CONTAINER_JOULES.family(zoned, balances.joules.ravel(), _zoned_starts(balances)),
            _known(f.CONTAINER_WATTS, zoned, balances.watts.ravel()),
            *self._idle(f.CONTAINER_IDLE_JOULES, zoned, balances),
            *gpu_collect.of_workloads(whole, labels, g.CONTAINER_JOULES, g.CONTAINER_WATTS),
            f.CONTAINER_SECONDS.family(labels, balances.cpu_seconds, balances.since_seconds),
            *(
                spec.family(labels, values, balances.since_seconds)
                for name, spec, values in counters
                if name in tick.usage.available
            ),
            *self._carbon.of_workloads(c.CONTAINER_GRAMS, c.CONTAINER_COST, labels, balances),
        ]

    def _pods(self) -> list[Family]:
        whole = self._measurement.ledger.balances("pod")
        balances = gpu_collect.without_gpus(whole)
        labels, zoned = self._labels.of("pod", balances, _pod_labels)
        return [
            f.POD_JOULES.family(zoned, balances.joules.ravel(), _zoned_starts(balances)),
            _known(f.POD_WATTS, zoned, balances.watts.ravel()),
            *self._idle(f.POD_IDLE_JOULES, zoned, balances),
            *gpu_collect.of_workloads(whole, labels, g.POD_JOULES, g.POD_WATTS),
            *gpu_collect.reserved_idle(whole, labels),
            *self._carbon.of_workloads(c.POD_GRAMS, c.POD_COST, labels, balances),
            *self._pod_families.families(balances.accounts),
        ]

    def _idle(self, spec: Spec, zoned: Sequence[Labels], balances: Balances) -> list[Family]:
        if self._measurement.idle_policy == "none":
            return []
        return [spec.family(zoned, balances.idle_joules.ravel(), _zoned_starts(balances))]

    def _vms(self) -> list[Family]:
        whole = self._measurement.ledger.balances("vm")
        balances = gpu_collect.without_gpus(whole)
        labels, zoned = self._labels.of("vm", balances, _vm_labels)
        return [
            f.VM_JOULES.family(zoned, balances.joules.ravel(), _zoned_starts(balances)),
            _known(f.VM_WATTS, zoned, balances.watts.ravel()),
            *gpu_collect.of_workloads(whole, labels, g.VM_JOULES),
            *self._carbon.of_workloads(c.VM_GRAMS, c.VM_COST, labels, balances),
        ]

    def _processes(self, processes: ProcessLedger) -> list[Family]:
        whole = processes.ledger.balances("process")
        balances = gpu_collect.without_gpus(whole)
        labels, zoned = self._labels.of(
            "process", balances, lambda account: _process_labels(processes, account)
        )
        return [
            f.PROCESS_JOULES.family(zoned, balances.joules.ravel(), _zoned_starts(balances)),
            _known(f.PROCESS_WATTS, zoned, balances.watts.ravel()),
            *gpu_collect.of_workloads(whole, labels, g.PROCESS_JOULES, g.PROCESS_WATTS),
            f.PROCESS_SECONDS.family(labels, balances.cpu_seconds, balances.since_seconds),
        ]

    def _cgroups(self) -> list[Family]:
        whole = self._measurement.ledger.balances(*CGROUP_KINDS)
        balances = gpu_collect.without_gpus(whole)
        labels, zoned = self._labels.of("cgroup", balances, _cgroup_labels)
        return [
            f.CGROUP_JOULES.family(zoned, balances.joules.ravel(), _zoned_starts(balances)),
            *gpu_collect.of_workloads(whole, labels, g.CGROUP_JOULES),
            f.CGROUP_SECONDS.family(labels, balances.cpu_seconds, balances.since_seconds),
            *self._carbon.of_workloads(c.CGROUP_GRAMS, c.CGROUP_COST, labels, balances),
        ]

    def _power(self, tick: Tick) -> list[Family]:
        ledger, source = self._measurement.ledger, self._measurement.power.source
        unattributed = ledger.node.unattributed()
        zones = list(dict.fromkeys(zone.zone for zone in ledger.node.zones()))
        fallback = self._measurement.power.fallback()
        infos, errors, refused = source.infos(), source.errors(), self._measurement.power.refused()
        calibration = self._measurement.power.calibration
        status = calibration.status() if calibration else []
        served = [(zone, infos.get(zone, source.info)) for zone in zones]
        return [
            f.UNATTRIBUTED_JOULES.family(
                [self._row(*key) for key in unattributed], list(unattributed.values())
            ),
            f.SOURCE_INFO.family(
                [self._row(zone, info.source, info.model, info.sha256) for zone, info in served],
                [1.0] * len(served),
            ),
            f.POWER_ERRORS.family([self._row(kind) for kind in errors], [float(n) for n in errors.values()]),
            f.MODEL_REFUSED.family([self._row(file) for file in refused], list(map(float, refused.values()))),
            f.MODEL_FALLBACK.family([self._row(*each) for each in fallback.items()], [1.0] * len(fallback)),
            *self._calibration(status),
            *meter_families(self._measurement.power, tick.shares, self._node),
            *self._last_tick(tick.shares, status),
        ]

    def _calibration(self, status: Sequence[ZoneCalibration]) -> list[Family]:
        calibration = self._measurement.power.calibration
        if calibration is None:
            return []
        places = [self._row(zone.zone, zone.path) for zone in status]
        idle = [zone.fit.idle_watts if zone.fit else math.nan for zone in status]
        methods = [(*place, zone.method) for place, zone in zip(places, status, strict=True)]
        skipped = calibration.skipped
        return [
            _known(f.MODEL_ERROR_WATTS, places, [zone.error_watts for zone in status]),
            _known(f.MODEL_SHADOW_ERROR_WATTS, places, [zone.shadow_error_watts for zone in status]),
            _known(f.MODEL_IDLE_WATTS, places, idle),
            _known(f.MODEL_IDLE_LOW_WATTS, places, [zone.idle.low_watts for zone in status]),
            _known(f.MODEL_IDLE_HIGH_WATTS, places, [zone.idle.high_watts for zone in status]),
            f.MODEL_PROMOTIONS.family(places, [float(zone.promotions) for zone in status]),
            f.MODEL_CALIBRATION_INFO.family(methods, [1.0] * len(methods)),
            f.MODEL_SKIPPED.family(
                [self._row(reason) for reason in skipped], list(map(float, skipped.values()))
            ),
        ]

    def _last_tick(self, shares: Sequence[ZoneShare], status: Sequence[ZoneCalibration]) -> list[Family]:
        places = [self._row(share.energy.zone, share.energy.path) for share in shares]
        known = self._idle_methods(status)
        methods = [
            self._row(share.energy.zone, share.energy.path, _idle_method(share, known)) for share in shares
        ]
        families = [
            f.CONSERVATION_ERROR.family(places, [conservation_error(share) for share in shares]),
            f.IDLE_METHOD_INFO.family(methods, [1.0] * len(methods)),
            f.IDLE_POLICY_INFO.family([self._row(self._measurement.idle_policy)], [1.0]),
        ]
        return [*families, *self._bounds_of_a_model(shares)]

    def _bounds_of_a_model(self, shares: Sequence[ZoneShare]) -> list[Family]:
        source = self._measurement.power.source
        infos = source.infos()
        modelled = [share for share in shares if infos.get(share.energy.zone, source.info).source == "model"]
        if not modelled:
            return []
        places = [self._row(share.energy.zone, share.energy.path) for share in modelled]
        low, high = (
            [_watts(share, joules(share.energy)) for share in modelled]
            for joules in (attrgetter("low_joules"), attrgetter("high_joules"))
        )
        return [f.MODEL_LOW_WATTS.family(places, low), f.MODEL_HIGH_WATTS.family(places, high)]

    def _idle_methods(self, status: Sequence[ZoneCalibration]) -> dict[str, str]:
        """By path, how the idle power of a meter or a GPU is known."""
        learned = {zone.path: zone.idle.method for zone in status if zone.idle.method in IDLE_METHODS}
        return {**learned, **self._measurement.gpus.idle_methods}

    def _self(self, ticks: int, duration_seconds: float) -> list[Family]:
        measurement = self._measurement
        components = measurement.components.by_name
        names = [self._row(name) for name in components]
        available = self._row(measurement.source.name, ",".join(sorted(measurement.available)))
        downtime = measurement.keeper.downtime_seconds
        return [
            f.IMPOSSIBLE_SECONDS.family([self._row()], [measurement.tracker.impossible_seconds]),
            f.USAGE_SOURCE_INFO.family([available], [1.0]),
            f.BUILD_INFO.family([self._row(VERSION)], [1.0]),
            f.DOWNTIME.family([self._row(counted) for counted in downtime], list(downtime.values())),
            f.TICKS.family([self._row()], [float(ticks)]),
            f.TICK_DURATION.family([self._row()], [duration_seconds]),
            f.COMPONENT_UP.family(names, [float(part.up) for part in components.values()]),
            f.COMPONENT_ERRORS.family(names, [float(part.errors) for part in components.values()]),
            f.COMPONENT_DURATION.family(names, [part.duration_seconds for part in components.values()]),
            *self._kernel(),
            *of_devices(self._node, measurement.devices),
            f.CONTAINER_NAME_ERRORS.family([self._row()], [float(measurement.name_errors)]),
            f.EVICTED.family([self._row()], [float(measurement.evicted)]),
        ]

    def _kernel(self) -> list[Family]:
        statistics = self._measurement.statistics
        programs = [self._row(name) for name in statistics.run_count]
        return [
            f.BPF_RUNS.family(programs, [float(runs) for runs in statistics.run_count.values()]),
            f.BPF_RUN_SECONDS.family(programs, [ns / 1e9 for ns in statistics.run_ns.values()]),
            f.BPF_MAP_ENTRIES.family([self._row()], [float(statistics.map_entries)]),
            f.BPF_DROPPED_SECONDS.family([self._row()], [statistics.dropped_ns / 1e9]),
            f.BPF_LOST_EVENTS.family([self._row()], [float(statistics.lost_events)]),
            f.BPF_NAMELESS_CGROUPS.family([self._row()], [float(statistics.nameless)]),
            f.BPF_BLIND_CPUS.family([self._row()], [float(statistics.blind_cpus)]),
        ]


class _LabelCache:
    """Label tuples by kind, made anew when the ledger's accounts or zones are others."""

    def __init__(self, node_name: str) -> None:
        self._node = node_name
        self._kept: dict[str, tuple[tuple[Account, ...], tuple[str, ...], _Rows, _Rows]] = {}

    def of(
        self, kind: str, balances: Balances, labels_of: Callable[[Account], Labels]
    ) -> tuple[_Rows, _Rows]:
        """One tuple an account, and one an account and zone in the order of a raveled (n, n_zones) array."""
        kept = self._kept.get(kind)
        if kept is None or kept[0] is not balances.accounts or kept[1] != balances.zones:
            labels = tuple((self._node, *labels_of(account)) for account in balances.accounts)
            zoned = tuple((*label, zone) for label in labels for zone in balances.zones)
            kept = self._kept[kind] = (balances.accounts, balances.zones, labels, zoned)
        return kept[2], kept[3]


class _Nameless:
    """Which accounts have neither a name nor a pod's namespace; looked at when the ledger's are others."""

    def __init__(self) -> None:
        self._accounts: tuple[Account, ...] = ()
        self._found: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)

    def of(self, accounts: tuple[Account, ...]) -> npt.NDArray[np.bool_]:
        """Shape (n,)."""
        if accounts is not self._accounts:
            self._found = np.array([not (each.name or each.namespace) for each in accounts], np.bool_)
            self._accounts = accounts
        return self._found


def _known(spec: Spec, labels: Sequence[Labels], values: Sequence[float] | Floats) -> Family:
    """Without the series that the last tick has no value for: a NaN would spoil every sum over it."""
    if not isinstance(values, np.ndarray):  # a few: numpy's calls would cost more
        if not any(map(math.isnan, values)):
            return spec.family(labels, values)
        values = np.array(values)
    known = ~np.isnan(values)
    if known.all():
        return spec.family(labels, values)
    return spec.family(list(compress(labels, known)), values[known])


def _zoned_starts(balances: Balances) -> Floats:
    """One an account and zone, as the labels are."""
    return np.repeat(balances.since_seconds, len(balances.zones))


def _ratio(tick: Tick) -> float:
    return tick.usage.cpu_ratio if tick.interval_seconds > 0 else math.nan


def _idle_method(share: ZoneShare, known: Mapping[str, str]) -> str:
    if share.idle_method == INNER_ZONES:
        return INNER_ZONES
    return known.get(share.energy.path, share.idle_method)


def _watts(share: ZoneShare, joules: float) -> float:
    return joules / share.energy.interval_seconds


def _container_labels(account: Account) -> Labels:
    workload = account.workload
    return workload.id, account.name, workload.runtime, RUNNING, workload.pod_uid


def _pod_labels(account: Account) -> Labels:
    return account.workload.id, account.name, account.namespace, RUNNING


def _vm_labels(account: Account) -> Labels:
    workload = account.workload
    return workload.id, account.name or workload.id, workload.hypervisor, RUNNING


def _cgroup_labels(account: Account) -> Labels:
    return account.workload.id, account.workload.kind


def _process_labels(processes: ProcessLedger, account: Account) -> Labels:
    info = processes.info(account)
    return str(info.pid), info.comm, info.exe, info.type, RUNNING, info.container_id, info.vm_id
