"""From a pod as Kubernetes tells it, in JSON, to a PodInfo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from sys import intern
from typing import Any

from exporter.names.kube.quantity import cores
from exporter.names.kube.workload import Owner, workload_of
from exporter.names.pods import CONTAINER_ID_DIGITS, ContainerInfo, PodInfo

_HASH, _MIRROR = "kubernetes.io/config.hash", "kubernetes.io/config.mirror"
_SPECS = ("containers", "initContainers", "ephemeralContainers")
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_NO_LABELS: Mapping[str, str] = {}
_NO_CONTAINERS: Mapping[str, ContainerInfo] = {}
_NO_OWNER = Owner()

Json = Mapping[str, Any]


class Malformed(ValueError):
    """What should have been a pod names no pod."""


def pod_info(pod: object, labels: Sequence[str] = ()) -> PodInfo:
    """What is kept of a pod. pod: a v1.Pod as JSON has it; labels: the names of those that are wanted.

    Raises Malformed where there is no UID, name or namespace, and nothing else whatever it is given: what is
    optional and not as it should be counts as absent.
    """
    metadata, spec, status = _table(pod, "metadata"), _table(pod, "spec"), _table(pod, "status")
    uid, name, namespace = _text(metadata, "uid"), _text(metadata, "name"), _text(metadata, "namespace")
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
    for owner in _tables(metadata, "ownerReferences"):
        kind, name = _text(owner, "kind"), _text(owner, "name")
        if owner.get("controller") is True and kind and name:
            return Owner(kind, name)
    return _NO_OWNER


def _chosen(labels: Json, wanted: Sequence[str]) -> Mapping[str, str]:
    if not wanted:
        return _NO_LABELS
    return {name: intern(value) for name in wanted if isinstance(value := labels.get(name), str)}


def _containers(spec: Json, status: Json) -> Mapping[str, ContainerInfo]:
    """By every id that the status tells of: running, ended, and the one before the last restart."""
    statuses = [c for key in _STATUSES for c in _tables(status, key)]
    if not statuses:
        return _NO_CONTAINERS
    requests = {_text(c, "name"): _cpu(c) for key in _SPECS for c in _tables(spec, key)}
    found: dict[str, ContainerInfo] = {}
    for container in statuses:
        name = _text(container, "name")
        info = _container(name, requests.get(name, 0.0))
        found |= dict.fromkeys(_ids(container), info)
    return found or _NO_CONTAINERS


def _cpu(container: Json) -> float:
    cpu = _table(_table(container, "resources"), "requests").get("cpu")
    return cores(cpu) if isinstance(cpu, str) else 0.0


@lru_cache(maxsize=4096)
def _container(name: str, cpu_request_cores: float) -> ContainerInfo:
    """The containers of a Deployment's pods differ in their ids alone: they share one record."""
    return ContainerInfo(name, cpu_request_cores)


def _ids(container: Json) -> list[str]:
    """containerd://<64 hex> and the like, without what stands before the id."""
    told = [_text(container, "containerID")]
    for state in ("state", "lastState"):
        ended = _table(_table(container, state), "terminated")
        if ended:
            told.append(_text(ended, "containerID"))
    ids = [container_id.rpartition("://")[2] for container_id in told]
    return [container_id for container_id in ids if len(container_id) == CONTAINER_ID_DIGITS]


def _table(json: object, key: str) -> Json:
    found = json.get(key) if isinstance(json, dict) else None
    return found if isinstance(found, dict) else {}


def _tables(json: Json, key: str) -> Sequence[Json]:
    found = json.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else ()


def _text(json: Json, key: str) -> str:
    found = json.get(key)
    return found if isinstance(found, str) else ""
