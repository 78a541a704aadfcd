"""The cluster, podjoule in every mode and hierarchy, the pods it measures, and a Prometheus: started once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import images
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.kubernetes.discovery import DiscoveringPrometheus
from tests.e2e.kubernetes.releases import NAMESPACE, REPOSITORY, TAG, Release
from tests.e2e.kubernetes.truth import Truth
from tests.e2e.kubernetes.workloads import Workloads
from tests.e2e.servers import Plant
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live.sandbox import hierarchies, mounted_bpffs

WATTS = {"package": 40.0, "dram": 6.0}
MODES = ("apiserver", "kubelet")


def release_names() -> list[str]:
    """Every mode in every cgroup hierarchy of this machine."""
    return [f"{mode}-{hierarchy}" for mode in MODES for hierarchy in hierarchies()]


@pytest.fixture(scope="session")
def image(cluster: Cluster) -> str:
    """deploy/Dockerfile's default target, on the node."""
    name = f"{REPOSITORY}:{TAG}"
    images.build(cluster.place, name)
    return name


@pytest.fixture(scope="session")
def powercap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Counters on the node that count WATTS; the path of the directory as the chart takes it."""
    sysfs = tmp_path_factory.mktemp("node") / "sys"
    tree = RaplTree(sysfs)
    tree.add_zone("intel-rapl:0", "package-0")
    tree.add_zone("intel-rapl:0:0", "dram")
    with Plant(tree, {"intel-rapl:0": WATTS["package"], "intel-rapl:0:0": WATTS["dram"]}):
        yield sysfs / "devices/virtual/powercap"


@pytest.fixture(scope="session")
def bpffs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bpffs on the node, as systemd mounts one at /sys/fs/bpf."""
    with mounted_bpffs(tmp_path_factory.mktemp("bpf")) as mount:
        yield mount


@pytest.fixture(scope="session")
def make_release(cluster: Cluster, image: str, powercap: Path) -> Iterator[Callable[..., Release]]:
    """A function that makes a Release, by default one that reads `powercap`; uninstalled in the end."""
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.kubectl, "delete", "namespace", NAMESPACE, "--ignore-not-found")

        def make(name: str, **options: object) -> Release:
            release = Release(cluster, name, **{"powercap": powercap, **options})  # type: ignore[arg-type]
            stack.callback(release.uninstall)
            release.install()
            return release

        yield make


@pytest.fixture(scope="session")
def releases(make_release: Callable[..., Release]) -> dict[str, Release]:
    """podjoule in every mode and hierarchy at the same time, by name; all of them ready.

    They learn nothing: watts that no load moves are idle, once that is learned, and nobody's.
    """
    made = {}
    for name in release_names():
        mode, hierarchy = name.split("-")
        config = {
            "monitor": {"interval": "1s"},
            "ebpf": {"cgroupHierarchy": hierarchy},
            "calibration": "off",
        }
        made[name] = make_release(name, mode=mode, hierarchy=hierarchy, values={"config": config})
    for release in made.values():
        release.wait()
    return made


@pytest.fixture(params=release_names())
def release(request: pytest.FixtureRequest, releases: dict[str, Release]) -> Release:
    """Each of them in turn."""
    return releases[request.param]


@pytest.fixture(scope="session")
def prometheus(
    cluster: Cluster,
    releases: dict[str, Release],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[DiscoveringPrometheus]:
    """It scrapes every release."""
    with DiscoveringPrometheus(cluster, tmp_path_factory.mktemp("discovery")) as prometheus:
        prometheus.wait_for("count(up == 1)", lambda found: found == len(releases))
        yield prometheus


@pytest.fixture(scope="session")
def truth(cluster: Cluster) -> Truth:
    """What the cluster says."""
    return Truth(cluster)


@pytest.fixture(scope="session")
def workloads(
    cluster: Cluster,
    prometheus: DiscoveringPrometheus,
    truth: Truth,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Workloads]:
    """The pods that are measured, made while everything looks on."""
    with Workloads(cluster, tmp_path_factory.mktemp("shared")) as workloads:
        truth.look()
        yield workloads
