"""Which pods hold which devices: the port, and the directory of a host where nobody tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from exporter.names.pods import DirectoryStatus


class DeviceDirectory(Protocol):
    """Devices by pod, and pods by device. Asked by the tick; never waits for the kubelet.

    A device's id is the one its plugin gave it, such as a GPU's UUID, without what tells replicas of a shared
    one apart.
    """

    def holders(self) -> Mapping[str, tuple[str, ...]]:
        """The UIDs of the pods that hold a device, by its id; more than one where it is shared, in order."""

    def of(self, pod_uid: str) -> tuple[str, ...]:
        """The ids of the devices that a pod holds."""

    def containers(self, pod_uid: str) -> tuple[str, ...]:
        """The names of its containers that hold them."""

    def status(self) -> DirectoryStatus | None:
        """How it fares; `pods` counts those with a device. None where there is nobody to ask."""

    def close(self) -> None:
        """End what works in the background."""


class NoDevices:
    """The directory of a host without a kubelet, or whose kubelet is not asked."""

    def holders(self) -> Mapping[str, tuple[str, ...]]:
        """None are known."""
        return {}

    def of(self, pod_uid: str) -> tuple[str, ...]:  # noqa: ARG002  the port's signature
        """None are known."""
        return ()

    def containers(self, pod_uid: str) -> tuple[str, ...]:  # noqa: ARG002  the port's signature
        """None are known."""
        return ()

    def status(self) -> DirectoryStatus | None:
        """There is nobody to ask."""
        return None

    def close(self) -> None:
        """Nothing was opened."""
