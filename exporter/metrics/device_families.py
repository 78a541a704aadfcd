"""The families about who says which pod holds which device; there are none where nobody is asked."""

from __future__ import annotations

from exporter.metrics.exposition import Family
from exporter.metrics.specs import Catalogue
from exporter.names.devices.port import DeviceDirectory

declare = Catalogue()

UP = declare.gauge(
    "podjoule_device_directory_up",
    "Whether the kubelet tells which pod holds which GPU; while it does not, what it told last holds",
)
PODS = declare.gauge(
    "podjoule_device_directory_pods", "Pods that hold a device, of a GPU's or any other plugin"
)
ERRORS = declare.counter(
    "podjoule_device_directory_errors_total",
    "What went wrong between podjoule and the kubelet's PodResources",
    ("reason",),
)


def of_devices(node: str, devices: DeviceDirectory) -> list[Family]:
    """How the directory fares."""
    status = devices.status()
    if status is None:
        return []
    reasons = [(node, reason) for reason in status.errors]
    return [
        UP.family([(node,)], [float(status.is_current)]),
        PODS.family([(node,)], [float(status.pods)]),
        ERRORS.family(reasons, list(map(float, status.errors.values()))),
    ]
