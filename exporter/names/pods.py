"""What Kubernetes says of the pods of this node: the port, and the directory of a host without Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

CONTAINER_ID_DIGITS = 64


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """One container of a pod. cpu_request_cores: 0 where it asks for none."""

    name: str
    cpu_request_cores: float = 0.0


@dataclass(frozen=True, slots=True)
class PodInfo:
    """One pod, as it was last seen.

    uid: the one its cgroup carries, which for a static pod is its config hash and not its mirror pod's UID.
    owner_kind, owner_name: its controller, "" without one. workload_kind, workload_name: what a person made:
    the Deployment above a ReplicaSet, the CronJob above a Job, else the owner; the pod itself without one.
    labels: the chosen pod labels. containers: by container id (64 hex digits), the init and ephemeral ones
    and those that were restarted included, as far as the pod's status still tells.
    """

    uid: str
    name: str
    namespace: str
    qos: str = ""
    phase: str = ""
    owner_kind: str = ""
    owner_name: str = ""
    workload_kind: str = ""
    workload_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    containers: Mapping[str, ContainerInfo] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DirectoryStatus:
    """How a directory fares. errors: since the start, by reason. is_current: whether its source answers."""

    errors: Mapping[str, int]
    is_current: bool
    pods: int


class PodDirectory(Protocol):
    """Pods by container id and by UID. `lookup` is called by the tick and never waits for the network."""

    def lookup(self, key: str) -> PodInfo | None:
        """The pod with this UID, or with a container of this id; None while it is not known.

        Asking for an unknown one makes the directory look again soon. A pod that was deleted stays known for
        long enough to name what it leaves.
        """

    def named(self, namespace: str, name: str) -> PodInfo | None:
        """The pod that has this name now, for who is told names alone; None while it is not known."""

    def status(self) -> DirectoryStatus | None:
        """How it fares; None where there is no Kubernetes to ask."""

    def close(self) -> None:
        """End what works in the background."""


class NoPods:
    """The directory of a host without Kubernetes."""

    def lookup(self, key: str) -> PodInfo | None:  # noqa: ARG002  the port's signature
        """None is known."""
        return None

    def named(self, namespace: str, name: str) -> PodInfo | None:  # noqa: ARG002  the port's signature
        """None is known."""
        return None

    def status(self) -> DirectoryStatus | None:
        """There is nobody to ask."""
        return None

    def close(self) -> None:
        """Nothing was opened."""
