"""NVIDIA's GPUs through the real nvidia-ml-py, over a library whose GPUs are planted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from estimator.errors import MeterUnavailable
from estimator.gpu.nvml import NvmlLibrary, pci_address
from estimator.gpu.port import Gpu, GpuError, Instance
from tests.estimator.gpu.plant import Load, Plant, PlantedGpu, compile_library

ROOT = Path(__file__).parents[3]
UNSUPPORTED, NO_PERMISSION, LOST, MISMATCH = 3, 4, 15, 18
DIVIDED = [(1, 1, 3, "MIG-a"), (1, 2, 2, "MIG-b")]


@pytest.fixture
def library(plant: Plant) -> Iterator[NvmlLibrary]:
    """A GPU that is whole, and one in two instances."""
    plant.gpus = [PlantedGpu("GPU-a"), PlantedGpu("GPU-b", "NVIDIA A100", "00000001:C1:00.0", mig=1)]
    plant.instances = DIVIDED
    plant.at(0.0)
    with contextlib.closing(NvmlLibrary(lambda: plant.unix_seconds)) as library:
        yield library


def test_each_gpu_and_each_instance_is_told_by_its_uuid(library: NvmlLibrary) -> None:
    whole, divided = library.gpus()
    assert whole == Gpu(0, "GPU-a", "NVIDIA H100 80GB HBM3", "nvidia", "0000:41:00.0", 700.0)
    assert divided.address == "0001:c1:00.0"
    assert divided.instances == (Instance("1.0", "MIG-a", 3 / 7), Instance("1.1", "MIG-b", 2 / 7))


@pytest.mark.parametrize(
    ("bus_id", "address"),
    [("00000000:41:00.0", "0000:41:00.0"), ("00010000:0A:1F.7", "00010000:0a:1f.7"), ("", ""), ("?", "")],
)
def test_an_address_is_written_as_the_kernel_does(bus_id: str, address: str) -> None:
    assert pci_address(bus_id) == address


def test_the_counter_is_in_microjoules_and_power_in_watts(plant: Plant, library: NvmlLibrary) -> None:
    gpu = library.gpus()[0]
    plant.loads = [Load(0, 42, 50, 290.0)]
    plant.at(10.0)
    assert library.energy_uj(gpu) == 5_000_000_000 + 3_500_000_000
    assert library.watts(gpu) == 350.0


def test_a_gpu_without_a_counter_is_asked_once(plant: Plant, library: NvmlLibrary) -> None:
    gpu = library.gpus()[0]
    plant.faults = [f"fail nvmlDeviceGetTotalEnergyConsumption {UNSUPPORTED}"]
    plant.at(1.0)
    assert library.energy_uj(gpu) is None
    plant.faults = []
    plant.at(2.0)
    assert library.energy_uj(gpu) is None


def test_processes_are_told_by_how_long_they_kept_the_gpu_busy(plant: Plant, library: NvmlLibrary) -> None:
    gpu = library.gpus()[0]
    plant.at(100.0)
    library.use(gpu)
    plant.loads = [
        Load(0, 5, 50, 0.0),
        Load(0, 3, 30, 0.0),
        Load(0, 9, 20, 0.0, end=100.5),
        Load(0, 1, 0, 0.0),
    ]
    plant.at(101.0)
    (use,) = library.use(gpu)
    assert use.processes == pytest.approx({5: 0.5, 3: 0.3, 9: 0.1, 1: 0.0})
    assert use.busy == pytest.approx(0.9)
    assert use.is_told


def test_a_sample_is_told_once(plant: Plant, library: NvmlLibrary) -> None:
    gpu = library.gpus()[0]
    library.use(gpu)
    plant.loads = [Load(0, 5, 80, 0.0, end=1.0)]
    plant.at(1.0)
    assert library.use(gpu)[0].processes[5] > 0
    plant.at(2.0)
    assert library.use(gpu)[0].processes == {}


def test_instances_are_told_by_their_monitor(plant: Plant, library: NvmlLibrary) -> None:
    gpu = library.gpus()[1]
    library.use(gpu)
    plant.loads = [Load(1, 7, 60, 0.0, gi=1), Load(1, 8, 20, 0.0, gi=2)]
    plant.at(2.0)
    one, other = library.use(gpu)
    assert (one.uuid, one.processes, one.busy) == ("MIG-a", {7: 0.0}, pytest.approx(0.6))
    assert (other.uuid, other.processes, other.busy) == ("MIG-b", {8: 0.0}, pytest.approx(0.2))


def test_instances_before_hopper_tell_who_is_there_alone(plant: Plant, library: NvmlLibrary) -> None:
    plant.faults = [f"fail nvmlGpmMigSampleGet {UNSUPPORTED}"]
    plant.loads = [Load(1, 7, 60, 0.0, gi=1)]
    plant.at(1.0)
    gpu = library.gpus()[1]
    assert [(use.processes, use.busy) for use in (library.use(gpu), library.use(gpu))[1]] == [
        ({7: 0.0}, None),
        ({}, None),
    ]


def test_where_the_driver_tells_no_process_that_is_said(plant: Plant, library: NvmlLibrary) -> None:
    refused = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetProcessUtilization")
    plant.faults = [f"fail {name} {NO_PERMISSION}" for name in refused]
    plant.at(1.0)
    (use,) = library.use(library.gpus()[0])
    assert not use.is_told


def test_a_call_that_fails_says_which_and_of_which_gpu(plant: Plant, library: NvmlLibrary) -> None:
    gpu = library.gpus()[0]
    plant.faults = [f"fail nvmlDeviceGetPowerUsage {LOST}"]
    plant.at(1.0)
    with pytest.raises(GpuError, match="reading the power of GPU-a: GPU is lost"):
        library.watts(gpu)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (9, "the nvidia kernel module is not loaded"),
        (MISMATCH, "library and kernel module are of two versions: reboot"),
        (NO_PERMISSION, "no permission for /dev/nvidiactl"),
        (999, "starting NVML: Unknown Error"),
    ],
)
def test_a_driver_that_does_not_start_says_how_to_mend_it(plant: Plant, code: int, said: str) -> None:
    plant.faults = [f"fail nvmlInitWithFlags {code}"]
    plant.at(0.0)
    with pytest.raises(MeterUnavailable, match=said):
        NvmlLibrary()


def test_a_machine_without_gpus_says_so(plant: Plant) -> None:
    plant.at(0.0)
    with pytest.raises(MeterUnavailable, match=r"shows no GPU: give the container the devices /dev/nvidia\*"):
        NvmlLibrary()


def test_what_one_library_closes_another_still_has(plant: Plant, library: NvmlLibrary) -> None:
    gpu = library.gpus()[0]
    other = NvmlLibrary()
    other.close()
    other.close()
    plant.at(1.0)
    assert library.watts(gpu) == 60.0


def test_without_the_package_the_mend_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MeterUnavailable, match="install it, or podjoule's extra `gpu`"):
        NvmlLibrary()


ASK_TWICE = """
import pynvml
from estimator.errors import MeterUnavailable
from estimator.gpu.nvml import NvmlLibrary
try:
    NvmlLibrary()
