"""Pods without a kubelet behind them, made and unmade in a real API server as fast as it takes them."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

NAMESPACE, NODE, ACCOUNT = "pod-churn", "scale1", "pod-churn"
THREADS = 12
_ROLE = f"podjoule-{NAMESPACE}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Of a kubeconfig with a client certificate in files, as the cluster kit writes it."""

    server: str
    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def read(cls, kubeconfig: Path) -> Cluster:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        files = (cluster["certificate-authority"], user["client-certificate"], user["client-key"])
        return cls(cluster["server"], *(kubeconfig.parent / file for file in files))


class Api:
    """Requests as the administrator, over one connection a thread that is kept open."""

    def __init__(self, cluster: Cluster) -> None:
        self._address = urlsplit(cluster.server)
        self._tls = ssl.create_default_context(cafile=str(cluster.ca))
        self._tls.load_cert_chain(cluster.certificate, cluster.key)
        self._local = threading.local()

    def __call__(self, method: str, path: str, body: object = None, allowed: Iterable[int] = ()) -> Any:
        """The answer as JSON. Raises RuntimeError for anything but success or a status that is allowed."""
        kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
        connection = self._connection()
        try:
            connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": kind})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # the next request opens it anew
            raise
        if response.status >= 300 and response.status not in allowed:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]!r}")
        return json.loads(answer)

    def _connection(self) -> http.client.HTTPSConnection:
        found: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if found is None:
            host, port = self._address.hostname or "", self._address.port
            found = self._local.connection = http.client.HTTPSConnection(host, port, context=self._tls)
        return found


@dataclass(frozen=True, slots=True)
class Made:
    """A pod that the API server has, with the container id that its status tells."""

    name: str
    uid: str
    container_id: str


@contextmanager
def prepared(api: Api, folder: Path, ca: Path) -> Iterator[Path]:
    """A node that nobody runs, a namespace, and a service account's files; all gone afterwards."""
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    try:
        _prepare(api)
        (folder / "token").write_text(_token(api))
        (folder / "ca.crt").write_bytes(ca.read_bytes())
        yield folder
    finally:
        with contextlib.suppress(OSError):  # a connection that has been idle for too long
            api("GET", pods + "?limit=1")
        api("DELETE", pods, {"gracePeriodSeconds": 0}, allowed=[404])
        for path in (
            f"/api/v1/nodes/{NODE}",
            f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{_ROLE}",
            f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{_ROLE}",
            f"/api/v1/namespaces/{NAMESPACE}",
        ):
            api("DELETE", path, allowed=[404])


def _prepare(api: Api) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    api("POST", "/api/v1/nodes", {"metadata": {"name": NODE}}, allowed=[409])
    api("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}, allowed=[409])
    accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    api("POST", accounts, {"metadata": {"name": ACCOUNT}}, allowed=[409])
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
    api("POST", f"{rbac}/clusterroles", {"metadata": {"name": _ROLE}, "rules": rules}, allowed=[409])
    binding = {
        "metadata": {"name": _ROLE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _ROLE},
        "subjects": [{"kind": "ServiceAccount", "namespace": NAMESPACE, "name": ACCOUNT}],
    }
    api("POST", f"{rbac}/clusterrolebindings", binding, allowed=[409])


def _token(api: Api) -> str:
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
    token: str = api("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    return token


def make(api: Api, n: int) -> Made:
    """Pod n, bound to the node and with a status as its kubelet would write it."""
    name, container_id = f"pod-{n}", f"{n:064x}"
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    uid = api("POST", pods, _pod(name))["metadata"]["uid"]
    api("PATCH", f"{pods}/{name}/status", {"status": _status(container_id)})
    return Made(name, uid, container_id)


def unmake(api: Api, made: Made) -> None:
    """As a kubelet does it once the containers have ended."""
    api("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/{made.name}", {"gracePeriodSeconds": 0}, [404])


def in_parallel(work: Callable[[int], Made], numbers: Iterable[int]) -> list[Made]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, numbers))


def paced(api: Api, first: int, rate: float, seconds: float) -> list[Made]:
    """Make and unmake `rate` pods a second, each living for a second or so; those that were, in order."""
    began, total = time.monotonic(), int(rate * seconds)

    def one(i: int) -> Made:
        time.sleep(max(0.0, began + i / rate - time.monotonic()))
        return make(api, first + i)

    def end(made: Made) -> None:
        unmake(api, made)

    with ThreadPoolExecutor(THREADS) as makers, ThreadPoolExecutor(THREADS) as enders:
        done: list[Made] = []
        for made in makers.map(one, range(total)):
            done.append(made)
            if len(done) > rate:
                enders.submit(end, done[len(done) - 1 - int(rate)])
        for made in done[-int(rate) - 1 :]:
            enders.submit(end, made)
    return done


def _pod(name: str) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    container = {
        "name": "main",
        "image": "registry.example/shop/web:1.2.3",
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "env": [{"name": f"SETTING_{i}", "value": "some value of it"} for i in range(8)],
        "readinessProbe": probe,
        "livenessProbe": probe,
    }
    labels = {"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop", "tier": "front"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "nodeName": NODE,
            "containers": [container],
            "tolerations": [{"operator": "Exists"}],
            "serviceAccountName": ACCOUNT,
        },
    }


def _status(container_id: str) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "podIP": "10.1.2.3",
        "hostIP": "10.1.0.1",
        "startTime": now,
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in kinds],
        "containerStatuses": [
            {
                "name": "main",
                "containerID": f"containerd://{container_id}",
                "image": "registry.example/shop/web:1.2.3",
                "imageID": f"registry.example/shop/web@sha256:{container_id}",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
        ],
    }
