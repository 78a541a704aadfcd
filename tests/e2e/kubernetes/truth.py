"""What the cluster says of its pods and the kernel of their CPU time: what podjoule is held against."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.cluster import containers
from tests.e2e.cluster.cluster import Cluster
from tests.live.sandbox import Cgroup, hierarchies

_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_HASH = "kubernetes.io/config.hash"


@dataclass(frozen=True, slots=True)
class SeenPod:
    """uid: the one its cgroup carries. containers: names by id, those that ended included."""

    uid: str
    name: str
    namespace: str
    owner_kind: str
    containers: dict[str, str]

    def used_ns(self) -> int:
        """Its CPU time by the kernel's own accounting, in the first hierarchy that there is."""
        cgroup = self.cgroup
        return cgroup.used_ns(next(iter(cgroup.mounts)))

    def pids(self, container: str) -> list[int]:
        """The processes of a container, as the node knows them."""
        cgroup = self.cgroup
        version = next(iter(cgroup.mounts))
        ids = [container_id for container_id, name in self.containers.items() if name == container]
        folders = [cgroup.child(container_id).folder(version) for container_id in ids]
        files = [folder / "cgroup.procs" for folder in folders if folder.exists()]
        return [int(pid) for file in files for pid in file.read_text().split()]

    @property
    def cgroup(self) -> Cgroup:
        """Wherever the kubelet put it."""
        mounts = hierarchies()
        mount = Path(next(iter(mounts.values())).mount)
        found = next(mount.rglob(f"pod{self.uid}"))
        return Cgroup(f"/{found.relative_to(mount)}", mounts)


def used_seconds(pods: Sequence[SeenPod], version: str = "") -> dict[str, float]:
    """CPU time of containers by the kernel's own accounting, by their ids.

    version: the hierarchy, else the first that there is.
    """
    return {
        container_id: each.cgroup.child(container_id).used_ns(version or next(iter(each.cgroup.mounts))) / 1e9
        for each in pods
        for container_id in each.containers
    }


@dataclass
class Truth:
    """Every pod that was there at any `look`, by UID, and the ids of the sandboxes."""

    cluster: Cluster
    pods: dict[str, SeenPod] = field(default_factory=dict)
    sandboxes: set[str] = field(default_factory=set)

    def look(self) -> None:
        """Ask the API server and containerd."""
        for item in self.cluster.get("pods", "--all-namespaces")["items"]:
            pod = _seen(item)
            before = self.pods.get(pod.uid)
            pod.containers.update(before.containers if before else {})
            self.pods[pod.uid] = pod
        query = 'labels."io.cri-containerd.kind"==sandbox'
        found = containers.ctr(self.cluster.place, "containers", "ls", "--quiet", query)
        self.sandboxes.update(found.split())

    def pod(self, namespace: str, name: str) -> SeenPod:
        """The pod whose name begins so; of several the one that was seen last."""
        found = [
            pod for pod in self.pods.values() if pod.namespace == namespace and pod.name.startswith(name)
        ]
        assert found, f"no pod {namespace}/{name} among {sorted(pod.name for pod in self.pods.values())}"
        return found[-1]


def last_words_ns(pod: SeenPod, seconds: float = 60) -> int:
    """All the CPU time that a pod has used when the kubelet takes its cgroup away, after its end."""
    cgroup = pod.cgroup
    version = next(iter(cgroup.mounts))
    used_ns = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            used_ns = cgroup.used_ns(version)
        except OSError:
            return used_ns
        time.sleep(0.01)
    raise TimeoutError(f"{cgroup.path} is still there after {seconds:g} s")


def _seen(item: dict[str, Any]) -> SeenPod:
    metadata = item["metadata"]
    owners = metadata.get("ownerReferences", [])
    return SeenPod(
        metadata.get("annotations", {}).get(_HASH, metadata["uid"]),
        metadata["name"],
        metadata["namespace"],
        owners[0]["kind"] if owners else "",
        dict(_container_names(item.get("status", {}))),
    )


def _container_names(status: dict[str, Any]) -> list[tuple[str, str]]:
    told = [each for key in _STATUSES for each in status.get(key, [])]
    ended = [
        (state["terminated"], each["name"])
        for each in told
        for state in (each.get("state", {}), each.get("lastState", {}))
        if "terminated" in state
    ]
    all_told = [(each, each["name"]) for each in told] + ended
    ids = ((each.get("containerID", "").rpartition("://")[2], name) for each, name in all_told)
    return [(container_id, name) for container_id, name in ids if container_id]
