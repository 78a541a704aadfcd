"""Cgroup trees as runtimes and kubelets make them, for real and under load: names and conservation hold.

All of them lie below one cgroup, as with kubelet's --cgroup-root, so that a real kubelet leaves them alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.servers import Plant, Podjoule
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live import loads
from tests.live.sandbox import Cgroup, cgroup, hierarchies, stop

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

WATTS = {"package": 40.0, "dram": 6.0}
ZONE_IDS = {"package": "intel-rapl:0", "dram": "intel-rapl:0:0"}
TICK_SECONDS, LOAD_SECONDS = 0.2, 6
LEAST_SHARE, SHARE_STEP = 0.02, 0.003  # of a CPU; each load another, so that none passes for its neighbour


def digits(n: int) -> str:
    """64 hex digits that no other container here has."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"container {n}").hex * 2


def uid(n: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"pod {n}"))


def slice_uid(n: int) -> str:
    """As the systemd driver writes it, since "-" separates slices there."""
    return uid(n).replace("-", "_")


@dataclass(frozen=True)
class Expected:
    """A container, where it lies, and what its path says. runs_in: where below it the load runs.

    beside: a cgroup of its pod that is in no container.
    """

    path: str
    container_id: str
    runtime: str = ""
    pod_uid: str = ""
    runs_in: tuple[str, ...] = ("",)
    beside: str = ""


KIND_SLICE = (
    "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable"
)
BURSTABLE = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod"
CONFIG_HASH = uuid.uuid5(uuid.NAMESPACE_OID, "static pod").hex
CRIO_SLICE = f"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{slice_uid(8)}.slice"
OUTER = f"kubepods/burstable/pod{uid(5)}/{digits(5)}"

TREES = {
    "systemd driver, burstable": Expected(
        f"{BURSTABLE}{slice_uid(0)}.slice/cri-containerd-{digits(0)}.scope", digits(0), "containerd", uid(0)
    ),
    "systemd driver, guaranteed": Expected(
        f"kubepods.slice/kubepods-pod{slice_uid(1)}.slice/cri-containerd-{digits(1)}.scope",
        digits(1),
        "containerd",
        uid(1),
    ),
    "cgroupfs driver": Expected(f"kubepods/besteffort/pod{uid(2)}/{digits(2)}", digits(2), "", uid(2)),
    "kind, systemd driver": Expected(
        f"docker/{digits(90)}/{KIND_SLICE}-pod{slice_uid(3)}.slice/cri-containerd-{digits(3)}.scope",
        digits(3),
        "containerd",
        uid(3),
    ),
    "kind, systemd driver, seen from inside": Expected(
        f"{KIND_SLICE}-pod{slice_uid(11)}.slice/cri-containerd-{digits(11)}.scope",
        digits(11),
        "containerd",
        uid(11),
    ),
    "kind, cgroupfs driver": Expected(
        f"kubelet/kubepods/besteffort/pod{uid(4)}/{digits(4)}", digits(4), "", uid(4)
    ),
    "the pod's container with a docker in it": Expected(OUTER, digits(5), "", uid(5)),
    "docker in a pod": Expected(f"{OUTER}/docker/{digits(6)}", digits(6), "docker", uid(5)),
    "systemd in a container": Expected(
        f"system.slice/docker-{digits(7)}.scope",
        digits(7),
        "docker",
        runs_in=("init.scope", "system.slice/web.service", "user.slice/user-0.slice/session-1.scope"),
    ),
    "crio and its conmon": Expected(
        f"{CRIO_SLICE}/crio-{digits(8)}.scope",
        digits(8),
        "crio",
        uid(8),
        beside=f"{CRIO_SLICE}/crio-conmon-{digits(8)}.scope",
    ),
    "podman pod, systemd manager": Expected(
        f"machine.slice/machine-libpod_pod_{digits(91)}.slice/libpod-{digits(9)}.scope",
        digits(9),
        "podman",
        runs_in=("container",),
    ),
    "podman pod, cgroupfs manager": Expected(
        f"libpod_parent/{digits(92)}/libpod-{digits(10)}", digits(10), "podman"
    ),
    "static pod": Expected(
        f"{BURSTABLE}{CONFIG_HASH}.slice/cri-containerd-{digits(12)}.scope",
        digits(12),
        "containerd",
        CONFIG_HASH,
    ),
}


