"""What the rows of families are of: the node, a pod or a container, each a resource of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from ebpf.version import VERSION
from exporter.metrics.exposition import Family, Labels
from exporter.metrics.specs import CONTAINER, POD

Attributes = Mapping[str, str]
# What a person made, by Kubernetes' name of its kind.
_WORKLOADS = {
    kind: f"k8s.{kind.lower()}.name"
    for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob")
}


class Entity(NamedTuple):
    """What a resource is of. id: "" for the node, the pod's UID, the container's id."""

    kind: Literal["node", "pod", "container"]
    id: str


NODE = Entity("node", "")


def entity_of(label_names: Sequence[str], labels: Labels) -> tuple[Entity, Sequence[str]]:
    """What a row is of, and the labels that are told by that; node_name is the first label."""
    if _is_of_containers(label_names):
        return Entity("container", labels[1]), ("node_name", *CONTAINER)
    if _is_of_pods(label_names):
        return Entity("pod", labels[1]), ("node_name", *POD)
    return NODE, ("node_name",)


@dataclass(frozen=True, slots=True)
class Node:
    """The node. attributes: what the configuration gives every resource. host_id: "" where not known."""

    name: str
    is_kubernetes: bool
    host_id: str = ""
    attributes: Attributes = field(default_factory=dict)

    def resource(self) -> dict[str, str]:
        """The attributes of its resource. The service is who tells; its instance is unique to each resource.

        Prometheus makes the labels job and instance of these: two resources of one instance would be mixed.
        """
        known = {
            "service.name": "podjoule",
            "service.version": VERSION,
            "service.instance.id": self.name,
            "host.name": self.name,
            "host.id": self.host_id,
            "k8s.node.name": self.name if self.is_kubernetes else "",
        }
        return _without_empty(known) | dict(self.attributes)


def host_id(root: Path | None) -> str:
    """The machine's id, "" where it cannot be read. root: where the host's file system is.

    Source: https://opentelemetry.io/docs/specs/semconv/resource/host/, "Collecting host.id from
    non-containerized systems".
    """
    try:
        return (root / "etc/machine-id").read_text().strip() if root else ""
    except (OSError, ValueError):
        return ""


class Entities:
    """The attributes of every resource; those of an entity stay as they were first told, while it is there.

    A resource whose attributes changed would be another one, and its counters with it.
    """

    def __init__(self, node: Node) -> None:
        self._node = node.resource()
        self._name = node.name
        self._kept: dict[Entity, Attributes] = {}

    def follow(self, families: Sequence[Family]) -> None:
        """Take up the entities of a snapshot; those that are not in it are forgotten."""
        pods = _pods(families)
        kept: dict[Entity, Attributes] = {NODE: self._node}
        for uid, told in pods.items():
            entity = Entity("pod", uid)
            kept[entity] = self._kept.get(entity) or self._pod(uid, told)
        for family in families:
            for labels in family.labels if _is_of_containers(family.label_names) else ():
                entity = Entity("container", labels[1])
                if entity not in kept:
                    kept[entity] = self._kept.get(entity) or self._container(labels, pods)
        self._kept = kept

    def attributes(self, entity: Entity) -> Attributes:
        """Of the resource of an entity of the last snapshot."""
        return self._kept.get(entity, self._node)

    def _pod(self, uid: str, told: Attributes) -> Attributes:
        instance = {"service.instance.id": f"{self._name}/{uid}"}
        return {**self._node, **instance, "k8s.pod.uid": uid, **told}

    def _container(self, labels: Labels, pods: Mapping[str, Attributes]) -> Attributes:
        _, container, name, runtime, _, uid, *_ = labels
        pod = self._pod(uid, pods.get(uid, {})) if uid else self._node
        known = {
            "container.id": container,
            "container.runtime.name": runtime,
            ("k8s.container.name" if uid else "container.name"): name,
        }
        instance = {"service.instance.id": f"{pod['service.instance.id']}/{container}"}
        return {**pod, **instance, **_without_empty(known)}


def _is_of_containers(label_names: Sequence[str]) -> bool:
    return tuple(label_names[1 : 1 + len(CONTAINER)]) == CONTAINER


def _is_of_pods(label_names: Sequence[str]) -> bool:
    return tuple(label_names[1:2]) == POD[:1]


def _pods(families: Sequence[Family]) -> dict[str, dict[str, str]]:
    """What is told of each pod, by UID."""
    told: dict[str, dict[str, str]] = {}
    for family in families:
        for labels in family.labels if _is_of_pods(family.label_names) else ():
            row = dict(zip(family.label_names, labels, strict=True))
            known = {"k8s.pod.name": row["pod_name"], "k8s.namespace.name": row["pod_namespace"]}
            if workload := _WORKLOADS.get(row.get("workload_kind", "")):
                known[workload] = row["workload_name"]
            told.setdefault(row["pod_id"], {}).update(_without_empty(known))
    return told


def _without_empty(attributes: Attributes) -> dict[str, str]:
    return {name: value for name, value in attributes.items() if value}
