"""NVIDIA's GPUs, through nvidia-ml-py and the driver's libnvidia-ml.so.1."""

from __future__ import annotations

import contextlib
import importlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from estimator.errors import MeterUnavailable
from estimator.gpu.gpm import InstanceMonitor
from estimator.gpu.port import Gpu, GpuError, Instance, PlaceUse

_MENDS = {
    "LibraryNotFound": "the driver's libnvidia-ml.so.1 is not found: mount it into the container (NVIDIA's"
    " container runtime does with NVIDIA_DRIVER_CAPABILITIES=utility)",
    "DriverNotLoaded": "the nvidia kernel module is not loaded",
    "LibRmVersionMismatch": "the driver's library and kernel module are of two versions: reboot, or mount the"
    " library of the module that is loaded",
    "NoPermission": "no permission for /dev/nvidiactl and /dev/nvidia0, 1, …: give the container the devices",
}


class NvmlLibrary:
    """See GpuLibrary. Raises MeterUnavailable without nvidia-ml-py, library, driver or GPU.

    unix_seconds: the clock that the driver stamps its samples with.
    """

    name = "nvml"

    def __init__(self, unix_seconds: Callable[[], float] = time.time) -> None:
        self._nvml = _imported()
        self._unix_seconds = unix_seconds
        self._handles: dict[int, Any] = {}
        self._seen_us: dict[str, int] = {}
        self._has_counter: dict[str, bool] = {}
        self._monitor = InstanceMonitor(self._nvml)
        try:
            with self._said("starting NVML"):
                self._nvml.nvmlInit()
            self._is_open = True
            self._require_gpu()
        except GpuError as error:
            raise MeterUnavailable(str(error)) from error

    def gpus(self) -> Sequence[Gpu]:
        """See GpuLibrary."""
        self._handles.clear()
        with self._said("listing GPUs"):
            return [self._gpu(number) for number in range(self._count())]

    def energy_uj(self, gpu: Gpu) -> int | None:
        """See GpuLibrary; since the driver was loaded, on Volta and later."""
        if not self._has_counter.get(gpu.uuid, True):
            return None
        with self._said(f"reading the energy of {gpu.uuid}"):
            try:
                return 1_000 * int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle(gpu)))
            except self._nvml.NVMLError_NotSupported:
                self._has_counter[gpu.uuid] = False
                return None

    def watts(self, gpu: Gpu) -> float:
        """See GpuLibrary."""
        with self._said(f"reading the power of {gpu.uuid}"):
            return float(self._nvml.nvmlDeviceGetPowerUsage(self._handle(gpu))) / 1_000

    def use(self, gpu: Gpu) -> Sequence[PlaceUse]:
        """See GpuLibrary. On instances the driver tells who is there, and how busy they are since Hopper."""
        with self._said(f"reading the processes of {gpu.uuid}"):
            handle = self._handle(gpu)
            if gpu.instances:
                return [*self._use_of_instances(gpu, handle)]
            holding = self._holding(handle)
            busy = self._busy(gpu, handle)
        if holding is None and busy is None:
            return [PlaceUse(gpu.uuid, is_told=False)]
        processes = dict.fromkeys(holding or (), 0.0) | (busy or {})
        return [PlaceUse(gpu.uuid, processes, None if busy is None else min(1.0, sum(busy.values())))]

    def close(self) -> None:
        """See GpuLibrary. NVML is the whole process's, and counts who began it: each ends it once."""
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()

    def _require_gpu(self) -> None:
        """What NVML did not find when it began it never finds: it ends, to begin anew when asked again."""
        try:
            if not self._count():
                raise MeterUnavailable("NVML shows no GPU: give the container the devices /dev/nvidia*")
        except Exception:
            self.close()
            raise

    def _count(self) -> int:
        with self._said("counting GPUs"):
            return int(self._nvml.nvmlDeviceGetCount())

    def _handle(self, gpu: Gpu) -> Any:
        handle = self._handles.get(gpu.number)
        if handle is None:
            handle = self._handles[gpu.number] = self._nvml.nvmlDeviceGetHandleByIndex(gpu.number)
        return handle

    def _gpu(self, number: int) -> Gpu:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(number)
        most_watts = None
        with contextlib.suppress(nvml.NVMLError):
            most_watts = float(nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)[1]) / 1_000
        return Gpu(
            number,
            nvml.nvmlDeviceGetUUID(handle),
            nvml.nvmlDeviceGetName(handle),
            "nvidia",
            pci_address(nvml.nvmlDeviceGetPciInfo(handle).busId),
            most_watts or None,
            tuple(self._instances(number, handle)),
        )

    def _instances(self, number: int, handle: Any) -> Iterator[Instance]:
        for index, instance in self._instance_handles(handle):
            slices = self._nvml.nvmlDeviceGetAttributes(instance).computeInstanceSliceCount
            most = self._nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
            uuid = self._nvml.nvmlDeviceGetUUID(instance)
            yield Instance(f"{number}.{index}", uuid, min(1.0, slices / max(1, most)))

    def _instance_handles(self, handle: Any) -> Iterator[tuple[int, Any]]:
        try:
            is_divided = bool(self._nvml.nvmlDeviceGetMigMode(handle)[0])
        except (self._nvml.NVMLError_NotSupported, self._nvml.NVMLError_FunctionNotFound):
            return
        for index in range(self._nvml.nvmlDeviceGetMaxMigDeviceCount(handle) if is_divided else 0):
            with contextlib.suppress(self._nvml.NVMLError_NotFound):
                yield index, self._nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)

    def _use_of_instances(self, gpu: Gpu, handle: Any) -> Iterator[PlaceUse]:
        for _, instance in self._instance_handles(handle):
            uuid = self._nvml.nvmlDeviceGetUUID(instance)
            holding = self._holding(instance)
            busy = self._monitor.busy(gpu.number, handle, self._nvml.nvmlDeviceGetGpuInstanceId(instance))
            yield PlaceUse(uuid, dict.fromkeys(holding or (), 0.0), busy, holding is not None)

    def _holding(self, handle: Any) -> list[int] | None:
        """PIDs that have a context there; None where the driver does not tell."""
        try:
            return [found.pid for found in self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
        except (
            self._nvml.NVMLError_NotSupported,
            self._nvml.NVMLError_NoPermission,
            self._nvml.NVMLLibraryMismatchError,  # the driver is older than nvidia-ml-py
        ):
            return None

    def _busy(self, gpu: Gpu, handle: Any) -> dict[int, float] | None:
        """By PID, which part of the time since the last look; None where the driver does not tell."""
        after_us = self._seen_us.setdefault(gpu.uuid, int(self._unix_seconds() * 1e6))
        try:
            samples = self._nvml.nvmlDeviceGetProcessUtilization(handle, after_us)
        except self._nvml.NVMLError as error:
            if error.value in (0, self._nvml.NVML_ERROR_NOT_FOUND):  # none is newer
                return {}
            if error.value in (self._nvml.NVML_ERROR_NOT_SUPPORTED, self._nvml.NVML_ERROR_NO_PERMISSION):
                return None
            raise
        newer = [(int(s.pid), int(s.timeStamp), float(s.smUtil)) for s in samples if s.timeStamp > after_us]
        self._seen_us[gpu.uuid] = max([after_us, *(stamp for _, stamp, _ in newer)])
        return _means([(pid, percent) for pid, _, percent in newer])

    @contextlib.contextmanager
    def _said(self, wanted: str) -> Iterator[None]:
        """Whatever NVML raises as a GpuError; of functions that are not there that is no NVMLError."""
        try:
            yield
        except self._nvml.NVMLError as error:
            raise GpuError(f"{wanted}: {_explained(error)}") from error
        except self._nvml.NVMLLibraryMismatchError as error:
            raise GpuError(
                f"{wanted}: the driver is too old for the nvidia-ml-py that is installed: install the one of"
                " the driver's version"
            ) from error


def pci_address(bus_id: str) -> str:
    """As the kernel writes it: 00000000:41:00.0 is 0000:41:00.0; "" for what is none."""
    found = re.fullmatch(r"(?:0{4})?([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])", bus_id)
    return found[1].lower() if found else ""


def _means(samples: Sequence[tuple[int, float]]) -> dict[int, float]:
    """A sample says what a process did in one of the driver's periods, of which all had as many."""
    sums: dict[int, float] = {}
    counts: dict[int, int] = {}
    for pid, percent in samples:
        sums[pid] = sums.get(pid, 0.0) + min(100.0, max(0.0, percent))
        counts[pid] = counts.get(pid, 0) + 1
    return {pid: total / 100 / max(counts.values()) for pid, total in sums.items()}


def _imported() -> ModuleType:
    try:
        return importlib.import_module("pynvml")  # nobody else needs it
    except ImportError as error:
        raise MeterUnavailable(
            "NVIDIA's GPUs need nvidia-ml-py: install it, or podjoule's extra `gpu`"
        ) from error


def _explained(error: Exception) -> str:
    kind = type(error).__name__.removeprefix("NVMLError_")
    return _MENDS.get(kind, str(error) or kind)
