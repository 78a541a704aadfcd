"""Following the pods as the configuration asks for it: by the API server or the kubelet."""

from __future__ import annotations

import logging
from collections.abc import Callable

from exporter.configuration.option_tree import Kube
from exporter.names.kube.access import ClusterAccess
from exporter.names.kube.client import Client, Endpoint
from exporter.names.kube.follower import FollowedPods
from exporter.names.kube.health import PodHealth
from exporter.names.kube.node import NodeThenPods
from exporter.names.kube.poll import PolledPods
from exporter.names.kube.source import PodSource
from exporter.names.kube.watch import WatchedPods

log = logging.getLogger("exporter.pods")


def follow(kube: Kube, access: ClusterAccess, tell_type: Callable[[str], None] | None) -> FollowedPods:
    """A directory that has begun to follow; tell_type: see directory.open_pods."""
    source, name = _source(kube, access)
    if tell_type is not None:
        source = NodeThenPods(source, Client(Endpoint(access)), kube.node_name.lower(), tell_type)
    directory = FollowedPods(source, PodHealth(name))
    directory.start()
    return directory


def _source(kube: Kube, access: ClusterAccess) -> tuple[PodSource, str]:
    if kube.mode == "kubelet":
        if kube.kubelet_insecure:
            log.warning(
                "kube.kubeletInsecure: whoever answers at %s is believed, and sent podjoule's token; set"
                " kube.kubeletCA instead",
                kube.kubelet_address,
            )
        endpoint = Endpoint(access, kube.kubelet_address, kube.kubelet_ca, kube.kubelet_insecure)
        return PolledPods(Client(endpoint), kube.pod_labels), f"the kubelet at {kube.kubelet_address}"
    node = kube.node_name.lower()  # RFC 1123: the API server takes no other; a host's name may have capitals
    if node != kube.node_name:
        log.info("kube.nodeName %s: names of nodes are in lower case, %s is asked for", kube.node_name, node)
    source = WatchedPods(Client(Endpoint(access)), node, kube.pod_labels)
    return source, f"the API server, for node {node}"
