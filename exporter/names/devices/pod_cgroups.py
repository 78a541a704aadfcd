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
        """One of the container that holds the device, else any of the pod's; None for a pod that has none."""
        known = self._found.get(pod_uid)
        if known is not None and self._directory.is_alive(known):
            return known
        self._found.pop(pod_uid, None)
        cgroups = self._of_pod(pod_uid)
        holding = next(
            (cgroup for cgroup, name in cgroups if name in self._devices.containers(pod_uid)), None
        )
        if holding is not None:
            self._found[pod_uid] = holding
        return holding if holding is not None else min((cgroup for cgroup, _ in cgroups), default=None)

    def _of_pod(self, pod_uid: str) -> list[tuple[int, str]]:
        """Its cgroups, each with its container's name, "" where there is none or nobody knows."""
        info = self._resolver.pods.lookup(pod_uid)
        containers = info.containers if info else {}
        found = []
        for cgroup_id in self._directory:
            workload = self._resolver(cgroup_id)[0].workload
            if workload.pod_uid == pod_uid:
                container = containers.get(workload.id)
                found.append((cgroup_id, container.name if container else ""))
        return found
