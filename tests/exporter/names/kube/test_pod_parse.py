"""From Kubernetes' JSON to what is kept of a pod."""

from __future__ import annotations

import calendar
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.names.kube.parse import Malformed, pod_info
from exporter.names.kube.quantity import cores
from exporter.names.pods import ContainerInfo, PodInfo

HASH = "0123456789abcdef0123456789abcdef"


def a_pod(**metadata: object) -> dict[str, Any]:
    return {"metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1", **metadata}}


def owned(kind: str, name: str, **metadata: object) -> PodInfo:
    references = [{"kind": "Other", "name": "no"}, {"kind": kind, "name": name, "controller": True}]
    return pod_info(a_pod(ownerReferences=references, **metadata))


def workload(info: PodInfo) -> tuple[str, str]:
    return info.workload_kind, info.workload_name


def test_every_container_is_found_by_every_id_its_status_tells() -> None:
    json = a_pod() | {
        "spec": {
            "containers": [{"name": "main", "resources": {"requests": {"cpu": "1500m"}}}],
            "initContainers": [{"name": "prepare", "resources": {"requests": {"cpu": "2"}}}],
            "ephemeralContainers": [{"name": "debug"}],
        },
        "status": {
            "phase": "Running",
            "qosClass": "Burstable",
            "containerStatuses": [
                {
                    "name": "main",
                    "containerID": f"containerd://{1:064x}",
                    "lastState": {"terminated": {"containerID": f"containerd://{2:064x}"}},
                }
            ],
            "initContainerStatuses": [
                {"name": "prepare", "state": {"terminated": {"containerID": f"cri-o://{3:064x}"}}}
            ],
            "ephemeralContainerStatuses": [{"name": "debug", "containerID": f"docker://{4:064x}"}],
        },
    }
    info = pod_info(json)
    main, prepare, debug = ContainerInfo("main", 1.5), ContainerInfo("prepare", 2.0), ContainerInfo("debug")
    expected = {1: main, 2: main, 3: prepare, 4: debug}
    assert info.containers == {f"{n:064x}": container for n, container in expected.items()}
    assert (info.phase, info.qos) == ("Running", "Burstable")


def test_what_is_no_container_id_is_none() -> None:
    statuses = [{"name": "main", "containerID": told} for told in ("", "containerd://", "docker://short", 7)]
    assert not pod_info(a_pod() | {"status": {"containerStatuses": statuses}}).containers


def test_a_mirror_pod_has_the_uid_of_the_cgroup_and_is_its_own_workload() -> None:
    annotations = {"kubernetes.io/config.hash": HASH, "kubernetes.io/config.mirror": HASH}
    info = owned("Node", "node1", annotations=annotations)
    assert info.uid == HASH
    assert (info.owner_kind, info.owner_name) == ("Node", "node1")
    assert workload(info) == ("Pod", "web-1")


def test_who_writes_a_hash_into_a_pod_does_not_take_another_s_name() -> None:
    assert pod_info(a_pod(annotations={"kubernetes.io/config.hash": HASH})).uid == "u-1"


def test_without_a_controller_a_pod_is_its_own_workload() -> None:
    info = pod_info(a_pod(ownerReferences=[{"kind": "ConfigMap", "name": "x"}]))
    assert (info.owner_kind, info.owner_name) == ("", "")
    assert workload(info) == ("Pod", "web-1")


@pytest.mark.parametrize(
    ("name", "template_hash", "expected"),
    [
        ("web-6966fbc99", "6966fbc99", ("Deployment", "web")),
        ("a-b-c-6966fbc99", "6966fbc99", ("Deployment", "a-b-c")),
        ("web-6966fbc99", "other", ("ReplicaSet", "web-6966fbc99")),
        ("web-6966fbc99", None, ("ReplicaSet", "web-6966fbc99")),
        ("-6966fbc99", "6966fbc99", ("ReplicaSet", "-6966fbc99")),
    ],
)
def test_a_replica_set_named_by_its_template_is_a_deployment_s(
    name: str, template_hash: str | None, expected: tuple[str, str]
) -> None:
    assert workload(owned("ReplicaSet", name, labels={"pod-template-hash": template_hash})) == expected


