"""Pods on GPUs, from the driver's library to the page: what they use is theirs, and what they reserve."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest

from estimator.energy import ZoneEnergy
from estimator.gpu.activity import Activity, ActivityLog, Look
from estimator.gpu.meter import PERIOD_SECONDS, GpuMeter
from estimator.gpu.nvml import NvmlLibrary
from estimator.gpu.port import Gpu
from estimator.meters.fake import FakeMeter
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import ZoneReading
from estimator.meters.several import SeveralMeters
from exporter.tick.gpus import Gpus
from tests.estimator.gpu.plant import Load, Plant, PlantedGpu, load_library
from tests.exporter.nodes import (
    NODE,
    TOP_UJ,
    UID,
    Node,
    Samples,
    container,
    in_pod,
    of,
    series,
    write_process,
)
from tests.exporter.tick.test_measurement import assert_conserved

EVERYTHING = (*NODE, "process")
NODE_JOULES, IDLE_JOULES = "kepler_node_gpu_joules_total", "kepler_node_gpu_idle_joules_total"
POD_JOULES, RESERVED = "kepler_pod_gpu_joules_total", "podjoule_pod_gpu_idle_joules_total"
UNATTRIBUTED = "podjoule_node_unattributed_joules_total"


def uid(pod: int) -> str:
    return f"{pod:08x}{UID[8:]}"


class Machine:
    """A node with planted GPUs, read ten times a second of its own time. pids: by PID, the cgroup's path."""

    def __init__(self, plant: Plant, levels: tuple[str, ...] = NODE, procfs: Path | None = None) -> None:
        self.plant, self.pids = plant, dict[int, str]()
        self.held: Mapping[str, tuple[str, ...]] = {}
        self.package_uj = 0
        plant.at(0.0)
        seen = ActivityLog()
        gpus = GpuMeter(NvmlLibrary(lambda: plant.unix_seconds), seen, self, lambda: plant.boottime_ns)
        self.energy = MeteredEnergy(gpus, suspended_ns=lambda: 0)
        package = MeteredEnergy(FakeMeter(iter(self._package, None)), suspended_ns=lambda: 0)
        self.gpus = Gpus(
            [seen],
            by_process="process" in levels,
            holders=lambda: self.held,
            cgroup_of_pod=self._cgroup_of_pod,
        )
        self.node = Node(
            energy=SeveralMeters([package, self.energy], clock=lambda: plant.boottime_ns),
            gpus=self.gpus,
            levels=levels,
            **({"procfs": procfs} if procfs else {}),
        )

    def _cgroup_of_pod(self, pod: str) -> int | None:
        return self.node.measurement._resolver.cgroup_of_pod(pod)

    def _package(self) -> Sequence[ZoneReading]:
        return [ZoneReading("package", 0, "package-0", self.package_uj, TOP_UJ, self.plant.boottime_ns)]

    def cgroups(self, pids: Collection[int]) -> Mapping[int, int]:
        now = self.plant.seconds or 0.0
        alive = {each.pid for each in self.plant.loads if each.begin <= now < each.end}
        ids = self.node.source._id_of
        return {pid: ids[self.pids[pid]] for pid in pids if pid in alive and self.pids.get(pid) in ids}

    def close(self) -> None:
        pass

    def run(self, pid: int, path: str, sm: float, watts: float, **rest: float) -> None:
        """A process of a cgroup on the first GPU."""
        if path not in self.node.source._id_of:
            self.node.source.add(path)
        self.pids[pid] = path
        self.plant.loads.append(Load(0, pid, sm, watts, **rest))  # type: ignore[arg-type]

    def play(self, seconds: float, tick_seconds: float = 5.0) -> Samples:
        """Let time pass; what is on the page then."""
        samples: Samples = {}
        for _ in range(round(seconds / tick_seconds)):
            begin = self.plant.seconds or 0.0
            for i in range(1, round(tick_seconds / PERIOD_SECONDS)):
                self.plant.at(begin + i * PERIOD_SECONDS)
                self.energy.poll()
            self.plant.at(begin + tick_seconds)
            samples = self.node.tick(tick_seconds)
        return samples


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A GPU that nobody has had for a while."""
    load_library()
    plant = Plant(tmp_path / "plant", [PlantedGpu("GPU-a", idle_watts=60.0)])
    monkeypatch.setenv("NVML_PLANT", str(plant.path))
    made = Machine(plant)
    made.play(10.0)
    return made


def assert_gpus_conserved(samples: Samples) -> None:
    parts = (
        of(samples, IDLE_JOULES),
        of(samples, POD_JOULES),
        of(samples, "kepler_container_gpu_joules_total", pod_id=""),
        of(samples, "podjoule_vm_gpu_joules_total"),
        of(samples, "podjoule_cgroup_gpu_joules_total"),
        of(samples, UNATTRIBUTED, zone="gpu"),
    )
    assert math.fsum(parts) == pytest.approx(of(samples, NODE_JOULES), rel=1e-9)


def pod_joules(samples: Samples, *pods: int, name: str = POD_JOULES) -> list[float]:
    return [of(samples, name, pod_id=uid(pod)) for pod in pods]


def test_three_pods_on_one_gpu_share_it_as_they_kept_it_busy(machine: Machine) -> None:
    for number, (sm, watts) in {5: (50, 200.0), 3: (30, 120.0), 2: (20, 80.0)}.items():
        machine.run(number, in_pod(number, number), sm, watts, begin=10.0)
    samples = machine.play(60.0)
    joules = pod_joules(samples, 5, 3, 2)
    assert joules == pytest.approx([200.0 * 60, 120.0 * 60, 80.0 * 60], rel=0.02)
    assert of(samples, NODE_JOULES) == pytest.approx(machine.plant.joules(0, 0.0, 70.0), rel=5e-3)
    assert_gpus_conserved(samples)


@pytest.mark.parametrize("tick_seconds", [0.5, 1.0, 3.0])
def test_whatever_the_interval_is(machine: Machine, tick_seconds: float) -> None:
    machine.run(5, in_pod(5, 5), 50, 200.0, begin=10.0)
    machine.run(3, in_pod(3, 3), 25, 100.0, begin=10.0)
    joules = pod_joules(machine.play(30.0, tick_seconds), 5, 3)
    assert joules == pytest.approx([6000.0, 3000.0], rel=0.02)


def test_cpu_families_know_nothing_of_gpus(machine: Machine) -> None:
    machine.run(5, in_pod(5, 5), 50, 200.0, begin=10.0)
    machine.node.source.add(container(1))
    machine.node.source.use(container(1), 1.0)
    machine.package_uj += 30_000_000
    samples = machine.play(10.0)
    assert {dict(labels).get("zone", "package") for name, labels in samples if "_cpu_" in name} == {"package"}
    assert of(samples, "kepler_container_cpu_joules_total", container_id=f"{5:064x}") == 0.0
    assert of(samples, "kepler_container_gpu_joules_total", container_id=f"{5:064x}") > 0.0
    assert not series(samples, "kepler_container_gpu_joules_total", container_id=f"{1:064x}")
    assert_conserved(samples, "package")
    assert_gpus_conserved(samples)


def test_a_gpu_is_told_by_index_uuid_and_name(machine: Machine) -> None:
    (labels,) = series(machine.play(5.0), "kepler_node_gpu_info")
    assert {
        "gpu": "0",
        "gpu_uuid": "GPU-a",
        "gpu_name": "NVIDIA H100 80GB HBM3",
        "vendor": "nvidia",
    }.items() <= (dict(labels[1]).items())


def test_two_instances_are_apart(machine: Machine) -> None:
    plant = machine.plant
    plant.gpus[0].mig = 1
    plant.instances = [(0, 1, 3, "MIG-a"), (0, 2, 2, "MIG-b")]
    machine.play(10.0)
    before = machine.node.samples()
    machine.run(1, in_pod(1, 1), 50, 150.0, begin=20.0, gi=1)
    machine.run(2, in_pod(2, 2), 25, 50.0, begin=20.0, gi=2)
    samples = machine.play(60.0)
    joules = pod_joules(samples, 1, 2)
    assert joules == pytest.approx([150.0 * 60, 50.0 * 60], rel=0.02)
    for instance, drawn in (("MIG-a", joules[0]), ("MIG-b", joules[1])):
        active = of(samples, "kepler_node_gpu_active_joules_total", gpu_uuid=instance)
        assert active - of(before, "kepler_node_gpu_active_joules_total", gpu_uuid=instance) == (
            pytest.approx(drawn, rel=1e-9)
        )
    idle = of(samples, IDLE_JOULES, gpu_uuid="MIG-a") - of(before, IDLE_JOULES, gpu_uuid="MIG-a")
    assert idle == pytest.approx(60.0 * 60 * 3 / 7, rel=0.02)
    assert_gpus_conserved(samples)


def test_a_pod_that_reserves_a_gpu_and_idles_has_its_idle_energy(machine: Machine) -> None:
    machine.node.source.add(in_pod(1, 1))
    before = of(machine.node.samples(), IDLE_JOULES)
    machine.held = {"GPU-a": (uid(1),)}
    samples = machine.play(60.0)
    assert pod_joules(samples, 1, name=RESERVED) == [pytest.approx(60.0 * 60, rel=5e-3)]
    assert of(samples, IDLE_JOULES) - before == pytest.approx(of(samples, RESERVED), rel=1e-9)
    assert not series(samples, POD_JOULES)


def test_a_gpu_that_nobody_reserved_idles_on_nobodys_account(machine: Machine) -> None:
    machine.node.source.add(in_pod(1, 1))
    assert not series(machine.play(10.0), RESERVED)


def test_the_idle_policy_none_gives_it_to_nobody(machine: Machine) -> None:
    machine.gpus._is_reserved_idle = False
    machine.node.source.add(in_pod(1, 1))
    machine.held = {"GPU-a": (uid(1),)}
    assert not series(machine.play(10.0), RESERVED)


def test_a_shared_gpu_idles_on_the_account_of_all_who_hold_it(machine: Machine) -> None:
    for pod in (1, 2):
        machine.node.source.add(in_pod(pod, pod))
    machine.held = {"GPU-a": (uid(1), uid(2), "a pod that is not here yet")}
    one, other = pod_joules(machine.play(10.0), 1, 2, name=RESERVED)
    assert one == other == pytest.approx(300.0, rel=5e-3)


def test_where_processes_are_not_told_active_energy_is_of_who_holds_the_gpu(machine: Machine) -> None:
    refused = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetProcessUtilization")
    machine.plant.faults = [f"fail {name} 3" for name in refused]
    for pod in (1, 2):
        machine.run(pod, in_pod(pod, pod), 40, 150.0, begin=12.0)
    machine.held = {"GPU-a": (uid(1), uid(2))}
    samples = machine.play(60.0)
    assert pod_joules(samples, 1, 2) == pytest.approx([150.0 * 58] * 2, rel=0.02)
    assert_gpus_conserved(samples)


def test_a_pods_own_cgroup_takes_what_no_container_is_known_for(machine: Machine) -> None:
    machine.node.source.add(in_pod(1, 1))
    machine.node.source.add(in_pod(1, 1).rpartition("/")[0])
    machine.plant.faults = [
        f"fail {name} 3"
        for name in ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetProcessUtilization")
    ]
    machine.run(1, in_pod(1, 1), 40, 150.0, begin=12.0)
    machine.held = {"GPU-a": (uid(1),)}
    samples = machine.play(20.0)
    assert pod_joules(samples, 1) > [0.0]
    assert not series(samples, "kepler_container_gpu_joules_total")


def test_a_process_that_ends_between_two_ticks_keeps_its_part(machine: Machine) -> None:
    machine.run(1, in_pod(1, 1), 50, 200.0, begin=10.5, end=13.5)
    machine.run(2, in_pod(2, 2), 50, 200.0, begin=10.5)
    machine.play(3.5, 3.5)
    machine.node.source.end(in_pod(1, 1))
    samples = machine.play(10.0)
    assert pod_joules(samples, 1) == [pytest.approx(200.0 * 3, rel=0.15)]
    assert of(samples, UNATTRIBUTED, zone="gpu") == pytest.approx(0.0, abs=20.0)
    assert_gpus_conserved(samples)


def test_a_busy_process_that_used_no_cpu_is_told_as_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_library()
    write_process(tmp_path / "proc", 7, "train", "/usr/bin/python3")
    plant = Plant(tmp_path / "plant", [PlantedGpu("GPU-a")])
    monkeypatch.setenv("NVML_PLANT", str(plant.path))
    machine = Machine(plant, EVERYTHING, tmp_path / "proc")
    machine.play(10.0)
    machine.run(7, in_pod(1, 1), 50, 200.0, begin=10.0)
    samples = machine.play(20.0)
    assert of(samples, "kepler_process_gpu_joules_total", pid="7", comm="train") == pytest.approx(
        4000.0, rel=0.02
    )
    assert pod_joules(samples, 1) == [pytest.approx(4000.0, rel=0.02)]


def test_a_power_meter_that_knows_no_process_has_a_series_and_an_idle_floor() -> None:
    gpus = Gpus()
    energy = ZoneEnergy("gpu", None, "hwmon3/power1", 500.0, 5.0, None, 500.0, 500.0, device="0000:03:00.0")
    usage = Node().advance().usage
    (share,) = gpus.share([energy], gpus.join(usage, [energy]))
    assert share.idle_joules == 500.0
    assert gpus.labels["hwmon3/power1"].uuid == "0000:03:00.0"


def test_a_meter_of_the_same_card_is_told_by_its_address() -> None:
    seen = ActivityLog()
    gpus = Gpus([seen], idle_watts=10.0)
    gpu = Gpu(0, "GPU-a", "AMD Instinct", "amd", "0000:03:00.0")
    seen.add(Look((gpu,), {"GPU-a": Activity(5.0, {}, busy_seconds=0.0)}))
    energy = ZoneEnergy("gpu", None, "hwmon3/power1", 500.0, 5.0, None, 500.0, 500.0, device="0000:03:00.0")
    usage = Node().advance().usage
    (share,) = gpus.share([energy], gpus.join(usage, [energy]))
    assert share.idle_method == "unused"
    assert gpus.labels["hwmon3/power1"].name == "AMD Instinct"


def test_without_gpus_a_tick_is_what_it_was() -> None:
    usage = Node().advance().usage
    gpus = Gpus()
    assert gpus.join(usage, []) is usage
    assert gpus.share([], usage) == []
    assert gpus.reserved_idle() is None
