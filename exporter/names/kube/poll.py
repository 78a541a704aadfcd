"""The pods of a node as its kubelet tells them: all of them, each time it is asked."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.names.kube.client import Client, Timeouts
from exporter.names.kube.health import PodHealth
from exporter.names.kube.listing import read_list
from exporter.names.kube.pod_store import PodStore

INTERVAL_SECONDS = 30.0


class PolledPods:
    """A PodSource. labels: the pod labels that are wanted."""

    looks_again = True

    def __init__(
        self, client: Client, labels: Sequence[str], interval_seconds: float = INTERVAL_SECONDS
    ) -> None:
        self._client, self._labels, self._interval = client, labels, interval_seconds

    def step(self, store: PodStore, health: PodHealth) -> float:
        """Ask for everything."""
        with self._client.get("/pods", {}, Timeouts()) as chunks:
            seen, _ = read_list(chunks, store, self._labels, health)
        store.keep_only(seen)
        store.forget_gone()
        health.answered()
        return self._interval

    def renew(self) -> bool:
        """Whether the token is another by now."""
        return self._client.renew()

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def abort(self) -> None:
        """End the request."""
        self._client.abort()
