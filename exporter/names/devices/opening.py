"""Choosing who tells which pod holds which device: the kubelet where its socket is, else nobody."""

from __future__ import annotations

import logging

from exporter.configuration.option_tree import Kube
from exporter.names.devices.port import DeviceDirectory, NoDevices
from exporter.names.pods import NoPods, PodDirectory

log = logging.getLogger("exporter.pods")


def open_devices(kube: Kube, pods: PodDirectory) -> DeviceDirectory:
    """The directory that the configuration asks for; it begins to work in the background.

    pods: what knows the UIDs of pods by their names; without it the kubelet is not asked, since it tells
    names alone. Whether the kubelet answers is seen later, and is no reason not to start.
    """
    path = kube.pod_resources
    if isinstance(pods, NoPods) or not path.parent.is_dir():
        return NoDevices()
    try:
        from exporter.names.devices.following import follow_devices  # h2 is there for who has devices
    except ImportError as error:
        log.warning(
            "which pod holds which device stays unknown: %s; install podjoule[gpu], which brings h2",
            error,
        )
        return NoDevices()
    return follow_devices(path, pods)
