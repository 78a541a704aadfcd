"""A fleet's series as Prometheus has them, written as OpenMetrics text for promtool, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tests.exporter.reports.curves import Curve, Floats, Window, together
from tests.exporter.reports.fleet import TTL, Fleet, Load, Node
from tests.exporter.reports.scrapes import (
    ERROR_WATTS,
    HIGH,
    LOW,
    PRICE,
    PUE,
    counted,
    intensity,
    last_reset,
    scrapes,
    scrapes_of_kube_state_metrics,
    visible,
)

TYPES = {
    "counter": (
        *("kepler_node_cpu_joules", "kepler_node_cpu_active_joules", "kepler_node_cpu_idle_joules"),
        *("kepler_pod_cpu_joules", "kepler_container_cpu_joules", "kepler_container_cpu_seconds"),
        *("kepler_vm_cpu_joules", "podjoule_cgroup_cpu_joules", "podjoule_cgroup_cpu_seconds"),
        *("podjoule_pod_idle_joules", "podjoule_container_idle_joules"),
        *("podjoule_node_unattributed_joules", "podjoule_ticks"),
    ),
    "gauge": (
        *("kepler_node_cpu_watts", "podjoule_model_low_watts", "podjoule_model_high_watts"),
        *("podjoule_build_info", "podjoule_energy_zone_info", "podjoule_power_source_info"),
        "podjoule_idle_policy_info",
        *("podjoule_pod_info", "podjoule_grid_carbon_intensity_grams_per_kwh", "podjoule_grid_pue_ratio"),
        *("podjoule_grid_price_per_kwh", "process_start_time_seconds"),
        *("kube_pod_container_resource_requests", "podjoule_model_error_watts"),
    ),
}
MODEL = ("cloud-x86", "c1" * 32)
Labels = dict[str, str]


def zones(node: Node, memory: Floats | float) -> Iterator[tuple[str, str, Floats | float]]:
    """(zone, path, part of the energy). core lies in package: of what has 1 J, it has some of it again."""
    if not node.measured:
        yield "platform", "model", 1.0 + 0.0 * memory
        return
    yield "package", "package-0", (1 - memory) / 2
    yield "package", "package-1", (1 - memory) / 2
    yield "dram", "dram-0", memory
    yield "core", "core-0", 0.6 * (1 - memory)


def by_zone(node: Node, memory: float) -> dict[str, float]:
    """The same of all paths together."""
    found: dict[str, float] = {}
    for zone, _, part in zones(node, memory):
        found[zone] = found.get(zone, 0.0) + float(part)
    return found


class Samples:
    """The samples of a fleet within one window after the other, oldest first."""

    def __init__(self, fleet: Fleet, more: Labels | None = None) -> None:
        """more: labels of every series, such as cluster."""
        self._fleet, self._more = fleet, more or {}
        self._of_node = fleet.of_nodes()
        self._meters = {name: _Meter.of(loads) for name, loads in self._of_node.items()}
        self._scrapes = {node.name: scrapes(fleet.plan, node) for node in fleet.nodes}

    def text(self, window: Window) -> Iterator[str]:
        """OpenMetrics of what was scraped at window[0] or after it, and before window[1]."""
        yield "".join(f"# TYPE {name} {kind}\n" for kind, names in TYPES.items() for name in names)
        for number, node in enumerate(self._fleet.nodes):
            for process, times in enumerate(self._by_process(node, window)):
                if len(times):
                    address = f"10.{process}.{number // 250}.{number % 250}:28283"
                    own = {"job": "podjoule", "instance": address, **self._more}
                    meter = self._meters[node.name]
                    yield from _Page(node, self._of_node[node.name], meter, times, own).text()
        yield from self._requests(_cut(scrapes_of_kube_state_metrics(self._fleet.plan), window))
        yield "# EOF\n"

    def _by_process(self, node: Node, window: Window) -> list[Floats]:
        """The node's samples from one restart to the next: a new exporter has a new address."""
        times = _cut(self._scrapes[node.name], window)
        return np.split(times, np.searchsorted(times, [restart.back for restart in node.restarts]))

    def _requests(self, times: Floats) -> Iterator[str]:
        own = {"job": "kube-state-metrics", "instance": "10.1.0.1:8080", **self._more}
        for load in self._fleet.loads if len(times) else ():
            if load.request_cores and load.end > times[0] and load.begin < times[-1]:
                labels = own | {
                    "namespace": load.namespace, "pod": load.name, "uid": load.uid, "node": load.node.name,
                    "container": "app", "resource": "cpu", "unit": "core",
                }  # fmt: skip
                there = times[(times >= load.begin) & (times < load.end)]
                yield _gauge("kube_pod_container_resource_requests", labels, load.request_cores, there)


