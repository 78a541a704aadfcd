"""podjoule in the cluster, installed by helm from the chart of this checkout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.place import ROOT, ClusterError
from tests.e2e.servers import get

REPOSITORY, TAG = "localhost/podjoule", "e2e"
NAMESPACE = "e2e-podjoule"


@dataclass(frozen=True)
class Release:
    """One DaemonSet. powercap: the counters it reads, on the node. values: more of the chart's.

    chart: of this checkout, or another.
    """

    cluster: Cluster
    name: str
    powercap: Path
    mode: str = "apiserver"
    hierarchy: str = "auto"
    values: Mapping[str, Any] = field(default_factory=dict)
    chart: Path = ROOT / "deploy/chart"

    @property
    def workload(self) -> str:
        """The name of its DaemonSet and of its service account."""
        return f"{self.name}-podjoule"

    @property
    def account(self) -> str:
        """Its service account, as the API server calls it."""
        return f"system:serviceaccount:{NAMESPACE}:{self.workload}"

    def install(self) -> None:
        """`helm upgrade --install`; it may not run yet."""
        values = {
            "image": {"repository": REPOSITORY, "tag": TAG, "pullPolicy": "Never"},
            "kube": {"mode": self.mode},
            "hostPaths": {"powercap": str(self.powercap)},
            "config": {"monitor": {"interval": "1s"}, "ebpf": {"cgroupHierarchy": self.hierarchy}},
            "resources": {"requests": {"cpu": "100m"}},
            **self.values,
        }
        options = ("--namespace", NAMESPACE, "--create-namespace", "--values", "-")
        chart, given = str(self.chart), json.dumps(values)
        self.cluster.helm("upgrade", "--install", self.name, chart, *options, stdin=given)

    def wait(self) -> None:
        """Until its pod is ready. Raises ClusterError with what the pod says where it does not get there."""
        try:
            self.cluster.rollout(NAMESPACE, f"daemonset/{self.workload}", seconds=120)
        except ClusterError as error:
            raise ClusterError(f"{error}\n{self._describe()}") from error

    def restart(self) -> None:
        """`kubectl rollout restart`, to its end."""
        self.cluster.kubectl("-n", NAMESPACE, "rollout", "restart", f"daemonset/{self.workload}")
        self.wait()

    def uninstall(self) -> None:
        """And with it all that the chart made."""
        self.cluster.helm("uninstall", self.name, "--namespace", NAMESPACE, "--ignore-not-found", "--wait")

    def pod(self) -> dict[str, Any]:
        """Its one pod, as the API server has it."""
        selector = f"app.kubernetes.io/component=exporter,app.kubernetes.io/instance={self.name}"
        items = self.cluster.get("pods", "-n", NAMESPACE, "--selector", selector)["items"]
        alive = [item for item in items if "deletionTimestamp" not in item["metadata"]]
        assert len(alive) == 1, [item["metadata"]["name"] for item in alive]
        return dict(alive[0])

    def restarts(self) -> int:
        """How often its container was restarted."""
        return int(self.pod()["status"]["containerStatuses"][0]["restartCount"])

    def metrics(self) -> str:
        """What it serves, asked at its pod's address."""
        address = self.pod()["status"]["podIP"]
        with self.cluster.network():
            status, body = get(f"http://{address}:28283/metrics")
        assert status == 200, body
        return body

    def log(self) -> str:
        """What its container logged."""
        return self.cluster.kubectl("-n", NAMESPACE, "logs", f"daemonset/{self.workload}")

    def _describe(self) -> str:
        selector = f"app.kubernetes.io/component=exporter,app.kubernetes.io/instance={self.name}"
        told = self.cluster.kubectl("-n", NAMESPACE, "describe", "pods", "--selector", selector)
        return f"{told}\n{self.log()}"
