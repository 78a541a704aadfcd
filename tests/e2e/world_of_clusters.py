"""Two clusters whose nodes, pods and containers have the same names, as samples for promtool.

Every family that podjoule has is there. Each series has a value and a rate of its own in each cluster, so
that no sum over the wrong ones is right by chance. In cluster "a" all is well; in "b" everything is wrong
that an alert watches, and nobody has given it a price.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import product

from exporter.commands.metrics_reference import every_spec
from exporter.metrics.specs import Spec

CLUSTERS = ("a", "b")
STEP_SECONDS = 60

Row = tuple[tuple[str, str], ...]

_NODES = ("node-1", "node-2")
_WITHOUT_ENERGY = ("b", "node-2")
_TROUBLE = ("error", "refused", "dropped", "lost", "evicted", "unattributed")


def _rows(labels: str, *rows: str) -> tuple[Row, ...]:
    return tuple(tuple(zip(labels.split(), row.split(), strict=True)) for row in rows)


# By the first label of a family, what goes together. "-" is empty.
_GROUPS = {
    "pod_id": _rows(
        "pod_id pod_name pod_namespace state qos"
        " owner_kind owner_name workload_kind workload_name phase label_team",
        "p1 web-1 shop running Burstable ReplicaSet web-6fd Deployment web Running red",
        "p2 web-2 shop running Burstable ReplicaSet web-6fd Deployment web Running red",
        "p3 db-0 data running Guaranteed StatefulSet db StatefulSet db Running blue",
    ),
    "container_id": _rows(
        "container_id container_name runtime state pod_id",
        "c1 app containerd running p1",
        "c2 app containerd running p2",
        "c3 db containerd running p3",
        "c4 alone docker running -",
    ),
    "vm_id": _rows("vm_id vm_name hypervisor state", "v1 build kvm running"),
    "pid": _rows("pid comm exe type state container_id vm_id", "7 app /app container running c1 -"),
    "cgroup": _rows("cgroup kind", "/system.slice/sshd.service unit", "/user.slice user"),
    "zone": _rows("zone path", "package 0", "package 1", "dram 2", "core 3"),
    "gpu": _rows("gpu gpu_uuid gpu_name vendor", "0 GPU-a H100 nvidia", "1 GPU-b H100 nvidia"),
    "processor": _rows(
        "processor vendor_id model_name physical_id core_id", "0 Intel Xeon 0 0", "1 Intel Xeon 1 0"
    ),
}
_OTHERS = {
    "component": ("counters", "power"),
    "kind": ("read", "gap", "outside_envelope"),
    "reason": ("map_full", "no_usage"),
}
_ONE = {"currency": "EUR"}
# The scrape jobs: one too many in the second cluster.
_JOBS = {"a": ("podjoule",), "b": ("podjoule", "podjoule-again")}


def open_metrics(clusters: Sequence[str], labelled: bool, start: int, end: int) -> Iterator[str]:
    """Lines, oldest sample of each series first. labelled: whether series have the label cluster."""
    for spec in every_spec():
        made = [(c, n, row) for c in clusters for n in _NODES for row in _series(spec) if _exists(spec, c, n)]
        if made:
            yield f"# TYPE {spec.name.removesuffix('_total')} {spec.type}\n"
        for cluster, node, row in made:
            named = () if spec.name.startswith(("process_", "python_")) else (("node_name", node),)
            for job in _JOBS[cluster] if spec.name == "podjoule_build_info" else ("podjoule",):
                labels = _target(cluster, node, labelled, job) + named + _told(row, cluster)
                yield from _samples(spec, cluster, f"{node}{row}", labels, start, end)
    yield "# TYPE up gauge\n"
    for cluster, node in product(clusters, _NODES):
        for at in range(start, end + 1, STEP_SECONDS):
            yield _line("up", _target(cluster, node, labelled), float(cluster == "a"), at)
    yield "# EOF\n"


def _target(cluster: str, node: str, labelled: bool, job: str = "podjoule") -> Row:
    """What the scrape adds: the same addresses in both clusters."""
    scraped = (("job", job), ("instance", f"10.0.0.{_NODES.index(node)}:28282"))
    return ((("cluster", cluster),) if labelled else ()) + scraped


def _told(row: Row, cluster: str) -> Row:
    """Only the second cluster has no meter."""
    source = {"a": "rapl", "b": "model"}[cluster]
    return tuple((name, source if name == "source" else value) for name, value in row)


def _exists(spec: Spec, cluster: str, node: str) -> bool:
    """Whether a node has the family: one of "b" has no energy, nobody in "b" has a price, and there alone the
    model that was asked for cannot serve."""
    if spec.name == "podjoule_model_fallback_info":
        return cluster == "b"
    if "cost_total" in spec.name or "price" in spec.name:
        return cluster == "a"
    return (cluster, node) != _WITHOUT_ENERGY or "joules" not in spec.name


def _series(spec: Spec) -> Iterator[Row]:
    """The labels of a family's series on a node."""
    labels = (*spec.labels, "label_team") if spec.name == "podjoule_pod_info" else spec.labels
    group = _GROUPS.get(labels[0], ((),)) if labels else ((),)
    if spec.name == "podjoule_energy_zone_info":
        group = _rows("zone", "package", "dram", "gpu")
    if "grid" in spec.name:
        group = ((),)
    of_group = dict.fromkeys(tuple(pair for pair in row if pair[0] in labels) for row in group)
    known = {name for name, _ in next(iter(of_group))}
    others = [[(name, value) for value in _values(name)] for name in labels if name not in known]
    for row in of_group:
        for more in product(*others):
            yield tuple((name, "" if value == "-" else value) for name, value in (*row, *more))


def _values(label: str) -> Sequence[str]:
    if label == "zone":
        return ("package", "dram", "core")
    return _OTHERS.get(label, (_ONE.get(label, "x"),))


def _samples(spec: Spec, cluster: str, series: str, labels: Row, start: int, end: int) -> Iterator[str]:
    own = 1 + zlib.crc32(f"{spec.name}{cluster}{series}".encode()) % 997
    name = spec.name
    for at in range(start, end + 1, STEP_SECONDS):
        if spec.type == "counter":
            value = own + (at - start) * own / 100 * _grows(name, cluster)
        else:
            value = _gauge(name, cluster, own)
        yield _line(name, labels, value, at)


def _grows(name: str, cluster: str) -> bool:
    if name == "podjoule_ticks_total":
        return cluster == "a"
    return cluster == "b" or not any(word in name for word in _TROUBLE)


def _gauge(name: str, cluster: str, own: int) -> float:
    if name.endswith("_info"):
        return 1
    if name.endswith("_up"):
        return float(cluster == "a")
    if name == "podjoule_meter_disagreement_ratio":
        return {"a": 1e-6, "b": 1}[cluster] * own
    if name == "podjoule_conservation_error_ratio":
        return {"a": 1e-16, "b": 0.01}[cluster] * own
    if name == "podjoule_grid_carbon_intensity_age_seconds":
        return {"a": 1, "b": 20_000}[cluster] * own
    return float(own)


def _line(name: str, labels: Row, value: float, at: int) -> str:
    text = ",".join(f'{label}="{of}"' for label, of in labels if of)
    return f"{name}{{{text}}} {value!r} {at}\n"
