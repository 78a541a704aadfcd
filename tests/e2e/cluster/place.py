"""Where the cluster lives on this machine, and what it is called there."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = Path(__file__).parent
ROOT = SOURCES.parents[2]
# Addresses of the namespace's own, on its loopback: the `kubernetes` service needs no kube-proxy so.
SERVICE_IP = "10.96.0.1"
NODE_IP = "10.97.0.1"
SERVICE_RANGE = "10.96.0.0/24"
POD_RANGE = "10.244.0.0/24"
NODE_NAME = "node1"
API_SERVER = f"https://{SERVICE_IP}:443"


class ClusterError(Exception):
    """The cluster cannot do what was asked; the message says what to do about it."""


def _binaries() -> Path:
    return Path(os.environ.get("CLUSTER_BIN") or ROOT / ".cluster/bin").absolute()


def _state() -> Path:
    return Path(os.environ.get("CLUSTER_STATE") or "/var/lib/podjoule-cluster").absolute()


@dataclass(frozen=True, slots=True)
class Place:
    """One cluster's places; the defaults make one a machine.

    binaries: of Kubernetes and helm, as built. state: everything the running cluster writes. namespace: its
    network namespace. cgroup_root: below which the kubelet makes its cgroups.
    """

    binaries: Path = field(default_factory=_binaries)
    state: Path = field(default_factory=_state)
    namespace: str = "podjoule-cluster"
    cgroup_root: str = "/"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.keys / "admin.kubeconfig"

    @property
    def keys(self) -> Path:
        """Certificates, keys and kubeconfigs."""
        return self.state / "pki"

    @property
    def static_pods(self) -> Path:
        """Manifests that are put here become static pods."""
        return self.state / "static"

    @property
    def pod_logs(self) -> Path:
        """What containers print."""
        return self.state / "pods"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd answers."""
        return self.state / "containerd.sock"
