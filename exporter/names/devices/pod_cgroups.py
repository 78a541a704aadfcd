"""A cgroup for each pod that holds a device: what is the pod's by its device is booked there."""

from __future__ import annotations

from ebpf.counters import CgroupDirectory
from exporter.names.devices.port import DeviceDirectory
from exporter.names.resolver import WorkloadResolver


class PodCgroups:
    """Finds them among the cgroups that are alive; for the thread of the tick."""

    def __init__(
        self, directory: CgroupDirectory, resolver: WorkloadResolver, devices: DeviceDirectory
    ) -> None:
        self._directory, self._resolver, self._devices = directory, resolver, devices
        self._found: dict[str, int] = {}

    def __call__(self, pod_uid: str) -> int | None:
        """One of the container that holds the device, else the pod's; None for a pod that is not there."""
        known = self._found.get(pod_uid)
        if known is not None and self._directory.is_alive(known):
            return known
        self._found.pop(pod_uid, None)
        holding = self._of_holding(pod_uid)
        if holding is None:
            return self._resolver.cgroup_of_pod(pod_uid)
        self._found[pod_uid] = holding
        return holding

    def _of_holding(self, pod_uid: str) -> int | None:
        info, names = self._resolver.pods.lookup(pod_uid), self._devices.containers(pod_uid)
        containers = info.containers.items() if info else ()
        ids = {container_id for container_id, container in containers if container.name in names}
        if not ids:
            return None
        return next((c for c in self._directory if self._resolver(c)[0].workload.id in ids), None)
