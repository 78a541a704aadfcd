"""Which pod holds which device: the kubelet's socket, asked by the real client over real HTTP/2."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.configuration.option_tree import Kube
from exporter.names.devices.followed import FollowedDevices
from exporter.names.devices.opening import open_devices
from exporter.names.devices.pod_resources import holdings
from exporter.names.devices.port import NoDevices
from exporter.names.devices.unary_call import UnaryCall
from exporter.names.kube.backoff import Backoff
from exporter.names.kube.health import PodHealth
from exporter.names.kube.pod_store import PodStore
from exporter.names.pods import DirectoryStatus, NoPods, PodInfo
from tests.exporter.names.devices.kubelet_socket import (
    Fault,
    KubeletSocket,
    cut,
    framed,
    hang,
    hang_amid,
    listed,
    message,
    page,
    raw,
    refuse,
)

GPU, OTHER_GPU, MIG = "GPU-6f0c", "GPU-93aa", "MIG-1b2c"


class Pods:
    """What Kubernetes has said of pods, as a PodDirectory."""

    def __init__(self, *pods: PodInfo) -> None:
        self.store = PodStore()
        for pod in pods:
            self.store.put(pod)

    def named(self, namespace: str, name: str) -> PodInfo | None:
        return self.store.named(namespace, name)

    def lookup(self, key: str) -> PodInfo | None:
        return self.store.find(key)

    def status(self) -> DirectoryStatus:
        return DirectoryStatus({}, True, len(self.store))

    def close(self) -> None:
        """Nothing was opened."""


class Plant:
    """A kubelet and who follows it."""

    def __init__(self, folder: Path) -> None:
        self.server = KubeletSocket(folder / "kubelet.sock")
        self.pods = Pods(PodInfo("uid-train", "train", "ml"), PodInfo("uid-serve", "serve", "ml"))
        self._followed: list[FollowedDevices] = []

    def follow(self, interval: float = 0.05, deadline: float = 5.0) -> FollowedDevices:
        directory = FollowedDevices(
            UnaryCall(self.server.path, deadline),
            self.pods,
            PodHealth("the kubelet", kept="devices stay"),
            interval,
            Backoff(0.05, 0.4),
        )
        self._followed.append(directory)
        directory.start()
        return directory

    def close(self) -> None:
        for directory in self._followed:
            directory.close()
        self.server.stop()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(tmp_path)
    yield plant
    plant.close()


def wait_until(is_so: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def errors(directory: FollowedDevices) -> dict[str, int]:
    return {reason: n for reason, n in directory.status().errors.items() if n}


def test_a_device_is_its_pod_s(plant: Plant) -> None:
    plant.server.devices["ml", "train"] = {"nvidia.com/gpu": [GPU, OTHER_GPU], "smarter/kvm": ["kvm0"]}
    plant.server.devices["ml", "serve"] = {"nvidia.com/mig-1g.5gb": [MIG]}
    plant.server.devices["ml", "idle"] = {}
    directory = plant.follow()
    wait_until(lambda: directory.status().is_current)
    train, serve = ("uid-train",), ("uid-serve",)
    assert directory.holders() == {GPU: train, OTHER_GPU: train, "kvm0": train, MIG: serve}
    assert directory.of("uid-train") == (GPU, OTHER_GPU, "kvm0")
    assert directory.containers("uid-train") == ("main",)
    assert directory.status().pods == 2


@pytest.mark.parametrize("replica", ["::", "/vgpu"])
def test_replicas_of_a_time_sliced_gpu_are_one_device_of_several_pods(plant: Plant, replica: str) -> None:
    plant.server.devices["ml", "train"] = {"nvidia.com/gpu.shared": [f"{GPU}{replica}0", f"{GPU}{replica}3"]}
    plant.server.devices["ml", "serve"] = {"nvidia.com/gpu.shared": [f"{GPU}{replica}12"]}
    directory = plant.follow()
    wait_until(lambda: directory.status().is_current)
    assert directory.holders() == {GPU: ("uid-serve", "uid-train")}


def test_a_pod_that_nobody_knows_or_that_is_over_holds_nothing(plant: Plant) -> None:
    plant.server.devices["ml", "stranger"] = {"nvidia.com/gpu": [GPU]}
    plant.server.devices["ml", "train"] = {"nvidia.com/gpu": [OTHER_GPU]}
    directory = plant.follow()
    wait_until(directory.holders)
    plant.pods.store.put(PodInfo("uid-train", "train", "ml", phase="Succeeded"))
    assert not directory.holders()
    plant.pods.store.put(PodInfo("uid-stranger", "stranger", "ml", phase="Running"))
    assert directory.holders() == {GPU: ("uid-stranger",)}


def test_a_pod_that_took_another_s_name_has_its_device(plant: Plant) -> None:
    plant.server.devices["ml", "train"] = {"nvidia.com/gpu": [GPU]}
    directory = plant.follow()
    wait_until(directory.holders)
    plant.pods.store.put(PodInfo("uid-new", "train", "ml"))
    plant.pods.store.remove("uid-train")
    assert directory.holders() == {GPU: ("uid-new",)}
    plant.pods.store.remove("uid-new")
    assert not directory.holders()


FAULTS: dict[str, tuple[Fault, str]] = {
    "asked too often": (refuse(8, "rejected by rate limit"), "throttled"),
    "not allowed": (refuse(7), "forbidden"),
    "an older kubelet": (refuse(12, "unknown service v1.PodResourcesLister"), "refused"),
    "its own error": (refuse(13), "server"),
    "a status from nowhere": (refuse(99), "server"),
    "cut": (cut, "connection"),
    "another protocol": (raw(b"HTTP/1.1 400 Bad Request\r\n\r\nwhat?" * 20), "connection"),
    "data of no stream": (raw(b"\0\0\5\0\0\0\0\0\0abcde"), "malformed"),
    "no gRPC": (page, "malformed"),
    "no message": (framed(b"\0\0"), "malformed"),
    "a wrong length": (framed(b"\0\0\0\0\x09abc"), "malformed"),
    "packed": (framed(b"\1\0\0\0\x03abc"), "malformed"),
    "no protocol buffer": (message(b"\x0f\xff\xff"), "malformed"),
    "a name that is no text": (message(b"\x0a\x04\x0a\x02\xff\xfe\x1a\x00"), "malformed"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_after_a_fault_devices_stay_and_what_is_new_is_found(
    plant: Plant, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault, reason = FAULTS[case]
    plant.server.devices["ml", "train"] = {"nvidia.com/gpu": [GPU]}
    directory = plant.follow()
    wait_until(directory.holders)
    with caplog.at_level(logging.INFO, "exporter.pods"):
        plant.server.faults.append(fault)
        wait_until(lambda: errors(directory))
        assert directory.holders() == {GPU: ("uid-train",)}
        plant.server.devices["ml", "serve"] = {"nvidia.com/mig-1g.5gb": [MIG]}
        wait_until(lambda: MIG in directory.holders() and "answers again" in caplog.text)
    assert errors(directory) == {reason: 1}
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith(f"the kubelet: {reason}: ")
    assert "devices stay, next try in" in told[0]
    assert told[1:] == [f"the kubelet: answers again ({reason} is over)"]


def test_who_is_asked_too_often_is_left_alone_for_longer_each_time(plant: Plant) -> None:
    plant.server.faults.extend([refuse(8)] * 100)
    directory = plant.follow(interval=0.001)
    time.sleep(1.0)
    # 0.05, 0.1, 0.2, 0.4 s and so on, or half of them at the least.
    assert 3 <= errors(directory)["throttled"] <= 8


@pytest.mark.parametrize("fault", [hang, hang_amid])
def test_a_kubelet_that_hangs_is_asked_again_and_holds_nobody(plant: Plant, fault: Fault) -> None:
    plant.server.devices["ml", "train"] = {"nvidia.com/gpu": [GPU]}
    plant.server.faults.append(fault)
    directory = plant.follow(deadline=0.3)
    asked = [time.monotonic()]
    for _ in range(5):
        assert not directory.holders()
        asked.append(time.monotonic())
    assert median(later - before for before, later in pairwise(asked)) < 0.01
    wait_until(directory.holders)
    assert errors(directory) == {"timeout": 1}


def test_a_kubelet_that_is_gone_and_comes_back(plant: Plant) -> None:
    plant.server.devices["ml", "train"] = {"nvidia.com/gpu": [GPU]}
    directory = plant.follow()
    wait_until(directory.holders)
    plant.server.stop()
    wait_until(lambda: not directory.status().is_current)
    assert directory.holders() == {GPU: ("uid-train",)}
    plant.server.devices.clear()
    plant.server.start()
    wait_until(lambda: directory.status().is_current)
    assert not directory.holders()
    assert set(errors(directory)) == {"connection"}


def test_closing_does_not_wait_for_the_kubelet_or_the_interval(plant: Plant) -> None:
    for faults in ([], [hang]):
        plant.server.faults.extend(faults)
        before = len(plant.server.calls)
        directory = plant.follow(interval=60)
        wait_until(lambda before=before: len(plant.server.calls) > before)
        time.sleep(0.05)
        began = time.monotonic()
        directory.close()
        assert time.monotonic() - began < 0.5
        assert not directory._thread.is_alive()


def test_a_long_answer_comes_whole(plant: Plant) -> None:
    """Past HTTP/2's first window of 64 KiB, which the client must open again and again."""
    for n in range(500):
        plant.server.devices["ml", f"pod-{n}"] = {"nvidia.com/gpu": [f"GPU-{n:036d}::{i}" for i in range(16)]}
        plant.pods.store.put(PodInfo(f"uid-{n}", f"pod-{n}", "ml"))
    assert len(listed(plant.server.devices)) > 6 << 16
    directory = plant.follow()
    wait_until(lambda: len(directory.holders()) == 500)
    assert not errors(directory)


