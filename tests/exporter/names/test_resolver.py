"""From a cgroup id to accounts: once in a cgroup's life, and forgotten after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ebpf.cgroups import KERNEL_PATH, CgroupTree
from exporter.names.container_names import ContainerNames
from exporter.names.resolver import MAX_BY_PATH, WorkloadResolver
from tests.exporter.nodes import UID, container, in_pod

WEB, WEB_ID = container(1), f"{1:064x}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    name_it(tmp_path, "web")
    return tmp_path


def name_it(root: Path, name: str) -> None:
    config = root / f"var/lib/docker/containers/{WEB_ID}/config.v2.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps({"Name": f"/{name}"}))


def test_a_container_is_its_account_with_its_name(root: Path) -> None:
    (account,) = WorkloadResolver(CgroupTree({7: WEB}), ContainerNames(root))(7)
    assert (account.workload.kind, account.workload.id, account.name) == ("container", WEB_ID, "web")


def test_a_container_in_a_pod_is_charged_to_both(root: Path) -> None:
    own, pod = WorkloadResolver(CgroupTree({7: in_pod(1)}), ContainerNames(root))(7)
    assert (own.workload.kind, own.workload.pod_uid) == ("container", f"{0:08x}{UID[8:]}")
    assert (pod.workload.kind, pod.workload.id) == ("pod", own.workload.pod_uid)


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "root"), (KERNEL_PATH, "kernel"), ("/a.service", "unit"), ("/jobs", "other")]
)
def test_the_rest_is_one_account(path: str, kind: str) -> None:
    (account,) = WorkloadResolver(CgroupTree({7: path}), ContainerNames(Path("/nonexistent")))(7)
    assert account.workload.kind == kind


def test_an_id_never_seen_is_unknown_until_it_has_a_path(root: Path) -> None:
    tree = CgroupTree()
    resolver = WorkloadResolver(tree, ContainerNames(root))
    assert resolver(7)[0].workload.id == "unknown"
    resolver.forget_ended()
    tree.made(7, WEB)
    assert resolver(7)[0].workload.id == WEB_ID


def test_what_is_known_of_a_cgroup_stays_while_it_lives(root: Path) -> None:
    tree = CgroupTree({7: WEB})
    resolver = WorkloadResolver(tree, ContainerNames(root))
    before = resolver(7)
    tree.renamed(7, "/jobs")
    name_it(root, "other")
    resolver.forget_ended()
    assert resolver(7) is before


def test_an_id_that_is_used_again_is_another_workload(root: Path) -> None:
    tree = CgroupTree({7: WEB})
    resolver = WorkloadResolver(tree, ContainerNames(root))
    resolver(7)
    tree.removed(7)
    resolver.forget_ended()
    tree.made(7, "/a.service")
    assert resolver(7)[0].workload.id == "/a.service"


def test_the_dead_are_forgotten_with_their_names(root: Path) -> None:
    tree, names = CgroupTree(), ContainerNames(root)
    resolver = WorkloadResolver(tree, names)
    for cgroup_id in range(1_000):
        tree.made(cgroup_id, WEB if cgroup_id % 2 else "/jobs")
        resolver(cgroup_id)
        tree.removed(cgroup_id)
        tree.forget(cgroup_id)
        resolver.forget_ended()
    assert not resolver._known
    assert not names._names


def test_files_that_cannot_be_understood_are_counted(root: Path) -> None:
    (root / f"var/lib/docker/containers/{WEB_ID}/config.v2.json").write_text("{")
    resolver = WorkloadResolver(CgroupTree({7: WEB}), ContainerNames(root))
    assert resolver(7)[0].name == ""
    assert resolver.name_errors == 1


def test_katas_two_cgroups_are_one_container_of_the_pod_whichever_comes_first(root: Path) -> None:
    sandbox, overhead = in_pod(1).replace("cri-containerd-", "kata_"), f"/kata_overhead/{WEB_ID}"
    for paths in ({7: overhead, 8: sandbox}, {8: sandbox, 7: overhead}):
        resolver = WorkloadResolver(CgroupTree(paths), ContainerNames(root))
        assert resolver(7) == resolver(8)
        assert [account.workload.kind for account in resolver(7)] == ["container", "pod"]


def test_series_are_bounded_whatever_names_come(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    tree = CgroupTree({number: f"/a{number}z.service" for number in range(MAX_BY_PATH + 100)})
    resolver = WorkloadResolver(tree, ContainerNames(root))
    ids = [resolver(number)[0].workload.id for number in tree]
    assert len(set(ids)) == MAX_BY_PATH + 1
    assert ids.count("rest") == 100
    assert len(caplog.messages) == 1
    tree.removed(0)
    resolver.forget_ended()
    tree.made(-1, "/new.service")
    assert resolver(-1)[0].workload.id == "rest"
    for number in range(1, 200):
        tree.removed(number)
    resolver.forget_ended()
    tree.made(-2, "/newer.service")
    assert resolver(-2)[0].workload.id == "/newer.service"
