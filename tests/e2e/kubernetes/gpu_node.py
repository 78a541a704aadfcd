"""GPUs of the node that are lines of a file, and the library that reads it in the driver's stead."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.programs import program

LIBRARY = Path(__file__).parents[2] / "estimator/gpu/nvml.c"
_SYSFS = ("block", "bus", "class", "dev", "devices", "firmware", "fs", "kernel")
_NO_MIG, _LIMIT_MW = -1, 700_000


@dataclass(frozen=True)
class PlantedGpu:
    """One GPU, and what it draws with nothing to do."""

    uuid: str
    idle_watts: float


@dataclass(frozen=True)
class Load:
    """What a process does on a GPU: the part of it that it keeps busy, in percent, and what that draws."""

    gpu: int
    pid: int
    percent: float
    watts: float
    begin: float
    end: float


class GpuNode:
    """In a folder of its own, which a pod mounts by `values`."""

    def __init__(self, folder: Path, gpus: Sequence[PlantedGpu]) -> None:
        self._folder, self._gpus = folder, gpus
        self._since = time.time()
        for name in ("lib", "plant", "sys/module/nvidia"):
            (folder / name).mkdir(parents=True)
        for name in _SYSFS:
            (folder / "sys" / name).symlink_to(Path("/sys") / name)
        library = folder / "lib/libnvidia-ml.so.1"
        told = (program("gcc"), "-shared", "-fPIC", "-O1", "-o", str(library), str(LIBRARY))
        subprocess.run(told, check=True)
        self.run()

    def run(self, *loads: Load) -> None:
        """Have these loads, and no others."""
        lines = [
            f"gpu {gpu.uuid} 00000000:{0x41 + i:x}:00.0 {_NO_MIG} 0 {1000 * gpu.idle_watts} {self._since}"
            f" {_LIMIT_MW} Planted GPU"
            for i, gpu in enumerate(self._gpus)
        ]
        lines += [
            f"load {one.gpu} {one.pid} {one.percent} {1000 * one.watts} {one.begin} {one.end} -1"
            for one in loads
        ]
        new = self._folder / "plant/new"
        new.write_text("".join(f"{line}\n" for line in lines))
        new.replace(self._folder / "plant/gpus.txt")

    def values(self, pod_resources: Path, powercap: Path) -> dict[str, Any]:
        """Of the chart: the library as on a node without NVIDIA's runtime; and where the file is."""
        mounts = {"plant": "/plant", "sys": "/tree"}
        return {
            "gpu": {"enabled": True, "libraryPath": str(self._folder / "lib")},
            "hostPaths": {"podResources": str(pod_resources), "powercap": str(powercap)},
            "extraArgs": ["--host.sysfs=/tree"],
            "extraEnv": [{"name": "NVML_PLANT", "value": "/plant/gpus.txt"}],
            "extraVolumes": [
                {"name": name, "hostPath": {"path": str(self._folder / name), "type": "Directory"}}
                for name in mounts
            ],
            "extraVolumeMounts": [
                {"name": name, "mountPath": path, "readOnly": True} for name, path in mounts.items()
            ],
        }
