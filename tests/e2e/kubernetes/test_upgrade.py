"""The chart of before this one is upgraded to it under load, with values new and old; then `helm test`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ebpf.pins import remove_pins
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.place import ROOT, ClusterError
from tests.e2e.kubernetes.exporters import doctor
from tests.e2e.kubernetes.manifests import container, pod_spec
from tests.e2e.kubernetes.pod_watch import PodWatch
from tests.e2e.kubernetes.releases import NAMESPACE as RELEASES
from tests.e2e.kubernetes.releases import Release
from tests.e2e.kubernetes.service_names import ServiceNames
from tests.e2e.kubernetes.truth import SeenPod, Truth, used_seconds
from tests.e2e.kubernetes.workloads import running_pods
from tests.live.pages import value_of

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(300)]

# deploy/chart of the commit 7efdc6a, without rules and dashboards: before options had a schema.
OLD_CHART = Path(__file__).parent / "chart_before.tgz"
NAMESPACE = "e2e-upgrade"
UP_SECONDS, REST_SECONDS = 6.0, 2.0
SMALL = {"resources": {"requests": {"cpu": "50m"}}}


@dataclass(frozen=True)
class Upgraded:
    """uids: of the exporter's pod under the old chart, the new one by itself, and with a new value.

    before, after: pages; used_seconds: what the kernel counted in between, by container.
    """

    release: Release
    uids: tuple[str, str, str]
    before: str
    after: str
    used_seconds: dict[str, float]
    watch: PodWatch


@pytest.fixture(scope="module")
def old(
    make_release: Callable[..., Release], bpffs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """With the old chart, and values as an operator has them."""
    folder = tmp_path_factory.mktemp("node")
    values = {
        **SMALL,
        "config": {"monitor": {"interval": "500ms"}, "calibration": "off"},
        "continuity": {"enabled": True, "pinPath": f"{bpffs}/upgrade"},
        "state": {"hostPath": str(folder / "state")},
    }
    made = make_release("upgrade", values=values, chart=OLD_CHART)
    made.wait()
    yield made
    made.uninstall()
    remove_pins(bpffs / "upgrade")


@pytest.fixture(scope="module")
def pods(cluster: Cluster, truth: Truth) -> Iterator[list[SeenPod]]:
    spec = pod_spec({**container("main", 300), **SMALL})
    with running_pods(cluster, truth, NAMESPACE, {"steady": spec}) as pods:
        yield pods


@pytest.fixture(scope="module")
def upgraded(old: Release, pods: list[SeenPod], tmp_path_factory: pytest.TempPathFactory) -> Upgraded:
    """First the chart alone, as `--reuse-values` has it; then with what only the new one can."""
    guests = tmp_path_factory.mktemp("guests")
    new = replace(old, chart=ROOT / "deploy/chart", values={**old.values, "vm": {"shareDir": str(guests)}})

    def uid() -> str:
        return str(new.pod()["metadata"]["uid"])

    time.sleep(REST_SECONDS)
    uids, before, used = [uid()], old.metrics(), used_seconds(pods)
    with PodWatch(old.cluster, old.name) as watch:
        time.sleep(UP_SECONDS)
        chart = str(ROOT / "deploy/chart")
        old.cluster.helm("upgrade", old.name, chart, "--namespace", RELEASES, "--reuse-values")
        old.wait()
        uids.append(uid())
        new.install()
        new.wait()
        uids.append(uid())
        time.sleep(UP_SECONDS)
    after, gained = new.metrics(), {key: n - used[key] for key, n in used_seconds(pods).items()}
    return Upgraded(new, (uids[0], uids[1], uids[2]), before, after, gained, watch)


def test_a_new_chart_alone_replaces_no_pod(upgraded: Upgraded) -> None:
    before, same, replaced = upgraded.uids
    assert before == same
    assert same != replaced


def test_no_counter_goes_down(upgraded: Upgraded) -> None:
    assert upgraded.watch.pages > 20
    assert upgraded.watch.fallen == []


def test_no_cpu_second_is_lost(upgraded: Upgraded) -> None:
    ((container_id, seconds),) = upgraded.used_seconds.items()
    series = rf'kepler_container_cpu_seconds_total{{.*container_id="{container_id}".*'
    told = value_of(upgraded.after, series) - value_of(upgraded.before, series)
    print(f"{told:.3f} of {seconds:.3f} s")
    assert told == pytest.approx(seconds, abs=0.5)  # pages are a tick old, before and after


def test_what_only_the_new_chart_mounts_is_there(upgraded: Upgraded) -> None:
    found = doctor(upgraded.release)
    assert found["guests"].startswith("ok "), found["guests"]
    mounts = upgraded.release.pod()["spec"]["containers"][0]["volumeMounts"]
    assert {"/host/proc", "/host/vm"} <= {mount["mountPath"] for mount in mounts}


def test_helm_test_asks_the_ready_pod(upgraded: Upgraded, cluster: Cluster) -> None:
    address = upgraded.release.pod()["status"]["podIP"]
    with ServiceNames(cluster) as names:
        told = cluster.helm("test", upgraded.release.name, "--namespace", RELEASES, "--timeout", "90s")
    assert "Succeeded" in told
    assert names.told == {address}


def test_helm_test_fails_where_nobody_answers(upgraded: Upgraded, cluster: Cluster) -> None:
    """Without a name that leads to the pods."""
    command = ("test", upgraded.release.name, "--namespace", RELEASES, "--timeout", "8s")
    with pytest.raises(ClusterError):
        cluster.helm(*command)
    cluster.kubectl(
        "-n", RELEASES, "delete", "pod", f"{upgraded.release.workload}-test", "--ignore-not-found"
    )
