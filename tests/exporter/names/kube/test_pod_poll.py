"""The kubelet's list of pods, polled by the real client over real TLS."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from exporter.names.kube import follower as pod_follower
from exporter.names.kube.access import ServiceAccount
from exporter.names.kube.client import Endpoint
from tests.exporter.names.kube.kube_plant import LEFT_BY_SSL, Plant, errors, name_of, wait_until
from tests.exporter.names.kube.kube_server import (
    TOKEN,
    Exchange,
    hang,
    pod,
    pod_list,
    status,
    stream,
    uid,
    write_ca,
)

pytestmark = pytest.mark.filterwarnings(f"ignore:{LEFT_BY_SSL}:ResourceWarning")


def test_a_pod_that_is_asked_for_is_looked_for_before_its_time(plant: Plant) -> None:
    directory = plant.poll()
    wait_until(lambda: directory.status().is_current)
    plant.server.change("ADDED", pod(1, 1))
    wait_until(lambda: name_of(directory, f"{1:064x}"))
    assert name_of(directory, uid(1)) == "pod-1"
    assert not errors(directory)


def test_the_kubelet_is_not_asked_more_often_than_the_gap_allows(plant: Plant) -> None:
    directory = plant.poll(gap=0.3)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        directory.lookup("nobody")
        time.sleep(0.005)
    asked = [exchange.at for _, exchange in plant.server.requests]
    assert 3 <= len(asked) <= 5
    assert min(b - a for a, b in pairwise(asked)) >= 0.25


def test_what_was_asked_for_in_vain_is_not_asked_for_for_ever(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_follower, "ASK_SECONDS", 0.3)
    directory = plant.poll()
    directory.lookup("a sandbox")
    time.sleep(0.4)
    asked = plant.server.count("pods")
    for _ in range(40):
        directory.lookup("a sandbox")
        time.sleep(0.005)
    assert plant.server.count("pods") == asked


def test_it_is_asked_again_after_the_interval(plant: Plant) -> None:
    plant.poll(interval=0.1)
    wait_until(lambda: plant.server.count("pods") >= 3)


def test_pods_that_are_no_longer_listed_stay_known_for_a_while(plant: Plant) -> None:
    plant.add(2)
    directory = plant.poll(interval=0.1)
    wait_until(lambda: directory.status().pods == 2)
    plant.server.change("DELETED", pod(0, 0))
    wait_until(lambda: directory.status().pods == 1)
    assert name_of(directory, uid(0)) == "pod-0"


def test_a_kubelet_without_pods_writes_null(plant: Plant) -> None:
    plant.server.faults["pods"].append(status(200, b'{"kind":"PodList","metadata":{},"items":null}'))
    directory = plant.poll()
    wait_until(lambda: directory.status().is_current)
    assert directory.status().pods == 0


FAULTS = {
    "forbidden": (status(403), "forbidden"),
    "throttled": (status(429), "throttled"),
    "server error": (status(500), "server"),
    "not there": (status(404), "refused"),
    "cut": (stream(b'{"items":[{"metadata"', is_cut=True), "connection"),
    "HTML": (status(200, b"<html>"), "malformed"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_after_a_fault_names_stay_and_what_is_new_is_found(plant: Plant, case: str) -> None:
    fault, reason = FAULTS[case]
    plant.add(2)
    directory = plant.poll(interval=0.1)
    wait_until(lambda: directory.status().pods == 2)
    plant.server.faults["pods"].append(fault)
    wait_until(lambda: errors(directory))
    assert errors(directory) == {reason: 1}
    assert name_of(directory, uid(0)) == "pod-0"
    plant.server.change("ADDED", pod(4, 4))
    wait_until(lambda: name_of(directory, uid(4)))
    assert directory.status().is_current


def test_a_list_that_was_cut_takes_no_pod_away(plant: Plant) -> None:
    plant.add(3)
    whole = pod_list([pod(0, 0)], {})
    directory = plant.poll(interval=0.1)
    wait_until(lambda: directory.status().pods == 3)
    plant.server.faults["pods"].append(status(200, whole[:-2]))
    wait_until(lambda: errors(directory).get("malformed"))
    assert directory.status().pods == 3


def test_a_redirect_is_not_followed(plant: Plant) -> None:
    plant.server.faults["pods"].append(status(307, Location=f"{plant.server.url}/elsewhere"))
    directory = plant.poll()
    wait_until(lambda: directory.status().is_current)
    assert errors(directory) == {"refused": 1}
    assert {exchange.path for _, exchange in plant.server.requests} == {"/pods"}


def test_the_token_is_read_again(plant: Plant) -> None:
    directory = plant.poll(interval=0.1)
    wait_until(lambda: directory.status().is_current)
    plant.server.token = f"{TOKEN}2"
    wait_until(lambda: errors(directory).get("unauthorized"))
    plant.write_token(f"{TOKEN}2")
    wait_until(lambda: directory.status().is_current)


def other_ca(plant: Plant) -> None:
    other, _ = write_ca(plant.folder, "other")
    plant.ca.write_bytes(other.read_bytes())


def test_the_cluster_s_ca_is_not_believed_where_another_signed(plant: Plant) -> None:
    other_ca(plant)
    directory = plant.poll()
    wait_until(lambda: errors(directory).get("tls"))
    assert not plant.server.requests


def test_a_ca_of_its_own_goes_before_the_cluster_s(plant: Plant) -> None:
    own = plant.folder / "kubelet.crt"
    own.write_bytes(plant.ca.read_bytes())
    other_ca(plant)
    directory = plant.poll(Endpoint(ServiceAccount(plant.folder, ""), plant.server.url, ca=own))
    wait_until(lambda: directory.status().is_current)


def test_insecure_takes_any_certificate(plant: Plant) -> None:
    other_ca(plant)
    host = plant.server.url.replace("127.0.0.1", "localhost")
    directory = plant.poll(Endpoint(ServiceAccount(plant.folder, ""), host, insecure=True))
    wait_until(lambda: directory.status().is_current)
    assert not errors(directory)


def test_closing_does_not_wait_for_the_kubelet_or_the_interval(plant: Plant) -> None:
    for faults in ([], [hang]):
        plant.server.faults["pods"].extend(faults)
        before = plant.server.count("pods")
        directory = plant.poll()
        wait_until(lambda before=before: plant.server.count("pods") > before)
        time.sleep(0.1)
        began = time.monotonic()
        directory.close()
        assert time.monotonic() - began < 0.5
        assert not directory._thread.is_alive()


def test_a_mistake_of_ours_is_counted_and_the_thread_goes_on(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(exchange: Exchange) -> None:
        monkeypatch.setattr("exporter.names.kube.poll.read_list", lambda *_: 1 / 0)
        exchange.answer(200)

    plant.add(1)
    plant.server.faults["pods"].append(broken)
    directory = plant.poll()
    wait_until(lambda: errors(directory).get("internal"))
    monkeypatch.undo()
    wait_until(lambda: name_of(directory, uid(0)))
    assert "ZeroDivisionError" in caplog.text
