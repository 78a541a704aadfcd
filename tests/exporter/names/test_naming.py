"""Names from Kubernetes: when series appear, that labels never change, and that no joule waits in vain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.configuration.option_tree import Kube
from exporter.names.container_names import ContainerNames
from exporter.names.pods import ContainerInfo, DirectoryStatus, PodInfo
from tests.exporter.names.counted_files import CountedFiles
from tests.exporter.nodes import UID, Node, in_pod, labels_of, of, series

POD_UID = f"{0:08x}{UID[8:]}"
CONTAINER_ID = f"{1:064x}"
JOULES = "kepler_container_cpu_joules_total"
WEB = PodInfo(
    uid=POD_UID,
    name="web-5d4-x",
    namespace="shop",
    qos="Burstable",
    phase="Running",
    owner_kind="ReplicaSet",
    owner_name="web-5d4",
    workload_kind="Deployment",
    workload_name="web",
    labels={"app.kubernetes.io/name": "web"},
    containers={CONTAINER_ID: ContainerInfo("nginx", 0.5)},
)


class FakePods:
    """A PodDirectory in memory."""

    def __init__(self, *pods: PodInfo) -> None:
        self.known = list(pods)
        self.is_current = True
        self.closed = False

    def lookup(self, key: str) -> PodInfo | None:
        return next((pod for pod in self.known if key == pod.uid or key in pod.containers), None)

    def named(self, namespace: str, name: str) -> PodInfo | None:
        return next((pod for pod in self.known if (pod.namespace, pod.name) == (namespace, name)), None)

    def status(self) -> DirectoryStatus:
        return DirectoryStatus({"timeout": 2}, self.is_current, len(self.known))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def pods() -> FakePods:
    return FakePods()


@pytest.fixture
def node(pods: FakePods) -> Node:
    """One container in one pod, busy from the start."""
    node = Node(pods=pods, kube=Kube("n1", pod_labels=("app.kubernetes.io/name",)))
    node.source.add(in_pod(1))
    return node


def work(node: Node, ticks: int = 1, path: str = in_pod(1)) -> dict:
    """Ticks of 5 s in which the container runs and the node draws 10 J."""
    for _ in range(ticks):
        node.source.use(path, 1.0)
        node.draw(10.0)
        samples = node.tick()
    return samples


def test_a_pod_and_its_container_carry_their_names(node: Node, pods: FakePods) -> None:
    pods.known = [WEB]
    samples = work(node, 3)
    assert series(samples, JOULES, container_name="nginx", pod_id=POD_UID)
    assert series(
        samples, "kepler_pod_cpu_joules_total", pod_name="web-5d4-x", pod_namespace="shop", pod_id=POD_UID
    )


def test_series_wait_for_their_names_and_then_hold_all_that_was_booked(node: Node, pods: FakePods) -> None:
    waiting = work(node, 3)
    assert not series(waiting, JOULES)
    pods.known = [WEB]
    named = work(node)
    assert of(named, JOULES) == pytest.approx(of(named, "kepler_node_cpu_active_joules_total"))
    assert labels_of(series(named, JOULES), "container_name") == {"nginx"}


def test_after_30_s_they_appear_with_what_is_known_and_stay_so(node: Node, pods: FakePods) -> None:
    assert not series(work(node, 6), JOULES)
    shown = work(node, 2)
    assert labels_of(series(shown, JOULES), "container_name") == {""}
    pods.known = [WEB]
    assert labels_of(series(work(node), JOULES), "container_name") == {""}


def test_a_container_that_ended_before_it_had_a_name_is_not_lost(node: Node, pods: FakePods) -> None:
    work(node)
    node.source.use(in_pod(1), 1.0)
    node.draw(10.0)
    node.source.end(in_pod(1))
    for _ in range(3):
        assert not series(node.tick(), JOULES)
    pods.known = [WEB]
    samples = node.tick()
    active = of(samples, "kepler_node_cpu_active_joules_total")
    assert of(samples, JOULES, container_name="nginx") == pytest.approx(active) != 0


def test_its_time_after_the_end_begins_when_it_is_shown(pods: FakePods) -> None:
    node = Node(pods=pods, ttl=8.0)
    node.source.add(in_pod(1))
    work(node)
    node.source.end(in_pod(1))

    def tick() -> dict:
        node.draw(10.0)  # a zone that stands still tells nothing
        return node.tick()

    for _ in range(4):
        assert not series(tick(), JOULES)
    pods.known = [WEB]
    assert series(tick(), JOULES)
    assert series(tick(), JOULES)
    assert not series(tick(), JOULES)


def test_a_pod_that_kubernetes_has_forgotten_keeps_its_names(node: Node, pods: FakePods) -> None:
    pods.known = [WEB]
    before = labels_of(series(work(node), "podjoule_pod_info"), "workload_name")
    pods.known = []
    after = work(node)
    assert labels_of(series(after, JOULES), "container_name") == {"nginx"}
    assert labels_of(series(after, "podjoule_pod_info"), "workload_name") == before == {"web"}


def test_pod_info_carries_what_can_be_joined_and_the_chosen_labels(node: Node, pods: FakePods) -> None:
    pods.known = [WEB]
    (labels,) = [dict(labels) for _, labels in series(work(node), "podjoule_pod_info")]
    assert labels == {
        "node_name": "n1",
        "pod_id": POD_UID,
        "pod_name": "web-5d4-x",
        "pod_namespace": "shop",
        "qos": "Burstable",
        "owner_kind": "ReplicaSet",
        "owner_name": "web-5d4",
        "workload_kind": "Deployment",
        "workload_name": "web",
        "phase": "Running",
        "label_app_kubernetes_io_name": "web",
    }


def test_a_pod_of_which_only_the_container_is_unknown_is_shown_at_once(node: Node, pods: FakePods) -> None:
    pods.known = [replace(WEB, containers={})]
    samples = work(node, 2)
    assert series(samples, "kepler_pod_cpu_joules_total", pod_name="web-5d4-x")
    assert not series(samples, JOULES)


def test_what_is_in_no_pod_waits_for_nobody(node: Node) -> None:
    node.source.add("/system.slice/ssh.service")
    node.tick()
    node.source.use("/system.slice/ssh.service", 1.0)
    assert series(node.tick(), "podjoule_cgroup_cpu_seconds_total", cgroup="/system.slice/ssh.service")


def test_how_kubernetes_fares_is_exported(node: Node, pods: FakePods) -> None:
    pods.known = [WEB]
    samples = work(node)
    assert of(samples, "podjoule_pod_directory_up") == 1
    assert of(samples, "podjoule_pod_directory_pods") == 1
    assert of(samples, "podjoule_pod_directory_errors_total", reason="timeout") == 2
    pods.is_current = False
    assert of(work(node), "podjoule_pod_directory_up") == 0


def test_idle_energy_by_requests_goes_to_those_who_asked_for_cpu(pods: FakePods) -> None:
    asks = {f"{1:064x}": ContainerInfo("a", 0.5), f"{2:064x}": ContainerInfo("b", 1.5)}
    pods.known = [replace(WEB, containers={**asks, f"{3:064x}": ContainerInfo("c")})]
    node = Node(pods=pods, idle_policy="requests")
    for number in (1, 2, 3):
        node.source.add(in_pod(number))
    samples = work(node, 3)
    idle = "podjoule_container_idle_joules_total"
    assert of(samples, idle, container_name="b") == pytest.approx(3 * of(samples, idle, container_name="a"))
    assert of(samples, idle, container_name="c") == 0
    assert of(samples, idle) == pytest.approx(of(samples, "kepler_node_cpu_idle_joules_total"))
    assert of(samples, idle) > 0


def test_the_directory_is_closed_with_the_measurement(node: Node, pods: FakePods) -> None:
    node.measurement.close()
    assert pods.closed


BARE = f"/system.slice:cri-containerd:{CONTAINER_ID}"


def test_the_wait_begins_when_kubernetes_answers(node: Node, pods: FakePods) -> None:
    pods.is_current = False
    assert not series(work(node, 20), JOULES)  # 100 s
    pods.is_current = True
    assert not series(work(node, 5), JOULES)
    pods.known = [WEB]
    assert labels_of(series(work(node), JOULES), "container_name") == {"nginx"}


def test_the_wait_for_an_answer_has_an_end(pods: FakePods) -> None:
    pods.is_current = False
    node = Node(pods=pods, kube=Kube("n1", names_timeout_seconds=60.0))
    node.source.add(in_pod(1))
    assert not series(work(node, 12), JOULES)
    assert labels_of(series(work(node, 2), JOULES), "container_name") == {""}


@pytest.mark.parametrize("ticks", [0, 3])
def test_a_pod_that_the_path_does_not_tell_is_found_by_the_containers_id(
    node: Node, pods: FakePods, ticks: int
) -> None:
    node.source.end(in_pod(1))
    node.source.add(BARE)
    pods.known = [WEB] if not ticks else []
    for _ in range(ticks):
        assert not series(work(node, path=BARE), JOULES)
    pods.known = [WEB]
    samples = work(node, 3, path=BARE)
    assert series(samples, JOULES, container_name="nginx", pod_id=POD_UID)
    active = of(samples, "kepler_node_cpu_active_joules_total")
    assert of(samples, JOULES) == pytest.approx(active)
    assert of(samples, "kepler_pod_cpu_joules_total", pod_name="web-5d4-x") == pytest.approx(active)


def test_a_container_that_kubernetes_does_not_know_is_the_engines_own(node: Node) -> None:
    node.source.end(in_pod(1))
    node.source.add(BARE)
    samples = work(node, 9, path=BARE)
    assert labels_of(series(samples, JOULES), "pod_id") == {""}
    assert of(samples, "podjoule_nameless_containers") == 1


def test_a_thousand_of_the_engine_s_own_cost_a_tick_no_look_each(pods: FakePods, tmp_path: Path) -> None:
    store = tmp_path / "var/lib/docker/containers"
    store.mkdir(parents=True)
    files = CountedFiles()
    node = Node(pods=pods, names=ContainerNames(tmp_path, lambda: 0.0, files))
    for number in range(1_000):
        node.source.add(f"/system.slice:cri-containerd:{number:064x}")
    looks = []
    for _ in range(3):
        files.looks.clear()
        node.tick()
        looks.append(list(files.looks))
    assert looks[1] == looks[2]
    assert looks[2].count(store) == 1
    assert len(looks[2]) < 10


def test_the_engine_s_own_is_named_in_the_tick_after_its_file_came(pods: FakePods, tmp_path: Path) -> None:
    pods.is_current = True
    node = Node(pods=pods, names=ContainerNames(tmp_path, lambda: 0.0))
    node.source.add(BARE)
    work(node, 3, path=BARE)
    config = tmp_path / f"var/lib/docker/containers/{CONTAINER_ID}/config.v2.json"
    config.parent.mkdir(parents=True)
    config.write_text('{"Name": "/web"}')
    assert labels_of(series(work(node, 6, path=BARE), JOULES), "container_name") == {"web"}


def test_a_container_with_a_name_or_a_sandbox_is_not_nameless(node: Node, pods: FakePods) -> None:
    pods.known = [WEB]
    node.source.add(in_pod(2))
    assert of(work(node, 9), "podjoule_nameless_containers") == 0


def test_a_row_that_outlived_a_restart_without_its_pod_is_charged_to_it_once(
    node: Node, pods: FakePods
) -> None:
    node.source.end(in_pod(1))
    node.source.add(BARE)
    work(node, 2, path=BARE)
    before = node.measurement.ledger.kept()
    pods.known = [WEB]
    after = Node(pods=pods)
    after.measurement.ledger.restore(before)
    after.source.add(BARE)
    work(after, 3, path=BARE)
    ledger = after.measurement.ledger
    container, pod = (ledger.balances(kind).cpu_seconds.sum() for kind in ("container", "pod"))
    assert pod == pytest.approx(container) != 0
