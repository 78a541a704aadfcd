"""From a cgroup id to the accounts it is charged to."""

from __future__ import annotations

from ebpf.counters import CgroupDirectory
from exporter.accounts import Account
from exporter.container_names import ContainerNames
from exporter.pods import NoPods, PodDirectory
from exporter.workloads import Workload, identify, pod_of


class WorkloadResolver:
    """Reads the workload from the cgroup's path, once in a cgroup's life; callable as a Resolver.

    pods: names what runs in a pod. Where there is Kubernetes to ask, an account in a pod is settled once it
    has answered; everything else has its name at once or never.
    """

    def __init__(
        self, directory: CgroupDirectory, names: ContainerNames, pods: PodDirectory | None = None
    ) -> None:
        self.pods = pods or NoPods()
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

    def again(self, account: Account) -> Account:
        """What is known by now of an account that was not settled; a Rename."""
        return self._named(account.workload)

    def cpu_request_cores(self, account: Account) -> float:
        """What a container asks for; 0 where it asks for none, or nobody knows."""
        info = self.pods.lookup(account.workload.id)
        container = info.containers.get(account.workload.id) if info else None
        return container.cpu_request_cores if container else 0.0

    def _resolve(self, cgroup_id: int) -> tuple[Account, ...]:
        workload = identify(self._directory.path(cgroup_id))
        pod = pod_of(workload)
        return tuple(map(self._named, (workload, pod) if pod else (workload,)))

    def _named(self, workload: Workload) -> Account:
        if workload.pod_uid and self.pods.status() is not None:
            return self._named_by_kubernetes(workload)
        name = self._names.lookup(workload.id) if workload.kind == "container" else ""
        return Account(workload, name)

    def _named_by_kubernetes(self, workload: Workload) -> Account:
        info = self.pods.lookup(workload.id) or self.pods.lookup(workload.pod_uid)
        if info is None:
            return Account(workload, is_settled=False)
        if workload.kind == "pod":
            return Account(workload, info.name, info.namespace)
        container = info.containers.get(workload.id)
        # The sandbox is in no list of containers: it waits in vain, and is shown without a name.
        name = container.name if container else ""
        return Account(workload, name, info.namespace, is_settled=container is not None)
