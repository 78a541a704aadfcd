"""What podjoule may do: exactly what the documentation says, as the API server and the live pod have it."""

from __future__ import annotations

import pytest

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.kubernetes.releases import NAMESPACE, Release

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

# Resource and verbs, by mode; beyond what every account has.
ROLES = {"apiserver": {("pods", "[list watch]")}, "kubelet": {("nodes/pods", "[get]")}}
SECURITY_CONTEXT = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"add": ["BPF", "PERFMON"], "drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsGroup": 0,
    "runAsUser": 0,
}


def rights(cluster: Cluster, account: str) -> set[tuple[str, str]]:
    """What an account may do in podjoule's namespace: (resource or path, verbs)."""
    told = cluster.kubectl("auth", "can-i", "--list", f"--as={account}", "-n", NAMESPACE)
    rows = [line.split() for line in told.splitlines()[1:]]
    return {(row[0], told_verbs(line)) for row, line in zip(rows, told.splitlines()[1:], strict=True) if row}


def told_verbs(line: str) -> str:
    """The last brackets of a row."""
    return line[line.rindex("[") :].strip()


def test_its_account_has_its_modes_role_and_no_other(cluster: Cluster, release: Release) -> None:
    anybody = rights(cluster, f"system:serviceaccount:{NAMESPACE}:default")
    assert rights(cluster, release.account) - anybody == ROLES[release.mode]


def test_it_runs_with_the_documented_security_context(release: Release) -> None:
    spec = release.pod()["spec"]
    (container,) = spec["containers"]
    assert container["securityContext"] == SECURITY_CONTEXT
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_it_is_in_no_namespace_of_the_hosts(release: Release) -> None:
    spec = release.pod()["spec"]
    assert not any(spec.get(name) for name in ("hostPID", "hostNetwork", "hostIPC"))


def test_it_sees_the_node_read_only(release: Release) -> None:
    spec = release.pod()["spec"]
    paths = {volume["name"] for volume in spec["volumes"] if "hostPath" in volume}
    mounts = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] in paths]
    assert {mount["name"] for mount in mounts} == paths == {"cgroup", "powercap"}
    assert all(mount["readOnly"] for mount in mounts)
