"""From a pod as Kubernetes tells it, in JSON, to a PodInfo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from sys import intern
from typing import Any

from exporter.kube_quantity import cores
from exporter.pod_workload import Owner, workload_of
from exporter.pods import ContainerInfo, PodInfo

_HASH, _MIRROR = "kubernetes.io/config.hash", "kubernetes.io/config.mirror"
_SPECS = ("containers", "initContainers", "ephemeralContainers")
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_CONTAINER_ID_DIGITS = 64
_NO_LABELS: Mapping[str, str] = {}

Json = Mapping[str, Any]


class Malformed(ValueError):
    """What should have been a pod names no pod."""


def pod_info(pod: object, labels: Sequence[str] = ()) -> PodInfo:
    """What is kept of a pod. pod: a v1.Pod as JSON has it; labels: the names of those that are wanted.

    Raises Malformed where there is no UID, name or namespace, and nothing else whatever it is given: what is
    optional and not as it should be counts as absent.
    """
    metadata, status, spec = (_table(_table(pod), key) for key in ("metadata", "status", "spec"))
    uid, name, namespace = (_text(metadata, key) for key in ("uid", "name", "namespace"))
    if not (uid and name and namespace):
        raise Malformed("a pod without uid, name or namespace")
    owner, all_labels = _controller(metadata), _table(metadata, "labels")
    workload = workload_of(owner, Owner("Pod", name), all_labels, _text(metadata, "creationTimestamp"))
    return PodInfo(
        uid=_cgroup_uid(uid, metadata),
        name=name,
        namespace=intern(namespace),
        qos=intern(_text(status, "qosClass")),
        phase=intern(_text(status, "phase")),
        owner_kind=intern(owner.kind),
        owner_name=intern(owner.name),
        workload_kind=intern(workload.kind),
        workload_name=intern(workload.name),
        labels=_chosen(all_labels, labels),
        containers=_containers(spec, status),
    )


def _cgroup_uid(uid: str, metadata: Json) -> str:
    """Of a static pod's mirror, the hash that the kubelet took for the UID of the pod itself."""
    annotations = _table(metadata, "annotations")
    return (_text(annotations, _HASH) or uid) if _text(annotations, _MIRROR) else uid


def _controller(metadata: Json) -> Owner:
    owners = (
        Owner(_text(o, "kind"), _text(o, "name"))
        for o in _tables(metadata, "ownerReferences")
        if o.get("controller") is True
    )
    return next((owner for owner in owners if owner.kind and owner.name), Owner())


def _chosen(labels: Json, wanted: Sequence[str]) -> Mapping[str, str]:
    if not wanted:
        return _NO_LABELS
    return {name: intern(value) for name in wanted if isinstance(value := labels.get(name), str)}


def _containers(spec: Json, status: Json) -> Mapping[str, ContainerInfo]:
    """By every id that the status tells of: running, ended, and the one before the last restart."""
    requests = {_text(c, "name"): _cpu(c) for key in _SPECS for c in _tables(spec, key)}
    found = {}
    for container in (c for key in _STATUSES for c in _tables(status, key)):
        name = _text(container, "name")
        info = _container(name, requests.get(name, 0.0))
        for container_id in _ids(container):
            found[container_id] = info
    return found


def _cpu(container: Json) -> float:
    cpu = _table(_table(container, "resources"), "requests").get("cpu")
    return cores(cpu) if isinstance(cpu, str) else 0.0


@lru_cache(maxsize=4096)
def _container(name: str, cpu_request_cores: float) -> ContainerInfo:
    """The containers of a Deployment's pods differ in their ids alone: they share one record."""
    return ContainerInfo(name, cpu_request_cores)


def _ids(container: Json) -> Iterator[str]:
    """containerd://<64 hex> and the like, without what stands before the id."""
    ended = (_table(_table(container, state), "terminated") for state in ("state", "lastState"))
    for told in (container, *ended):
        container_id = _text(told, "containerID").rpartition("://")[2]
        if len(container_id) == _CONTAINER_ID_DIGITS:
            yield container_id


def _table(json: object, key: str | None = None) -> Json:
    if key is not None:
        json = json.get(key) if isinstance(json, dict) else None
    return json if isinstance(json, dict) else {}


def _tables(json: Json, key: str) -> Iterator[Json]:
    found = json.get(key)
    return (entry for entry in found if isinstance(entry, dict)) if isinstance(found, list) else iter(())


def _text(json: Json, key: str) -> str:
    found = json.get(key)
    return found if isinstance(found, str) else ""