except MeterUnavailable as error:
    print(error)
try:
    pynvml.nvmlDeviceGetCount()
except pynvml.NVMLError_Uninitialized:
    print("NVML begins anew")
"""
ASK = """
from estimator.errors import MeterUnavailable
from estimator.gpu.nvml import NvmlLibrary
try:
    library = NvmlLibrary()
    print([use.is_told for use in library.use(library.gpus()[0])])
except MeterUnavailable as error:
    print(error)
"""


def ask(program: str = ASK, **environ: str) -> str:
    asked = [sys.executable, "-c", program]
    return subprocess.run(
        asked, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, check=True
    ).stdout


def test_without_the_drivers_library_the_mend_is_to_mount_it() -> None:
    assert "the driver's libnvidia-ml.so.1 is not found: mount it" in ask(LD_LIBRARY_PATH="/nowhere")


def test_a_machine_whose_gpus_come_later_has_them_when_asked_again(plant: Plant, tmp_path: Path) -> None:
    """NVML lists GPUs when it begins: as long as somebody holds it, none is added."""
    compile_library(tmp_path)
    plant.at(0.0)
    said = ask(ASK_TWICE, LD_LIBRARY_PATH=str(tmp_path)).splitlines()
    assert "shows no GPU" in said[0]
    assert said[1:] == ["NVML begins anew"]


def test_a_driver_older_than_the_package_tells_what_it_can(plant: Plant, tmp_path: Path) -> None:
    compile_library(tmp_path, "-DOLD")
    plant.gpus = [PlantedGpu("GPU-a", mig=-1)]
    plant.at(0.0)
    assert ask(LD_LIBRARY_PATH=str(tmp_path)) == "[True]\n"
    plant.faults = [f"fail nvmlDeviceGetProcessUtilization {UNSUPPORTED}"]
    plant.at(0.0)
    assert ask(LD_LIBRARY_PATH=str(tmp_path)) == "[False]\n"
