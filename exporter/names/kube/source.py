"""Where pods are told of: the port that the API server's watch and the kubelet's list stand behind."""

from __future__ import annotations

from typing import Protocol

from exporter.names.kube.health import PodHealth
from exporter.names.kube.pod_store import PodStore


class PodSource(Protocol):
    """Called in one thread, but for `abort`."""

    looks_again: bool
    """Whether asking before its time may tell of pods that are not known yet; a watch needs no asking."""

    def step(self, store: PodStore, health: PodHealth) -> float:
        """One exchange; the seconds until the next is due. Raises Failure.

        Tells `health` when the source has answered, which may be long before the exchange is over.
        """

    def renew(self) -> bool:
        """Read the credentials anew; whether they are others now."""

    def close(self) -> None:
        """Let go of everything; after the last `step`."""

    def abort(self) -> None:
        """End what `step` is doing, and all after it, with a Failure. May be called by any thread."""
