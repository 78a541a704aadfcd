"""Following the devices as the kubelet at a socket tells them; where this is imported, h2 is."""

from __future__ import annotations

from pathlib import Path

from exporter.names.devices.followed import FollowedDevices
from exporter.names.devices.unary_call import UnaryCall
from exporter.names.kube.health import PodHealth
from exporter.names.pods import PodDirectory


def follow_devices(path: Path, pods: PodDirectory) -> FollowedDevices:
    """A directory that has begun to ask."""
    health = PodHealth(
        f"the kubelet's PodResources at {path}", kept="devices that are known stay their pods'"
    )
    directory = FollowedDevices(UnaryCall(path), pods, health)
    directory.start()
    return directory
