"""GPUs in a real cluster: a kubelet says who holds them, the kernel whose processes keep them busy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.names.devices.pod_resources import LIST, Holding, holdings
from exporter.names.devices.unary_call import UnaryCall
from exporter.names.kube.failure import Failure
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.images import BUSYBOX_IMAGE
from tests.e2e.cluster.place import NODE_NAME
from tests.e2e.kubernetes.device_plugin import DevicePlugin
from tests.e2e.kubernetes.gpu_node import GpuNode, Load, PlantedGpu
from tests.e2e.kubernetes.manifests import Manifest, pod_spec
from tests.e2e.kubernetes.releases import Release
from tests.e2e.kubernetes.truth import SeenPod, Truth
from tests.e2e.kubernetes.workloads import running_pods
from tests.exporter.nodes import Samples, parse, series

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

NAMESPACE = "e2e-gpus"
SHARED, WHOLE = "nvidia.com/gpu.shared", "nvidia.com/gpu"
GPUS = (PlantedGpu("GPU-shared", 50.0), PlantedGpu("GPU-held", 30.0), PlantedGpu("GPU-free", 20.0))
PARTS = {"train": 5, "serve": 3, "batch": 2}
PERCENT, WATTS, SECONDS = 10.0, 20.0, 40.0  # processes are looked at once a second: so wide are the edges


def holding(resource: str) -> Manifest:
    """A pod that has one device, and sleeps."""
    container = {
        "name": "main",
        "image": BUSYBOX_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "while :; do busybox sleep 3600; done"],
        "resources": {"limits": {resource: "1"}},
    }
    return pod_spec(container)


@pytest.fixture(scope="module")
def plugins(cluster: Cluster) -> Iterator[None]:
    """One GPU in three parts, one whole; the third is nobody's to have."""
    parts = [f"GPU-shared::{i}" for i in range(3)]
    with DevicePlugin(SHARED, parts), DevicePlugin(WHOLE, ["GPU-held"]):
        end = time.monotonic() + 60
        while cluster.get("node", NODE_NAME)["status"]["allocatable"].get(WHOLE) != "1":
            assert time.monotonic() < end, "the kubelet does not tell of the devices"
            time.sleep(0.5)
        yield


@pytest.fixture(scope="module")
def pods(cluster: Cluster, plugins: None) -> Iterator[dict[str, SeenPod]]:
    specs = dict.fromkeys(PARTS, holding(SHARED)) | {"holder": holding(WHOLE)}
    with running_pods(cluster, Truth(cluster), NAMESPACE, specs) as found:
        yield {pod.name: pod for pod in found}


@pytest.fixture(scope="module")
def pod_resources(cluster: Cluster) -> Path:
    return cluster.place.state / "kubelet/pod-resources"


def test_the_kubelet_s_answer_is_understood(pods: dict[str, SeenPod], pod_resources: Path) -> None:
    expected = {Holding(NAMESPACE, name, "main", "GPU-shared") for name in PARTS}
    expected.add(Holding(NAMESPACE, "holder", "main", "GPU-held"))
    assert holdings(UnaryCall(pod_resources / "kubelet.sock")(LIST)) == expected


def test_the_kubelet_says_when_it_is_asked_too_often(pods: dict[str, SeenPod], pod_resources: Path) -> None:
    call = UnaryCall(pod_resources / "kubelet.sock")

    def ask_on() -> None:
        for _ in range(200):
            call(LIST)

    with pytest.raises(Failure, match="rate limit") as refused:
        ask_on()
    assert refused.value.reason == "throttled"