@dataclass(frozen=True, slots=True)
class _Meter:
    """All that was used on one node, and the part of it that is memory's; and what idling used."""

    whole: Curve
    memory: Curve
    idle: Load

    @classmethod
    def of(cls, loads: Sequence[Load]) -> _Meter:
        curves, ones = [load.curve for load in loads], [1.0] * len(loads)
        idle = next(load for load in loads if load.kind == "idle")
        return cls(together(curves, ones), together(curves, [load.memory for load in loads]), idle)


class _Page:
    """What one node says at some times."""

    def __init__(self, node: Node, loads: Sequence[Load], meter: _Meter, times: Floats, own: Labels) -> None:
        self._node, self._loads, self._meter, self._times = node, loads, meter, times
        self._own = own
        self._stamps = _stamps(times)

    def text(self) -> Iterator[str]:
        yield from self._of_itself()
        yield from self._of_the_node()
        for load in self._loads:
            if load.end + TTL >= self._times[0] and load.begin < self._times[-1]:
                yield from self._of_load(load)

    def _labels(self, **labels: str) -> Labels:
        return self._own | {"node_name": self._node.name} | labels

    def _steady(self, name: str, value: float | Floats, **labels: str) -> str:
        return _gauge(name, self._labels(**labels), value, self._times)

    def _of_itself(self) -> Iterator[str]:
        node, began = self._node, np.maximum(self._node.first, last_reset(self._node, self._times))
        yield self._steady("podjoule_build_info", 1, version="1.7.0")
        yield self._steady("podjoule_ticks_total", np.floor((self._times - began) / 5))
        starts = np.array([node.first, *(restart.back for restart in node.restarts)])
        starts.sort()
        started = starts[np.searchsorted(starts, self._times, side="right") - 1]
        yield _gauge("process_start_time_seconds", self._own, np.round(started, 2), self._times)
        for zone in by_zone(node, 0.1):
            source = ("rapl", "", "") if node.measured else ("model", *MODEL)
            told = dict(zip(("source", "model", "sha256"), source, strict=True))
            yield self._steady("podjoule_power_source_info", 1, zone=zone, **told)
            if zone != "core":
                yield self._steady("podjoule_energy_zone_info", 1, zone=zone)
        grams = intensity(self._times)
        yield self._steady("podjoule_grid_carbon_intensity_grams_per_kwh", grams, zone="DE", provider="table")
        yield self._steady("podjoule_grid_pue_ratio", PUE)
        yield self._steady("podjoule_grid_price_per_kwh", PRICE, currency="EUR")
        yield self._steady("podjoule_idle_policy_info", 1, policy="requests")

    def _of_the_node(self) -> Iterator[str]:
        """Its zones: the sum of all that ever ran there since its counters began."""
        whole, memory, watts = self._sums()
        idle = self._meter.idle
        idling, parts = counted(idle, self._times), zones(self._node, 1.0)
        for (zone, path, of_memory), (_, _, of_rest), (_, _, of_idle) in zip(
            parts, zones(self._node, 0.0), zones(self._node, idle.memory), strict=True
        ):
            place = {"zone": zone, "path": path}
            total = memory * of_memory + (whole - memory) * of_rest
            yield self._steady("kepler_node_cpu_joules_total", total, **place)
            yield self._steady("kepler_node_cpu_idle_joules_total", idling * of_idle, **place)
            yield self._steady("kepler_node_cpu_active_joules_total", total - idling * of_idle, **place)
            drawn = watts * of_idle
            yield self._steady("kepler_node_cpu_watts", drawn, **place)
            if path == "package-0":
                yield self._steady("podjoule_model_error_watts", ERROR_WATTS, **place)
            if not self._node.measured:
                yield self._steady("podjoule_model_low_watts", drawn * LOW, **place)
                yield self._steady("podjoule_model_high_watts", drawn * HIGH, **place)

    def _sums(self) -> tuple[Floats, Floats, Floats]:
        """Joules, those of them that are memory's, and watts over the 5 s before."""
        whole, times = self._meter.whole, self._times
        since = last_reset(self._node, times)
        memory = self._meter.memory.at(times) - self._meter.memory.at(since)
        return whole.at(times) - whole.at(since), memory, (whole.at(times) - whole.at(times - 5)) / 5

    def _of_load(self, load: Load) -> Iterator[str]:
        there = visible(load, self._times, TTL)
        if not there.any():
            return
        times = self._times[there]
        stamps = [stamp for stamp, is_there in zip(self._stamps, there, strict=True) if is_there]
        joules = counted(load, times)
        for zone, part in by_zone(self._node, load.memory).items():
            for name, labels in self._counters(load):
                yield _series(name, self._labels(**labels, zone=zone), joules * part, stamps)
        for name, labels in self._seconds(load):
            yield _series(name, self._labels(**labels), joules / load.watts_per_core, stamps)
        if load.is_pod:
            yield from self._of_pod(load, times, stamps)

    def _of_pod(self, load: Load, times: Floats, stamps: Sequence[str]) -> Iterator[str]:
        if load.share is not None:
            shared = load.share.at(times) - load.share.at(last_reset(load.node, times))
            for zone, part in by_zone(self._node, 0.1).items():
                for name, labels in (("pod", _pod(load)), ("container", _container(load))):
                    told = self._labels(**labels, zone=zone)
                    yield _series(f"podjoule_{name}_idle_joules_total", told, shared * part, stamps)
        if load.kind != "unknown":
            ended = times > load.end if load.kind == "CronJob" else np.zeros(len(times), dtype=bool)
            for phase, chosen in (("Running", ~ended), ("Succeeded", ended)):
                yield _gauge("podjoule_pod_info", self._labels(**_info(load, phase)), 1, times[chosen])

    @staticmethod
    def _counters(load: Load) -> Iterator[tuple[str, Labels]]:
        """The families of joules that a load is in, and its labels there."""
        if load.is_pod:
            yield "kepler_pod_cpu_joules_total", _pod(load)
            yield "kepler_container_cpu_joules_total", _container(load)
        elif load.kind == "container":
            yield "kepler_container_cpu_joules_total", _container(load)
        elif load.kind == "vm":
            machine = {"vm_id": load.name, "vm_name": load.workload, "hypervisor": "kvm", "state": "running"}
            yield "kepler_vm_cpu_joules_total", machine
        elif load.kind == "unattributed":
            yield "podjoule_node_unattributed_joules_total", {"reason": load.workload}
        elif load.kind != "idle":
            yield "podjoule_cgroup_cpu_joules_total", {"cgroup": load.workload, "kind": load.kind}

    @staticmethod
    def _seconds(load: Load) -> Iterator[tuple[str, Labels]]:
        if load.is_pod or load.kind == "container":
            yield "kepler_container_cpu_seconds_total", _container(load)
        elif load.kind not in ("vm", "unattributed", "idle"):
            yield "podjoule_cgroup_cpu_seconds_total", {"cgroup": load.workload, "kind": load.kind}


