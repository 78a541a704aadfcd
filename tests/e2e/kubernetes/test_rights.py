"""What podjoule may do: exactly what the documentation says, as the API server and the live pod have it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.kubernetes.releases import NAMESPACE, Release
from tests.e2e.kubernetes.truth import Truth

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

# Resources, paths, names of objects, verbs, as kubectl prints them; beyond what every account has.
ROLES = {"apiserver": {"pods [] [] [list watch]"}, "kubelet": {"nodes/pods [] [] [get]"}}
CAP_BPF = 1 << 39
SECURITY_CONTEXT = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"add": ["BPF", "PERFMON"], "drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsGroup": 0,
    "runAsUser": 0,
}


def rights(cluster: Cluster, account: str) -> set[str]:
    """What an account may do in podjoule's namespace, a row each."""
    told = cluster.kubectl("auth", "can-i", "--list", f"--as={account}", "-n", NAMESPACE)
    return {" ".join(line.split()) for line in told.splitlines()[1:]}


def test_its_account_has_its_modes_role_and_no_other(cluster: Cluster, release: Release) -> None:
    anybody = rights(cluster, f"system:serviceaccount:{NAMESPACE}:default")
    assert rights(cluster, release.account) - anybody == ROLES[release.mode]


def test_it_runs_with_the_documented_security_context(release: Release) -> None:
    spec = release.pod()["spec"]
    (container,) = spec["containers"]
    assert container["securityContext"] == SECURITY_CONTEXT
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_once_attached_it_has_given_up_its_capabilities(truth: Truth, release: Release) -> None:
    """Before 5.19 the kernel wants CAP_BPF for reading the maps, so that one stays there."""
    truth.look()
    (pid,) = truth.pod(NAMESPACE, release.pod()["metadata"]["name"]).pids("podjoule")
    held = _capability_sets(pid)
    assert len(held) == 4
    assert all(mask & ~CAP_BPF == 0 for mask in held)


def _capability_sets(pid: int) -> list[int]:
    """Effective, permitted, inheritable and ambient, as masks."""
    status = Path(f"/proc/{pid}/status").read_text()
    return [int(mask, 16) for mask in re.findall(r"^Cap(?:Eff|Prm|Inh|Amb):\s(\w+)$", status, re.MULTILINE)]


def test_it_is_in_no_namespace_of_the_hosts(release: Release) -> None:
    spec = release.pod()["spec"]
    assert not any(spec.get(name) for name in ("hostPID", "hostNetwork", "hostIPC"))


def test_it_sees_the_node_read_only(release: Release) -> None:
    spec = release.pod()["spec"]
    paths = {volume["name"] for volume in spec["volumes"] if "hostPath" in volume}
    mounts = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] in paths]
    assert {mount["name"] for mount in mounts} == paths == {"cgroup", "powercap"}
    assert all(mount["readOnly"] for mount in mounts)
