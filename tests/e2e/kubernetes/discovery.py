"""A Prometheus in the cluster's network that finds the exporters as one in a cluster does.

Debian's Prometheus is built without the discovery by Kubernetes, so it is the kit's own.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.e2e import servers
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.place import API_SERVER

NAMESPACE = "e2e-monitoring"
ACCOUNT = "prometheus"
_META = "__meta_kubernetes_pod"
_RIGHTS = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": NAMESPACE}},
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAMESPACE},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAMESPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAMESPACE},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    },
]


class DiscoveringPrometheus(servers.Prometheus):
    """Scrapes every pod of podjoule's; the series carry `release` and `exporter`, the pod they come from."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self.port = 9090
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "prometheus.log"
        cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(_RIGHTS))
        token = cluster.kubectl("-n", NAMESPACE, "create", "token", ACCOUNT, "--duration=2h")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text(token)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(_configuration(cluster, folder / "token")))
        command = [
            str(cluster.place.binaries / "prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        with self.log.open("wb") as log, cluster.network():
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def __enter__(self) -> DiscoveringPrometheus:
        with self._cluster.network():
            super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(_RIGHTS))

    def wait_for(self, promql: str, enough: Callable[[float], bool], seconds: float = 60) -> float:
        """The one value of a query once it is enough. Raises TimeoutError with the last one."""
        deadline = time.monotonic() + seconds
        while not enough(value := self.value(promql)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{promql} is {value:g} after {seconds:g} s")
            time.sleep(0.5)
        return value

    def query(self, promql: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """As in the base class, from inside the cluster's network."""
        with self._cluster.network():
            return super().query(promql, at)


def _configuration(cluster: Cluster, token: Path) -> dict[str, Any]:
    discovery = {
        "role": "pod",
        "api_server": API_SERVER,
        "authorization": {"credentials_file": str(token)},
        "tls_config": {"ca_file": str(cluster.place.keys / "ca.crt")},
    }
    relabel = [
        _keep(f"{_META}_label_app_kubernetes_io_name", "podjoule"),
        _keep(f"{_META}_container_port_name", "metrics"),
        _keep(f"{_META}_phase", "Running"),
        {"source_labels": [f"{_META}_label_app_kubernetes_io_instance"], "target_label": "release"},
        {"source_labels": [f"{_META}_name"], "target_label": "exporter"},
    ]
    scrape = {
        "job_name": "podjoule",
        "kubernetes_sd_configs": [discovery],
        "relabel_configs": relabel,
    }
    times = {"scrape_interval": "2s", "scrape_timeout": "2s"}
    return {"global": times, "scrape_configs": [scrape]}


def _keep(label: str, value: str) -> dict[str, Any]:
    return {"source_labels": [label], "regex": value, "action": "keep"}