def _pod(load: Load) -> Labels:
    return {"pod_id": load.uid, "pod_name": load.name, "pod_namespace": load.namespace, "state": "running"}


def _container(load: Load) -> Labels:
    if not load.is_pod:
        return {
            "container_id": load.name,
            "container_name": load.workload,
            "runtime": "docker",
            "state": "running",
        }
    return {
        "container_id": f"{load.uid[:8]:0>64}", "container_name": "app", "runtime": "containerd",
        "state": "running", "pod_id": load.uid,
    }  # fmt: skip


def _info(load: Load, phase: str) -> Labels:
    return {
        "pod_id": load.uid, "pod_name": load.name, "pod_namespace": load.namespace, "qos": "Burstable",
        "owner_kind": load.owner[0], "owner_name": load.owner[1], "phase": phase,
        "workload_kind": load.kind, "workload_name": load.workload,
    } | {f"label_{name}": value for name, value in load.labels}  # fmt: skip


def _cut(times: Floats, window: Window) -> Floats:
    return times[(times >= window[0]) & (times < window[1])]


def _stamps(times: Floats) -> list[str]:
    return [f" {time:.3f}\n" for time in times.tolist()]


def _gauge(name: str, labels: Labels, value: float | Floats, times: Floats) -> str:
    return _series(name, labels, np.broadcast_to(np.asarray(value, dtype=float), times.shape), _stamps(times))


def _series(name: str, labels: Labels, values: Floats, stamps: Iterable[str]) -> str:
    told = ",".join(f'{label}="{value}"' for label, value in labels.items() if value)
    head = f"{name}{{{told}}} "
    return "".join([f"{head}{value!r}{stamp}" for value, stamp in zip(values.tolist(), stamps, strict=True)])
