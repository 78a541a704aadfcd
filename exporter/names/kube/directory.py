"""Choosing who names the pods: Kubernetes where it is there, else nobody."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from ebpf.errors import UsageError
from exporter.configuration.option_tree import Kube
from exporter.names.kube.access import SERVICE_ACCOUNT, ClusterAccess, Kubeconfig, ServiceAccount
from exporter.names.pods import NoPods, PodDirectory

log = logging.getLogger("exporter.pods")

_HOST, _PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"


def open_pods(
    kube: Kube,
    environ: Mapping[str, str] = os.environ,
    account: Path = SERVICE_ACCOUNT,
    tell_type: Callable[[str], None] | None = None,
) -> PodDirectory:
    """The directory that the configuration asks for; it begins to work in the background.

    account: where the kubelet mounts the service account's token and CA. tell_type: takes the node's instance
    type; the API server is asked for it once where it is wanted. Raises UsageError where Kubernetes
    must be asked and cannot be. Whether it answers is seen later, and is no reason not to start.
    """
    access = _access(kube, environ, account) if kube.enabled != "false" else None
    if access is None:
        return NoPods()
    # Where there is no Kubernetes, nobody waits for what follows it.
    from exporter.names.kube.following import follow

    return follow(kube, access, tell_type)


def _access(kube: Kube, environ: Mapping[str, str], account: Path) -> ClusterAccess | None:
    """A kubeconfig goes before the service account; None where auto finds neither."""
    if kube.config:
        if not kube.config.is_file():
            raise UsageError(f"kube.config: wanted a kubeconfig file, found none at {kube.config}")
        return Kubeconfig(kube.config)
    missing = _missing(kube, environ, account)
    if not missing:
        host, port = environ.get(_HOST, ""), environ.get(_PORT) or "443"
        return ServiceAccount(
            account, f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        )
    if kube.enabled == "true":
        raise UsageError(
            f"kube.enabled: true, but {missing}; outside of a pod set kube.config, in one let its service"
            " account be mounted (automountServiceAccountToken)"
        )
    if environ.get(_HOST):
        log.warning("pods stay without names: in a pod, but %s; see automountServiceAccountToken", missing)
    return None


def _missing(kube: Kube, environ: Mapping[str, str], account: Path) -> str:
    """What a service account lacks; "" where it can be used. The kubelet's address comes from elsewhere."""
    asks_kubelet = kube.mode == "kubelet" and kube.enabled == "true"
    if not environ.get(_HOST) and not asks_kubelet:
        return f"${_HOST} is not set"
    if not (account / "token").is_file():
        return f"there is no token at {account / 'token'}"
    return ""