def test_a_mistake_of_ours_is_counted_and_the_thread_goes_on(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.server.devices["ml", "train"] = {"nvidia.com/gpu": [GPU]}
    monkeypatch.setattr("exporter.names.devices.followed.holdings", lambda _: 1 / 0)
    directory = plant.follow()
    wait_until(lambda: errors(directory).get("internal"))
    monkeypatch.undo()
    wait_until(directory.holders)


@given(st.binary(max_size=60))
def test_whatever_bytes_come_they_are_a_list_or_a_value_error(answer: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert all(isinstance(holding.device, str) for holding in holdings(answer))


@given(st.integers(0, 400))
def test_a_list_that_was_cut_is_a_shorter_list_or_an_error(end: int) -> None:
    whole = listed({("ml", "train"): {"nvidia.com/gpu": [GPU]}, ("ml", "serve"): {"nvidia.com/gpu": [MIG]}})
    with contextlib.suppress(ValueError):
        assert holdings(whole[:end]) <= holdings(whole)


def test_without_a_kubelet_or_names_of_pods_nobody_is_asked(plant: Plant, tmp_path: Path) -> None:
    nowhere, here = tmp_path / "none/kubelet.sock", plant.server.path
    assert isinstance(open_devices(Kube(pod_resources=nowhere), plant.pods), NoDevices)
    assert isinstance(open_devices(Kube(pod_resources=here), NoPods()), NoDevices)
    assert not plant.server.calls


def test_without_h2_it_is_said_and_nobody_is_asked(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "exporter.names.devices.following", raising=False)
    monkeypatch.delitem(sys.modules, "exporter.names.devices.unary_call", raising=False)
    monkeypatch.setitem(sys.modules, "h2.connection", None)
    assert isinstance(open_devices(Kube(pod_resources=plant.server.path), plant.pods), NoDevices)
    assert "install podjoule[gpu]" in caplog.text


def test_the_kubelet_s_socket_may_come_later_than_we(plant: Plant) -> None:
    plant.server.stop()
    directory = open_devices(Kube(pod_resources=plant.server.path), plant.pods)
    wait_until(lambda: sum(directory.status().errors.values()))
    plant.server.devices["ml", "train"] = {"nvidia.com/gpu": [GPU]}
    plant.server.start()
    wait_until(directory.holders)
    directory.close()
