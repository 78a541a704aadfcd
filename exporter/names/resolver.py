"""From a cgroup id to the accounts it is charged to."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from itertools import filterfalse

from ebpf.counters import CgroupDirectory
from exporter.names.accounts import Account
from exporter.names.container_names import ContainerNames
from exporter.names.pods import NoPods, PodDirectory
from exporter.names.workloads import REST, Kind, Workload, identify, pod_of

log = logging.getLogger("exporter.names")

# What goes by a path or a job's id, however many a program makes: past MAX_BY_PATH alive at a time, REST.
MAX_BY_PATH = 2_000
_BY_PATH: tuple[Kind, ...] = ("unit", "job", "other")


class WorkloadResolver:
    """Reads the workload from the cgroup's path, once in a cgroup's life; callable as a Resolver.

    pods: names what runs in a pod. Where there is Kubernetes to ask, the account of a container or pod is
    settled once it has answered; everything else has its name at once or never.
    """

    def __init__(
        self, directory: CgroupDirectory, names: ContainerNames, pods: PodDirectory | None = None
    ) -> None:
        self.pods = pods or NoPods()
        self._directory = directory
        self._names = names
        self._known: dict[int, tuple[Account, ...]] = {}
        self._podless: set[str] = set()
        self._by_path: Counter[tuple[Kind, str]] = Counter()
        self._is_told = False
        self._looked_at: tuple[int, int] | None = None

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

    def look_again(self) -> None:
        """To be called each tick, once it is known which cgroups are alive: names may have come since."""
        self._names.look_again()

    def forget_ended(self) -> None:
        """Let go of the cgroups that are no longer alive."""
        looked_at = self._directory.revision, len(self._known)
        if looked_at == self._looked_at:
            return
        ended = list(filterfalse(self._directory.is_alive, self._known))
        for cgroup_id in ended:
            workload = self._known.pop(cgroup_id)[0].workload
            if workload.kind == "container":
                self._names.forget(workload.id)
                self._podless.discard(workload.id)
            elif workload.kind in _BY_PATH:
                self._by_path[workload.key] -= 1
                if not self._by_path[workload.key]:
                    del self._by_path[workload.key]
        self._looked_at = looked_at[0], len(self._known)

    def again(self, account: Account) -> tuple[Account, ...]:
        """What is known by now of an account that was not settled; a Rename."""
        found = self._named(account.workload)
        status = self.pods.status()
        if not found.is_settled and status and not status.is_current:
            return ()
        if found.workload.pod_uid == account.workload.pod_uid:
            return (found,)
        self._podless.discard(found.workload.id)
        pod = pod_of(found.workload)
        return (found, self._named(pod)) if pod else (found,)

    def cpu_request_cores(self, account: Account) -> float:
        """What a container asks for; 0 where it asks for none, or nobody knows."""
        info = self.pods.lookup(account.workload.id)
        container = info.containers.get(account.workload.id) if info else None
        return container.cpu_request_cores if container else 0.0

    def cgroup_of_pod(self, uid: str) -> int | None:
        """A cgroup that is charged to this pod: its own, so that no container is charged as well, or where it
        has none a container's. None for a pod that is not there."""
        of_container = None
        for cgroup_id in self._directory:
            workload = self(cgroup_id)[0].workload
            if workload.pod_uid == uid or workload.key == ("pod", uid):
                if workload.kind == "pod":
                    return cgroup_id
                of_container = of_container or cgroup_id
        return of_container

    def _resolve(self, cgroup_id: int) -> tuple[Account, ...]:
        workload = identify(self._directory.path(cgroup_id))
        if workload.kind in _BY_PATH:
            return (Account(self._bounded(workload)),)
        workload = self._in_its_pod(workload)
        if workload.kind == "container" and not workload.pod_uid:
            self._podless.add(workload.id)
        pod = pod_of(workload)
        return tuple(map(self._named, (workload, pod) if pod else (workload,)))

    def _bounded(self, workload: Workload) -> Workload:
        """The workload itself, or REST where there are too many: whatever names come, series are bounded."""
        if workload.key not in self._by_path and len(self._by_path) >= MAX_BY_PATH:
            if not self._is_told:
                log.warning(
                    "more than %d cgroups with names of their own: the rest is one series, cgroup=%r",
                    *(MAX_BY_PATH, REST.id),
                )
            self._is_told, workload = True, REST
        self._by_path[workload.key] += 1
        return workload

    def _in_its_pod(self, workload: Workload) -> Workload:
        """With the pod that the path does not tell.

        Kubernetes knows some containers by their id; Kata has two cgroups a sandbox, of which one alone tells
        the pod. Once a container has a row without a pod, it is `again` that finds it.
        """
        if workload.kind != "container" or workload.pod_uid or workload.id in self._podless:
            return workload
        info = self.pods.lookup(workload.id)
        if info:
            return replace(workload, pod_uid=info.uid)
        return self._twin(workload) if workload.runtime == "kata" else workload

    def _twin(self, workload: Workload) -> Workload:
        paths = (path for i in self._directory if (path := self._directory.path(i)) and workload.id in path)
        return next(
            (twin for twin in map(identify, paths) if twin.id == workload.id and twin.pod_uid), workload
        )

    def _named(self, workload: Workload) -> Account:
        is_nameless = workload.kind == "container" and not workload.name
        if (workload.pod_uid or is_nameless) and self.pods.status() is not None:
            return self._named_by_kubernetes(workload)
        return Account(workload, self._names.lookup(workload.id) if is_nameless else workload.name)

    def _named_by_kubernetes(self, workload: Workload) -> Account:
        info = self.pods.lookup(workload.id) or (
            self.pods.lookup(workload.pod_uid) if workload.pod_uid else None
        )
        if info is None:
            # What is in no pod of Kubernetes may still be the engine's own, and has its name at the end.
            name = "" if workload.pod_uid else self._names.lookup(workload.id)
            return Account(workload, name, is_settled=False)
        if workload.kind == "container" and not workload.pod_uid:
            workload = replace(workload, pod_uid=info.uid)
        if workload.kind == "pod":
            return Account(workload, info.name, info.namespace)
        container = info.containers.get(workload.id)
        # The sandbox is in no list of containers: it waits in vain, and is shown without a name.
        name = container.name if container else workload.name
        return Account(workload, name, info.namespace, is_settled=bool(name))
