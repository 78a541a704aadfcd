"""What the page is tried on: a real exporter, pods with names and known loads, and a test's own meter.

The loads and the counting are real. The meter is a powercap tree that draws IDLE_WATTS and BUSY_WATTS more
for each CPU that is busy; the names come from a served /pods document, as a kubelet answers.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.servers import Plant, Podjoule
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live import loads
from tests.live.sandbox import Cgroup, cgroup, stop

IDLE_WATTS, BUSY_WATTS, DRAM_WATTS = 21.0, 17.0, 4.0


@dataclass(frozen=True)
class Load:
    """A pod and how many CPU seconds a second its container uses; sidecar: those of a second one."""

    name: str
    namespace: str
    kind: str
    workload: str
    share: float
    sidecar: float = 0.0


@dataclass(frozen=True)
class Pod:
    """A pod that was made, its containers' cgroups by their names."""

    load: Load
    uid: str
    containers: Mapping[str, Cgroup]


SHOP = (
    Load("web-7d4b9c6f5-x2k8p", "shop", "ReplicaSet", "web-7d4b9c6f5", 0.14, 0.02),
    Load("search-0", "shop", "StatefulSet", "search", 0.09),
    Load("checkout-5c9f7b8d6-qv4tz", "shop", "ReplicaSet", "checkout-5c9f7b8d6", 0.06, 0.01),
    Load("thumbnails-6f8d54c9b-h7wnm", "media", "ReplicaSet", "thumbnails-6f8d54c9b", 0.04),
    Load("postgres-0", "data", "StatefulSet", "postgres", 0.05),
    Load("queue-0", "data", "StatefulSet", "queue", 0.02),
    Load("metrics-agent-b6xkd", "monitoring", "DaemonSet", "metrics-agent", 0.01),
)


@contextlib.contextmanager
def stage(folder: Path, made: Sequence[Load] = SHOP, *arguments: str) -> Iterator[Podjoule]:
    """An exporter that measures these loads until the end."""
    tree = RaplTree(folder / "sys")
    tree.add_zone("intel-rapl:0", "package-0", max_energy_uj=262_143_328_850, energy_uj=10**9)
    tree.add_zone("intel-rapl:0:0", "dram", max_energy_uj=65_712_999_613, energy_uj=10**8)
    with contextlib.ExitStack() as stack:
        stack.enter_context(Plant(tree, _Draw().watts))
        known = stack.enter_context(_pods(made))
        kubelet = stack.enter_context(_kubelet([_described(pod) for pod in known]))
        podjoule = Podjoule(
            f"--host.powercap={folder / 'sys/class/powercap'}",
            f"--kube.config={_kubeconfig(folder, kubelet)}",
            "--kube.mode=kubelet",
            f"--kube.kubelet-address={kubelet}",
            *arguments,
            log=folder / "podjoule.log",
        )
        stack.enter_context(podjoule)
        running = [
            group.python(loads.STEADY, str(share))
            for pod in known
            for group, share in zip(pod.containers.values(), (pod.load.share, pod.load.sidecar), strict=False)
        ]
        stack.callback(stop, *running)
        yield podjoule


class _Draw:
    """What the meter draws: more, the more the CPUs have been busy since the last time."""

    def __init__(self) -> None:
        self._busy = _busy_seconds()

    def watts(self, seconds: float) -> Mapping[str, float]:
        busy, before = _busy_seconds(), self._busy
        self._busy = busy
        cpus = (busy - before) / seconds
        return {"intel-rapl:0": IDLE_WATTS + BUSY_WATTS * cpus, "intel-rapl:0:0": DRAM_WATTS + cpus}


def _busy_seconds() -> float:
    user, nice, system = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4]
    return (int(user) + int(nice) + int(system)) / 100


@contextlib.contextmanager
def _pods(made: Sequence[Load]) -> Iterator[list[Pod]]:
    """The pods, in a cgroup of our own: a kubelet on this machine ends pods of /kubepods it does not know."""
    with cgroup("page") as top:
        parent = top.child("kubepods").make().child("burstable").make()
        yield [_make_pod(parent, load) for load in made]


def _make_pod(parent: Cgroup, load: Load) -> Pod:
    uid = str(uuid.uuid4())
    group = parent.child(f"pod{uid}").make()
    own = load.name.partition("-")[0]
    names = (own, "proxy") if load.sidecar else (own,)
    return Pod(load, uid, {name: group.child(uuid.uuid4().hex * 2).make() for name in names})


def _described(pod: Pod) -> dict[str, object]:
    """A pod as the kubelet's /pods has it."""
    load = pod.load
    owner = {"apiVersion": "apps/v1", "kind": load.kind, "name": load.workload, "controller": True}
    return {
        "metadata": {
            "name": load.name,
            "namespace": load.namespace,
            "uid": pod.uid,
            "labels": {"pod-template-hash": load.workload.rpartition("-")[2]},
            "ownerReferences": [{**owner, "uid": pod.uid}],
        },
        "spec": {"containers": [{"name": name} for name in pod.containers]},
        "status": {
            "phase": "Running",
            "qosClass": "Burstable",
            "containerStatuses": [
                {"name": name, "containerID": f"containerd://{group.path.rpartition('/')[2]}"}
                for name, group in pod.containers.items()
            ],
        },
    }


@contextlib.contextmanager
def _kubelet(pods: Sequence[Mapping[str, object]]) -> Iterator[str]:
    body = json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def _kubeconfig(folder: Path, server: str) -> Path:
    file = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "stage", "cluster": {"server": server}}],
        "users": [{"name": "stage", "user": {"token": "stage"}}],
        "contexts": [{"name": "stage", "context": {"cluster": "stage", "user": "stage"}}],
        "current-context": "stage",
    }
    file.write_text(json.dumps(config))
    return file