CREATED = "2026-11-21T06:00:56Z"
MINUTE = calendar.timegm((2026, 11, 21, 6, 0, 0)) // 60


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"backup-{MINUTE}", ("CronJob", "backup")),
        (f"nightly-backup-{MINUTE - 600}", ("CronJob", "nightly-backup")),
        (f"backup-{MINUTE + 5}", ("CronJob", "backup")),
        ("backup-20261121", ("Job", "backup-20261121")),
        (f"backup-{MINUTE + 100_000}", ("Job", f"backup-{MINUTE + 100_000}")),
        ("backup-1", ("Job", "backup-1")),
        (f"-{MINUTE}", ("Job", f"-{MINUTE}")),
        ("backup", ("Job", "backup")),
    ],
)
def test_a_job_named_by_the_minute_it_was_due_is_a_cron_job_s(name: str, expected: tuple[str, str]) -> None:
    assert workload(owned("Job", name, creationTimestamp=CREATED)) == expected


def test_without_a_time_of_creation_a_job_is_a_job() -> None:
    assert workload(owned("Job", f"backup-{MINUTE}", creationTimestamp="lately")) == (
        "Job",
        f"backup-{MINUTE}",
    )


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "ReplicationController", "Rollout"])
def test_any_other_controller_is_the_workload(kind: str) -> None:
    assert workload(owned(kind, "db")) == (kind, "db")


def test_only_the_labels_that_are_wanted_are_kept() -> None:
    info = pod_info(a_pod(labels={"app": "web", "team": "a", "n": 1}), ["team", "n", "tier"])
    assert info.labels == {"team": "a"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100m", 0.1),
        ("0.5", 0.5),
        ("2", 2.0),
        ("+2.", 2.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("5E-1", 0.5),
        ("1E", 1e18),
        ("250000u", 0.25),
        ("1k", 1000.0),
        ("1Ki", 1024.0),
        ("", 0.0),
        ("-1", 0.0),
        ("1e3m", 0.0),
        ("1e999", 0.0),
        ("many", 0.0),
        ("1 ", 0.0),
        ("\u0661", 0.0),
    ],
)
def test_quantities(text: str, expected: float) -> None:
    assert cores(text) == pytest.approx(expected)


@given(st.text(max_size=80) | st.from_regex(r"[+-]?[0-9.]*([eE][+-]?[0-9]*)?[numkMGTPEi]*", fullmatch=True))
def test_any_quantity_is_a_finite_number_that_is_not_negative(text: str) -> None:
    assert 0.0 <= cores(text) < math.inf


WORDS = """metadata spec status name namespace uid labels annotations ownerReferences containers resources
requests cpu containerStatuses state lastState terminated containerID controller kind creationTimestamp
pod-template-hash kubernetes.io/config.mirror kubernetes.io/config.hash"""
KEYS = st.sampled_from(WORDS.split())
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("ReplicaSet")
ANY = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6)
)


@given(ANY)
def test_whatever_json_it_is_it_is_a_pod_or_malformed(json: object) -> None:
    try:
        info = pod_info(json, ["name"])
    except Malformed:
        return
    assert info.uid
    assert info.name
    assert info.namespace


@given(st.dictionaries(KEYS, ANY), ANY, ANY)
def test_with_a_name_and_a_uid_it_is_a_pod_whatever_else_it_holds(
    metadata: dict[str, object], spec: object, status: object
) -> None:
    known = {"name": "n", "namespace": "s", "uid": "u"}
    annotations = metadata.pop("annotations", None)
    info = pod_info({"metadata": metadata | known, "spec": spec, "status": status}, ["name"])
    assert (info.name, info.namespace, info.uid) == ("n", "s", "u")
    pod_info({"metadata": metadata | known | {"annotations": annotations}})
