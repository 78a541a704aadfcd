"""Where a pod's part of a device is booked: the cgroup of the container that holds it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ebpf.fake import FakeCounterSource
from exporter.names.container_names import ContainerNames
from exporter.names.devices.pod_cgroups import PodCgroups
from exporter.names.devices.port import NoDevices
from exporter.names.pods import ContainerInfo, PodInfo
from exporter.names.resolver import WorkloadResolver
from tests.exporter.names.test_naming import FakePods
from tests.exporter.nodes import NO_SUCH_ROOT, UID, in_pod

POD = f"{0:08x}{UID[8:]}"
NAMES = {f"{1:064x}": ContainerInfo("sidecar"), f"{2:064x}": ContainerInfo("train")}


class Held(NoDevices):
    """Devices in the hands of one container of every pod."""

    def containers(self, pod_uid: str) -> tuple[str, ...]:
        return ("train",)


@pytest.fixture
def source() -> FakeCounterSource:
    return FakeCounterSource()


@pytest.fixture
def pods() -> FakePods:
    return FakePods(PodInfo(POD, "train-0", "ml", containers=NAMES))


@pytest.fixture
def cgroups(source: FakeCounterSource, pods: FakePods) -> PodCgroups:
    resolver = WorkloadResolver(source.directory, ContainerNames(NO_SUCH_ROOT), pods)
    return PodCgroups(source.directory, resolver, Held())


def test_it_is_the_container_that_holds_the_device(source: FakeCounterSource, cgroups: PodCgroups) -> None:
    source.add(in_pod(1))
    holding = source.add(in_pod(2))
    source.add(in_pod(3, pod=1))
    assert cgroups(POD) == holding
    assert cgroups("another") is None


def test_until_that_is_known_it_is_one_of_the_pod_s(
    source: FakeCounterSource, pods: FakePods, cgroups: PodCgroups
) -> None:
    (info,) = pods.known
    pods.known = [replace(info, containers={})]
    sidecar, holding = source.add(in_pod(1)), source.add(in_pod(2))
    assert cgroups(POD) == sidecar
    pods.known = [info]
    assert cgroups(POD) == holding


def test_a_container_that_was_restarted_is_found_anew(source: FakeCounterSource, cgroups: PodCgroups) -> None:
    before = source.add(in_pod(2))
    assert cgroups(POD) == before
    source.end(in_pod(2))
    assert cgroups(POD) is None
    after = source.add(in_pod(2))
    assert cgroups(POD) == after != before
