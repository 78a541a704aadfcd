"""A small cluster with known truth: what its nodes' pages say at each scrape, as a Prometheus has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Labels = tuple[tuple[str, str], ...]
Samples = dict[Labels, list[tuple[float, float]]]
"""Times and values by all labels of a series, __name__ and the target's among them."""

HOUR = 1_790_841_600  # 2026-10-01T08:00Z
ZONES = {"package": 1.0, "dram": 0.25}
TTL_SECONDS = 300.0


def labels_of(**labels: str) -> Labels:
    return tuple(sorted((name.replace("name__", "__name__"), value) for name, value in labels.items()))


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod: from begin to end it draws watts in zone package, and a part of that in the other zones."""

    uid: str
    name: str
    begin: float
    end: float
    watts: float
    namespace: str = "shop"
    workload: str = "web"
    team: str = "a"
    cores: float = 0.5

    def seconds(self, begin: float, end: float) -> float:
        """How long it lived between two times."""
        return max(0.0, min(end, self.end) - max(begin, self.begin))


@dataclass(frozen=True, slots=True)
class Node:
    """One node. resets: when its exporter begins from 0. outages: from when to when nobody scrapes it."""

    name: str
    pods: Sequence[Pod] = ()
    begin: float = HOUR - 1200.0
    end: float = HOUR + 4300.0
    step: float = 30.0
    offset: float = 7.0
    idle_watts: float = 20.0
    kernel_watts: float = 1.5
    lost_watts: float = 0.5
    shared_idle_watts: float = 0.0
    source: tuple[str, str, str] = ("rapl", "", "")
    error_watts: float | None = None
    spread: float = 0.2
    intensity: float | None = 400.0
    price: float | None = 0.3
    pue: float = 1.2
    resets: Sequence[float] = ()
    outages: Sequence[tuple[float, float]] = ()
    target: Mapping[str, str] = field(default_factory=lambda: {"job": "podjoule"})
    extra_zones: Sequence[str] = ("core",)

    def times(self) -> Iterator[float]:
        """When it is scraped."""
        at = self.begin + self.offset
        while at <= self.end:
            if not any(begin < at <= end for begin, end in self.outages):
                yield round(at, 3)
            at += self.step

    def watts(self) -> float:
        """What is drawn beside the pods, in zone package."""
        return self.idle_watts + self.kernel_watts + self.lost_watts


def samples_of(nodes: Sequence[Node]) -> Samples:
    """What a Prometheus has of the nodes."""
    found: Samples = defaultdict(list)
    for node in nodes:
        target = {"instance": f"{node.name}:28283", "node_name": node.name, **node.target}
        own: dict[tuple[str, ...], list[tuple[float, float]]] = {}
        for at in node.times():
            for labels, value in _page(node, at):
                key = tuple(labels.values())
                if key not in own:
                    own[key] = found[labels_of(**{**labels, **target})]
                own[key].append((at, value))
    return dict(found)


def _page(node: Node, at: float) -> Iterator[tuple[Mapping[str, str], float]]:
    since = max([reset for reset in node.resets if reset < at], default=node.begin)
    yield {"name__": "podjoule_ticks_total"}, (at - since) // 5
    source, model, sha256 = node.source
    for zone, part in (*ZONES.items(), *((zone, 0.7) for zone in node.extra_zones)):
        yield from _zone(node, zone, part, since, at)
        info = {"source": source, "model": model, "sha256": sha256}
        yield {"name__": "podjoule_power_source_info", "zone": zone, **info}, 1.0
    for zone in ZONES:
        yield {"name__": "podjoule_energy_zone_info", "zone": zone}, 1.0
    if node.intensity is not None:
        grid = {"zone": "DE", "provider": "constant"}
        yield {"name__": "podjoule_grid_carbon_intensity_grams_per_kwh", **grid}, node.intensity
    if node.price is not None:
        yield {"name__": "podjoule_grid_price_per_kwh", "currency": "EUR"}, node.price
    yield {"name__": "podjoule_grid_pue_ratio"}, node.pue
    yield {"name__": "podjoule_idle_policy_info", "policy": "requests"}, 1.0
    yield {"name__": "podjoule_cgroup_cpu_seconds_total", "cgroup": "/", "kind": "kernel"}, 0.1 * (at - since)
    for pod in _there(node, since, at):
        cpu = {"container_id": f"c-{pod.uid}", "container_name": "app", "runtime": "containerd"}
        yield (
            {"name__": "kepler_container_cpu_seconds_total", **cpu, "state": "running", "pod_id": pod.uid},
            pod.cores * pod.seconds(since, at),
        )
        about = {"pod_id": pod.uid, "pod_name": pod.name, "pod_namespace": pod.namespace}
        owner = {"workload_kind": "Deployment", "workload_name": pod.workload, "qos": "Burstable"}
        phase = "Running" if at <= pod.end else "Succeeded"
        yield {"name__": "podjoule_pod_info", **about, **owner, "phase": phase, "label_team": pod.team}, 1.0


def _there(node: Node, since: float, at: float) -> list[Pod]:
    return [pod for pod in node.pods if pod.begin < at and pod.end + TTL_SECONDS >= at and pod.end > since]


def _zone(
    node: Node, zone: str, part: float, since: float, at: float
) -> Iterator[tuple[Mapping[str, str], float]]:
    seconds = at - since
    path = {"zone": zone, "path": f"{zone}-0"}
    used = sum(pod.watts * pod.seconds(since, at) for pod in node.pods)
    yield {"name__": "kepler_node_cpu_joules_total", **path}, part * (used + node.watts() * seconds)
    yield {"name__": "kepler_node_cpu_idle_joules_total", **path}, part * node.idle_watts * seconds
    now = part * (node.watts() + sum(pod.watts for pod in node.pods if pod.begin < at <= pod.end))
    yield {"name__": "kepler_node_cpu_watts", **path}, now
    if node.source[0] == "model":
        yield {"name__": "podjoule_model_low_watts", **path}, now * (1 - node.spread)
        yield {"name__": "podjoule_model_high_watts", **path}, now * (1 + node.spread)
    if node.source[0] == "hwmon":
        yield {"name__": "podjoule_meter_spread_watts", **path}, now * node.spread
    if node.error_watts is not None:
        yield {"name__": "podjoule_model_error_watts", **path}, part * node.error_watts
    lost = {"name__": "podjoule_node_unattributed_joules_total", "zone": zone}
    yield {**lost, "reason": "no_usage"}, part * node.lost_watts * seconds
    kernel = {"name__": "podjoule_cgroup_cpu_joules_total", "cgroup": "/", "kind": "kernel", "zone": zone}
    yield kernel, part * node.kernel_watts * seconds
    for pod in _there(node, since, at):
        labels = {"pod_id": pod.uid, "pod_name": pod.name, "pod_namespace": pod.namespace, "state": "running"}
        lived = pod.seconds(since, at)
        yield {"name__": "kepler_pod_cpu_joules_total", **labels, "zone": zone}, part * pod.watts * lived
        if node.shared_idle_watts:
            idle = {"name__": "podjoule_pod_idle_joules_total", **labels, "zone": zone}
            yield idle, part * node.shared_idle_watts * lived