@dataclass(frozen=True)
class Measured:
    """used_seconds: what the kernel says of each container and all below it, by TREES' names; beside: of the
    cgroup beside it. joules: what each zone drew since the first reading."""

    text: str
    used_seconds: dict[str, float]
    beside_seconds: dict[str, float]
    joules: dict[str, float]

    def series(self, family: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of a family's series that have these labels."""
        rows = [line for line in self.text.splitlines() if line.startswith(f"{family}{{")]
        parsed = [(dict(re.findall(r'(\w+)="([^"]*)"', row)), float(row.rpartition(" ")[2])) for row in rows]
        return [(found, value) for found, value in parsed if labels.items() <= found.items()]

    def by_zone(self, family: str, **labels: str) -> dict[str, float]:
        sums: dict[str, float] = defaultdict(float)
        for found, value in self.series(family, **labels):
            sums[found["zone"]] += value
        return sums


def make(root: Cgroup, path: str) -> Cgroup:
    """A cgroup and those above it, in every hierarchy."""
    made = root
    for name in path.split("/"):
        made = made.child(name)
        for version in made.mounts:
            made.folder(version).mkdir(exist_ok=True)
    return made


def make_tree(root: Cgroup, tree: Expected) -> None:
    for below in tree.runs_in:
        make(root, f"{tree.path}/{below}".rstrip("/"))
    if tree.beside:
        make(root, tree.beside)


@contextlib.contextmanager
def loaded(root: Cgroup) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A steady load in every place where a tree has one."""
    places = [f"{tree.path}/{below}".rstrip("/") for tree in TREES.values() for below in tree.runs_in]
    places += [tree.beside for tree in TREES.values() if tree.beside]
    running = [
        root.child(place).python(loads.STEADY, str(LEAST_SHARE + SHARE_STEP * i))
        for i, place in enumerate(places)
    ]
    try:
        yield running
    finally:
        stop(*running)


def freeze(running: list[subprocess.Popen[bytes]]) -> None:
    """So that the kernel's figures and ours are of the same moment."""
    for process in running:
        os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(6 * TICK_SECONDS)


def seconds_of(root: Cgroup, path: str, version: str) -> float:
    return root.child(path).used_ns(version) / 1e9 if path else 0.0


def measure(version: str, folder: Path) -> Measured:
    """Half of the trees are there when podjoule starts, half are made under its eyes."""
    tree = RaplTree(folder / "sys")
    for zone, zone_id in ZONE_IDS.items():
        tree.add_zone(zone_id, "package-0" if zone == "package" else zone)
    first, later = list(TREES.values())[::2], list(TREES.values())[1::2]
    options = [
        f"--monitor.interval={int(TICK_SECONDS * 1000)}ms",
        f"--ebpf.cgroup-hierarchy={version}",
        f"--host.powercap={folder}/sys/class/powercap",
        "--kube.enabled=false",
        "--model.calibration=off",
    ]
    with cgroup("trees") as root:
        for each in first:
            make_tree(root, each)
        with Podjoule(*options, log=folder / "podjoule.log") as podjoule:
            for each in later:
                make_tree(root, each)
            with loaded(root) as running:
                with Plant(tree, {ZONE_IDS[zone]: watts for zone, watts in WATTS.items()}):
                    time.sleep(LOAD_SECONDS)
                freeze(running)
                return Measured(
                    podjoule.metrics(),
                    {name: seconds_of(root, each.path, version) for name, each in TREES.items()},
                    {name: seconds_of(root, each.beside, version) for name, each in TREES.items()},
                    {zone: tree.energy_uj(zone_id) / 1e6 for zone, zone_id in ZONE_IDS.items()},
                )


@pytest.fixture(scope="module", params=list(hierarchies()))
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measure(request.param, tmp_path_factory.mktemp(f"trees-{request.param}"))


@pytest.mark.parametrize("name", TREES)
def test_a_container_has_its_labels(measured: Measured, name: str) -> None:
    expected = TREES[name]
    rows = measured.series("kepler_container_cpu_seconds_total", container_id=expected.container_id)
    assert len(rows) == 1, "one container, one series"
    labels = rows[0][0]
    assert (labels["runtime"], labels["pod_id"]) == (expected.runtime, expected.pod_uid)


def own_seconds(measured: Measured, name: str) -> float:
    """Without the containers that lie in it: they are workloads of their own."""
    path = TREES[name].path
    inner = [other for other, tree in TREES.items() if tree.path.startswith(f"{path}/")]
    return measured.used_seconds[name] - sum(measured.used_seconds[other] for other in inner)


@pytest.mark.parametrize("name", TREES)
def test_its_cpu_seconds_are_the_kernels(measured: Measured, name: str) -> None:
    used_seconds = own_seconds(measured, name)
    assert used_seconds > LEAST_SHARE * LOAD_SECONDS / 3, "the load hardly ran"
    rows = measured.series("kepler_container_cpu_seconds_total", container_id=TREES[name].container_id)
    assert rows[0][1] == pytest.approx(used_seconds, rel=0.01, abs=0.02)


def test_the_joules_of_all_are_the_zones(measured: Measured) -> None:
    parts = [
        measured.by_zone("kepler_pod_cpu_joules_total"),
        measured.by_zone("kepler_container_cpu_joules_total", pod_id=""),
        measured.by_zone("kepler_vm_cpu_joules_total"),
        measured.by_zone("podjoule_cgroup_cpu_joules_total"),
        measured.by_zone("kepler_node_cpu_idle_joules_total"),
        measured.by_zone("podjoule_node_unattributed_joules_total"),
    ]
    node = measured.by_zone("kepler_node_cpu_joules_total")
    for zone, joules in measured.joules.items():
        assert joules > WATTS[zone] * LOAD_SECONDS * 0.9
        assert node[zone] == pytest.approx(joules, rel=1e-9)
        assert sum(part[zone] for part in parts) == pytest.approx(joules, rel=1e-9)


@pytest.mark.parametrize("pod_uid", sorted({tree.pod_uid for tree in TREES.values()} - {""}))
def test_a_pod_is_its_containers_and_what_runs_beside_them(measured: Measured, pod_uid: str) -> None:
    pod = measured.by_zone("kepler_pod_cpu_joules_total", pod_id=pod_uid)
    containers = measured.by_zone("kepler_container_cpu_joules_total", pod_id=pod_uid)
    names = [name for name, tree in TREES.items() if tree.pod_uid == pod_uid]
    beside_seconds = sum(measured.beside_seconds[name] for name in names)
    for zone, joules in containers.items():
        assert joules > 0
        if not beside_seconds:
            assert pod[zone] == pytest.approx(joules, rel=1e-9)
            continue
        ratio = beside_seconds / sum(own_seconds(measured, name) for name in names)
        assert pod[zone] / joules == pytest.approx(1 + ratio, rel=0.1)
