"""What the kubelet's PodResources service says: which device is whose.

https://github.com/kubernetes/kubelet/blob/master/pkg/apis/podresources/v1/api.proto: a list of pods (1), of
each its name (1), namespace (2) and containers (3), of each its devices (2), of each their ids (2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from exporter.names.devices.wire import messages, text

LIST = "/v1.PodResourcesLister/List"

# What plugins write behind the id of a device that several may have: NVIDIA's (time-slicing, MPS) and GKE's.
_REPLICA = re.compile(r"(::|/vgpu)[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class Holding:
    """One device in a pod's hands."""

    namespace: str
    pod: str
    container: str
    device: str


def holdings(answer: bytes) -> frozenset[Holding]:
    """What a ListPodResourcesResponse tells. Raises ValueError for bytes that are none."""
    return frozenset(_holdings(answer))


def device_id(resource: str, told: str) -> str:
    """The device that a plugin's id stands for: replicas of a shared one are the same device.

    NVIDIA's plugin may be told to name GPUs by their numbers: they are called nvidia0 and so on, as by GKE's.
    """
    device = _REPLICA.sub("", told)
    return f"nvidia{device}" if device.isdecimal() and resource.startswith("nvidia.com/") else device


def _holdings(answer: bytes) -> Iterator[Holding]:
    for pod in messages(answer, 1):
        name, namespace = text(pod, 1), text(pod, 2)
        for container in messages(pod, 3):
            container_name = text(container, 1)
            for devices in messages(container, 2):
                resource = text(devices, 1)
                for told in messages(devices, 2):
                    yield Holding(namespace, name, container_name, device_id(resource, told.decode()))
