"""From a cgroup id to the accounts it is charged to."""

from __future__ import annotations

from ebpf.counters import CgroupDirectory
from exporter.accounts import Account
from exporter.container_names import ContainerNames
from exporter.workloads import identify, pod_of


class WorkloadResolver:
    """Reads the workload from the cgroup's path, once in a cgroup's life; callable as a Resolver."""

    def __init__(self, directory: CgroupDirectory, names: ContainerNames) -> None:
        self._directory = directory
        self._names = names
        self._known: dict[int, tuple[Account, ...]] = {}

    def __call__(self, cgroup_id: int) -> tuple[Account, ...]:
        """The cgroup's own account, and for a container in a pod the pod's after it."""
        accounts = self._known.get(cgroup_id)
        if accounts is None:
            accounts = self._known[cgroup_id] = self._resolve(cgroup_id)
        return accounts

    @property
    def name_errors(self) -> int:
        """Files of container names that could not be read."""
        return self._names.errors

    def forget_ended(self) -> None:
        """Let go of the cgroups that are no longer alive."""
        ended = [cgroup_id for cgroup_id in self._known if not self._directory.is_alive(cgroup_id)]
        for cgroup_id in ended:
            workload = self._known.pop(cgroup_id)[0].workload
            if workload.kind == "container":
                self._names.forget(workload.id)

    def _resolve(self, cgroup_id: int) -> tuple[Account, ...]:
        workload = identify(self._directory.path(cgroup_id))
        if workload.kind != "container":
            return (Account(workload),)
        pod = pod_of(workload)
        account = Account(workload, self._names.lookup(workload.id))
        return (account, Account(pod)) if pod else (account,)
