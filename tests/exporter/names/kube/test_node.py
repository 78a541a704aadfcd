"""The node's instance type: asked once, beside the pods, and never in their way."""

from __future__ import annotations

import logging

import pytest

from exporter.configuration.option_tree import Kube
from exporter.names.kube.client import Client, Endpoint
from exporter.names.kube.directory import open_pods
from exporter.names.kube.node import LABELS, NodeThenPods
from exporter.names.kube.poll import PolledPods
from tests.exporter.names.kube.kube_plant import LEFT_BY_SSL, Plant, name_of, wait_until
from tests.exporter.names.kube.kube_server import Fault, hang, pod, status, stream, uid

pytestmark = pytest.mark.filterwarnings(f"ignore:{LEFT_BY_SSL}:ResourceWarning")


def follow(plant: Plant, interval: float = 30.0) -> list[str]:
    """What is told of node1, while the kubelet is polled."""
    told: list[str] = []
    endpoint = Endpoint(plant.access)
    pods = PolledPods(Client(Endpoint(plant.access, plant.server.url)), (), interval)
    plant.follow_source(NodeThenPods(pods, Client(endpoint), "node1", told.append))
    return told


def is_named(plant: Plant) -> bool:
    assert plant.directory is not None
    return name_of(plant.directory, uid(1)) == "pod-1"


@pytest.mark.parametrize("label", LABELS)
def test_the_label_is_told_once_and_the_pods_are_named(plant: Plant, label: str) -> None:
    plant.server.nodes["node1"] = {"kubernetes.io/arch": "amd64", label: "n2-standard-8"}
    plant.server.change("ADDED", pod(1, 1))
    told = follow(plant, interval=0.02)
    wait_until(lambda: is_named(plant) and plant.server.count("pods") > 3)
    assert told == ["n2-standard-8"]
    assert plant.server.count("node") == 1


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (status(403), "forbidden"),
        (status(404), "refused"),
        (status(200, b"[" * 5_000), "malformed"),
        (status(200, b'{"kind": "Status"}'), "malformed"),
        (status(200, b'{"metadata": {"labels": [1]}}'), None),
        (status(200, b'{"metadata": {}}'), None),
    ],
)
def test_a_node_that_does_not_tell_costs_one_request_and_no_name(
    plant: Plant, caplog: pytest.LogCaptureFixture, fault: Fault, why: str | None
) -> None:
    caplog.set_level(logging.INFO)
    plant.server.faults["node"].append(fault)
    plant.server.change("ADDED", pod(1, 1))
    told = follow(plant, interval=0.02)
    wait_until(lambda: is_named(plant) and plant.server.count("pods") > 3)
    assert (told, plant.server.count("node")) == ([], 1)
    said = [record.getMessage() for record in caplog.records if record.name == "exporter.node"]
    assert len(said) == (why is not None)
    assert all(f"the instance type of node node1 is not known: {why}: " in line for line in said)


def test_what_fails_in_passing_is_tried_again_beside_the_pods(plant: Plant) -> None:
    plant.server.nodes["node1"] = {LABELS[0]: "n2-standard-8"}
    plant.server.faults["node"].extend([status(503), stream(b"{", is_cut=True), status(429)])
    told = follow(plant, interval=0.02)
    wait_until(lambda: told == ["n2-standard-8"])
    assert plant.server.count("node") == 4


def test_it_is_given_up_in_the_end(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    plant.server.faults["node"].extend([status(503)] * 9)
    follow(plant, interval=0.02)
    wait_until(lambda: plant.server.count("pods") > 9)
    assert plant.server.count("node") == 5
    assert caplog.text.count("is not known: server: ") == 1


def test_closing_ends_the_question(plant: Plant) -> None:
    plant.server.faults["node"].append(hang)
    follow(plant)
    wait_until(lambda: plant.server.count("node") == 1)
    assert plant.directory is not None
    plant.directory.close()
    assert not plant.directory._thread.is_alive()


@pytest.mark.parametrize("mode", ["apiserver", "kubelet"])
def test_the_directory_asks_where_it_is_wanted_in_either_mode(plant: Plant, mode: str) -> None:
    plant.server.nodes["node1"] = {LABELS[0]: "n2-standard-8"}
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": plant.server.port}
    kube = Kube(node_name="NODE1", mode=mode, kubelet_address=plant.server.url)
    told: list[str] = []
    for tell in (None, told.append):
        directory = open_pods(kube, environ, plant.folder, tell)
        wait_until(lambda: directory.status().is_current)  # noqa: B023  it is closed within the round
        directory.close()
    assert (told, plant.server.count("node")) == (["n2-standard-8"], 1)
