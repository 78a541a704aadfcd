"""The pods that are measured: one of each way in which people make pods."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.place import NODE_NAME
from tests.e2e.kubernetes.manifests import (
    Manifest,
    container,
    cron_job,
    deployment,
    following,
    listed,
    pod,
    pod_spec,
    stateful_set,
    telling,
)
from tests.e2e.kubernetes.truth import SeenPod, Truth

NAMESPACE = "e2e-work"
STATIC = "static"
BARE = ("staged", "doomed", "crashing", f"{STATIC}-{NODE_NAME}")


@contextmanager
def running_pods(
    cluster: Cluster, truth: Truth, namespace: str, specs: Mapping[str, Manifest]
) -> Iterator[list[SeenPod]]:
    """Pods of these specs by their names, ready, in a namespace that is made for them and goes with them."""
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    try:
        made = [pod(namespace, each, spec) for each, spec in specs.items()]
        cluster.kubectl("apply", "-f", "-", stdin=listed([home, *made]))
        for each in specs:
            cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", f"pod/{each}", "--timeout=60s")
        truth.look()
        yield [truth.pod(namespace, each) for each in specs]
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found")


class Workloads:
    """`with Workloads(cluster, shared):` makes them and waits until they run; all are gone afterwards.

    shared: a folder through which the double load tells the single one what it uses.
    """

    def __init__(self, cluster: Cluster, shared: Path) -> None:
        self._cluster, self._shared = cluster, shared
        self._static = cluster.place.static_pods / "e2e.json"

    def __enter__(self) -> Workloads:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        try:
            self._cluster.kubectl("apply", "-f", "-", stdin=listed([namespace, *_manifests(self._shared)]))
            self._static.write_text(json.dumps(pod(NAMESPACE, STATIC, pod_spec(container("main", 50)))))
            for workload in ("deployment/double", "deployment/single", "statefulset/ordered"):
                self._cluster.rollout(NAMESPACE, workload)
            for name in BARE:
                self.wait(f"pod/{name}", "condition=Ready")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def wait(self, what: str, until: str, seconds: float = 60) -> None:
        """`kubectl wait`, also for what is not made yet."""
        self._kubectl("wait", "--for=create", what, f"--timeout={seconds:.0f}s")
        self._kubectl("wait", f"--for={until}", what, f"--timeout={seconds:.0f}s")

    def wait_for_cron_job(self) -> None:
        """Until it has run once; it is due every minute."""
        completions = "jsonpath={.status.lastSuccessfulTime}"
        self._kubectl("wait", f"--for={completions}", "cronjob/minutely", "--timeout=100s")

    def delete(self, *pods: str) -> None:
        """Have pods deleted; they may still be on their way out."""
        self._kubectl("delete", "pod", *pods, "--wait=false")

    def restart(self, workload: str) -> None:
        """`kubectl rollout restart`, to its end."""
        self._kubectl("rollout", "restart", workload)
        self._cluster.rollout(NAMESPACE, workload)

    def remove(self) -> None:
        """The static pod goes when its file goes, the others with their namespace."""
        self._static.unlink(missing_ok=True)
        self._cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")

    def _kubectl(self, *arguments: str) -> None:
        self._cluster.kubectl("-n", NAMESPACE, *arguments)


def _manifests(shared: Path) -> Sequence[dict[str, object]]:
    double, single = telling(container("main", 200)), following(container("main", 100))
    return [
        deployment(NAMESPACE, "double", pod_spec(double, shared=shared)),
        deployment(NAMESPACE, "single", pod_spec(single, shared=shared)),
        stateful_set(NAMESPACE, "ordered", pod_spec(container("main", 50))),
        cron_job(NAMESPACE, "minutely", pod_spec(container("main", 100, seconds=4), restart="Never")),
        pod(
            NAMESPACE,
            "staged",
            pod_spec(
                container("main", 50), container("sidecar", 25), init=[container("prepare", 300, seconds=4)]
            ),
        ),
        pod(NAMESPACE, "doomed", pod_spec(container("main", 100))),
        pod(NAMESPACE, "crashing", pod_spec(container("main", 50), container("steady", 25))),
    ]
