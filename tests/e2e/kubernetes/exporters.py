"""What is asked of an exporter in its pod, from the node and through the API server."""

from __future__ import annotations

from tests.e2e.kubernetes.releases import NAMESPACE, Release
from tests.e2e.kubernetes.truth import Truth


def exporter_pid(release: Release, truth: Truth) -> int:
    """The process that runs, as the node knows it."""
    truth.look()
    (pid,) = truth.pod(NAMESPACE, release.pod()["metadata"]["name"]).pids("podjoule")
    return pid


def doctor(release: Release) -> dict[str, str]:
    """What `podjoule doctor` says in the pod, line by line, by the name of the check."""
    command = f"exec daemonset/{release.workload} -- podjoule doctor".split()
    lines = release.cluster.kubectl("-n", NAMESPACE, *command).splitlines()
    return {line.split()[1]: line for line in lines}
