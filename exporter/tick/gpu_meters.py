"""Opening the meters of GPUs, which read in threads of their own."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from estimator.errors import MeterAbsent, MeterUnavailable
from estimator.machine.identity import CpuIdentity
from estimator.meters.port import PowerMeter
from exporter.configuration.config import Config


def open_nvml(config: Config, _identity: CpuIdentity) -> Sequence[PowerMeter]:
    """NVIDIA's GPUs. Raises MeterAbsent without the driver, MeterUnavailable without nvidia-ml-py."""
    _require_module(config, "nvidia")
    _require_package("pynvml", "nvidia-ml-py, which is in podjoule's extra `gpu`")
    from estimator.gpu.nvml import NvmlLibrary  # both for machines that have some
    from exporter.tick.gpu_watch import watch

    return [watch(config, "nvml", NvmlLibrary)]


def open_amdsmi(config: Config, _identity: CpuIdentity) -> Sequence[PowerMeter]:
    """AMD's GPUs. Raises MeterAbsent without the driver's module or amdsmi: hwmon tells their power, too."""
    _require_module(config, "amdgpu")
    if importlib.util.find_spec("amdsmi") is None:
        raise MeterAbsent("AMD SMI is not installed")
    from estimator.gpu.amdsmi import AmdLibrary  # both for machines that have some
    from exporter.tick.gpu_watch import watch

    return [watch(config, "amdsmi", AmdLibrary)]


def _require_module(config: Config, name: str) -> None:
    if not (config.host.sysfs / "module" / name).is_dir():
        raise MeterAbsent(f"the kernel module {name} is not loaded")


def _require_package(module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MeterUnavailable(f"GPUs are there and cannot be read: install {package}")
