"""Opening the meters of GPUs: each reads in a thread of its own, and looks processes up by BPF."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence

from ebpf.errors import Unavailable
from ebpf.hierarchy import find_hierarchy
from ebpf.pids import open_pids
from estimator.errors import MeterAbsent, MeterUnavailable
from estimator.gpu.activity import ActivityLog
from estimator.gpu.meter import PERIOD_SECONDS, GpuMeter, NoPids, Pids
from estimator.gpu.port import GpuLibrary
from estimator.machine.identity import CpuIdentity
from estimator.meters.background import BackgroundMeter
from exporter.configuration.config import Config

log = logging.getLogger("exporter.power")

_DEADLINE_SECONDS = 5.0


class GpuWatch(BackgroundMeter):
    """The GPUs that a library knows. seen: what ran on them, for who shares their energy out."""

    def __init__(self, name: str, open_library: Callable[[], GpuLibrary], pids: Pids) -> None:
        self.seen = ActivityLog()

        def open_meter() -> GpuMeter:
            return GpuMeter(open_library(), self.seen, pids)

        super().__init__(name, open_meter, PERIOD_SECONDS, _DEADLINE_SECONDS, zones={"gpu"})


def open_nvml(config: Config, _identity: CpuIdentity) -> Sequence[GpuWatch]:
    """NVIDIA's GPUs. Raises MeterAbsent without the driver's module, MeterUnavailable without nvidia-ml-py."""
    _require_module(config, "nvidia")
    _require_package("pynvml", "nvidia-ml-py, which is in podjoule's extra `gpu`")
    from estimator.gpu.nvml import NvmlLibrary  # for machines that have some

    return [_watch(config, "nvml", NvmlLibrary)]


def open_amdsmi(config: Config, _identity: CpuIdentity) -> Sequence[GpuWatch]:
    """AMD's GPUs. Raises MeterAbsent without the driver's module or amdsmi: hwmon tells their power, too."""
    _require_module(config, "amdgpu")
    if importlib.util.find_spec("amdsmi") is None:
        raise MeterAbsent("AMD SMI is not installed")
    from estimator.gpu.amdsmi import AmdLibrary  # for machines that have some

    return [_watch(config, "amdsmi", AmdLibrary)]


def _watch(config: Config, name: str, open_library: Callable[[], GpuLibrary]) -> GpuWatch:
    watch = GpuWatch(name, open_library, _pids(config))
    log.info("energy of GPUs is measured: %s", name)
    return watch


def _pids(config: Config) -> Pids:
    """Opened at once: it may take rights that are given up later."""
    host = config.host
    try:
        hierarchy = find_hierarchy(config.ebpf.cgroup_hierarchy, host.cgroupfs, host.procfs)
        return open_pids(hierarchy, host.procfs, config.ebpf.btf)
    except Unavailable as error:
        log.warning("which process is in which container is not known, on GPUs: %s", error)
        return NoPids()


def _require_module(config: Config, name: str) -> None:
    if not (config.host.sysfs / "module" / name).is_dir():
        raise MeterAbsent(f"the kernel module {name} is not loaded")


def _require_package(module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MeterUnavailable(f"GPUs are there and cannot be read: install {package}")