@pytest.fixture(scope="module")
def ran(
    make_release: Callable[..., Release],
    pods: dict[str, SeenPod],
    pod_resources: Path,
    powercap: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Release, Samples, Samples]]:
    """The page before and after SECONDS in which three pods kept the shared GPU busy at 5:3:2."""
    node = GpuNode(tmp_path_factory.mktemp("gpus"), GPUS)
    values: dict[str, Any] = node.values(pod_resources, powercap)
    release = make_release("gpus", values=values)
    release.wait()
    time.sleep(15)  # what they draw idle is learned, and who holds what is asked
    before = parse(release.metrics())
    begin = time.time() + 2.0
    node.run(*(
        Load(0, pods[name].pids("main")[0], part * PERCENT, part * WATTS, begin, begin + SECONDS)
        for name, part in PARTS.items()
    ))  # fmt: skip
    time.sleep(SECONDS + 8.0)
    yield release, before, parse(release.metrics())
    release.uninstall()


Ran = tuple[Release, Samples, Samples]


def grown(ran: Ran, family: str, **labels: str) -> float:
    """By how much the counters with these labels went up."""
    _, before, after = ran
    found = [key for key in after if key[0] == family and labels.items() <= dict(key[1]).items()]
    assert found, (family, labels)
    return sum(after[key] - before.get(key, 0.0) for key in found)


def test_three_pods_on_one_gpu_pay_by_what_they_kept_busy(ran: Ran) -> None:
    for name, part in PARTS.items():
        joules = grown(ran, "kepler_pod_gpu_joules_total", pod_namespace=NAMESPACE, pod_name=name)
        assert joules == pytest.approx(part * WATTS * SECONDS, rel=0.02)


def test_what_a_pod_holds_and_does_not_use_is_on_its_account(ran: Ran) -> None:
    held = grown(ran, "podjoule_pod_gpu_idle_joules_total", pod_name="holder")
    assert held == pytest.approx(grown(ran, "kepler_node_gpu_joules_total", gpu_uuid="GPU-held"), rel=1e-6)
    each = grown(ran, "kepler_node_gpu_idle_joules_total", gpu_uuid="GPU-shared") / len(PARTS)
    for name in PARTS:
        assert grown(ran, "podjoule_pod_gpu_idle_joules_total", pod_name=name) == pytest.approx(
            each, rel=1e-6
        )
    assert not series(ran[2], "kepler_pod_gpu_joules_total", pod_name="holder")


def test_what_nobody_holds_is_the_node_s_and_all_of_it_adds_up(ran: Ran) -> None:
    free = grown(ran, "kepler_node_gpu_joules_total", gpu_uuid="GPU-free")
    assert free == grown(ran, "kepler_node_gpu_idle_joules_total", gpu_uuid="GPU-free") > 0
    parts = grown(ran, "kepler_node_gpu_idle_joules_total") + grown(ran, "kepler_pod_gpu_joules_total")
    parts += grown(ran, "podjoule_node_unattributed_joules_total", zone="gpu")
    assert parts == pytest.approx(grown(ran, "kepler_node_gpu_joules_total"), rel=1e-6)


def test_gpus_are_in_what_a_pod_emits(ran: Ran) -> None:
    _, _, after = ran
    (intensity,) = (
        value for key, value in after.items() if key[0] == "podjoule_grid_carbon_intensity_grams_per_kwh"
    )
    zones = {dict(key[1])["zone"] for key in after if key[0] == "podjoule_energy_zone_info"}
    assert "gpu" in zones
    joules = grown(ran, "kepler_pod_gpu_joules_total", pod_name="train")
    joules += sum(
        grown(ran, "kepler_pod_cpu_joules_total", pod_name="train", zone=zone) for zone in zones - {"gpu"}
    )
    grams = grown(ran, "podjoule_pod_carbon_grams_total", pod_name="train")
    assert grams == pytest.approx(joules / 3.6e6 * intensity, rel=1e-3)


def test_it_sees_neither_the_node_s_processes_nor_its_devices(ran: Ran) -> None:
    release, _, _ = ran
    spec = release.pod()["spec"]
    assert not any(spec.get(name) for name in ("hostPID", "hostNetwork", "hostIPC"))
    (container,) = spec["containers"]
    assert container["securityContext"]["privileged"] is False
    assert container["securityContext"]["capabilities"]["add"] == ["BPF", "PERFMON"]
