"""A scraper that follows a DaemonSet from pod to pod and notes every counter that goes down."""

from __future__ import annotations

import contextlib
from http.client import HTTPException

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.place import ClusterError
from tests.e2e.kubernetes.releases import NAMESPACE
from tests.e2e.servers import get
from tests.live.pages import Watch


class PodWatch(Watch):
    """As its base, inside the cluster's network; whoever does not answer is looked up anew."""

    def __init__(self, cluster: Cluster, instance: str) -> None:
        super().__init__()
        self._cluster, self._instance = cluster, instance

    def _run(self) -> None:
        with self._cluster.network():
            while not self._stopping.wait(0.2):
                try:
                    self.look(get(f"{self.url}/metrics", timeout=1)[1])
                except (OSError, HTTPException):  # nobody is there
                    with contextlib.suppress(ClusterError):
                        self._find()

    def _find(self) -> None:
        selector = f"app.kubernetes.io/component=exporter,app.kubernetes.io/instance={self._instance}"
        for pod in self._cluster.get("pods", "-n", NAMESPACE, "--selector", selector)["items"]:
            address = pod["status"].get("podIP")
            if address and "deletionTimestamp" not in pod["metadata"]:
                self.url = f"http://{address}:28283"
