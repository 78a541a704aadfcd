"""GPUs that are lines of a file, behind a libnvidia-ml.so.1 of our own (nvml.c) and the real nvidia-ml-py."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.programs import program

SOURCE = Path(__file__).with_name("nvml.c")
EPOCH = 1_800_000_000.0
FOREVER = 2e9


def compile_library(folder: Path, *flags: str) -> Path:
    """The library, as the driver names it."""
    made = folder / "libnvidia-ml.so.1"
    command = [program("gcc"), "-O1", "-Wall", "-Werror", "-shared", "-fPIC", *flags]
    subprocess.run([*command, "-Wl,-soname,libnvidia-ml.so.1", SOURCE, "-o", made], check=True)
    return made


@functools.cache
def load_library() -> None:
    """Have this process's nvidia-ml-py find it: what is loaded under its name is not looked for."""
    with tempfile.TemporaryDirectory() as folder:
        ctypes.CDLL(str(compile_library(Path(folder))), ctypes.RTLD_GLOBAL)


@dataclass
class Load:
    """A process on a GPU. sm: percent. watts: on top of idling. gi: the MIG instance's id; -1 outside."""

    gpu: int
    pid: int
    sm: float
    watts: float
    begin: float = 0.0
    end: float = FOREVER
    gi: int = -1


@dataclass
class PlantedGpu:
    """mig: 1 where it is divided, -1 where it cannot be. since: when base_joules was on its counter."""

    uuid: str
    name: str = "NVIDIA H100 80GB HBM3"
    address: str = "00000000:41:00.0"
    idle_watts: float = 60.0
    most_watts: float = 700.0
    mig: int = 0
    base_joules: float = 5_000.0
    since: float = 0.0


@dataclass
class Plant:
    """Writes the file that $NVML_PLANT names. seconds: since EPOCH; None: the machine's own clock."""

    path: Path
    gpus: list[PlantedGpu] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    instances: list[tuple[int, int, int, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float | None = 0.0
    origin: float = EPOCH

    def write(self) -> None:
        lines = [] if self.seconds is None else [f"clock {self.origin + self.seconds:.6f}"]
        lines += [
            f"gpu {g.uuid} {g.address} {g.mig} {1e3 * g.base_joules} {1e3 * g.idle_watts}"
            f" {self.origin + g.since:.6f} {1e3 * g.most_watts} {g.name}"
            for g in self.gpus
        ]
        lines += [f"mig {gpu} {gi} 0 {slices} {uuid}" for gpu, gi, slices, uuid in self.instances]
        lines += [
            f"load {each.gpu} {each.pid} {each.sm} {1e3 * each.watts} {self.origin + each.begin:.6f}"
            f" {min(FOREVER, self.origin + each.end):.6f} {each.gi}"
            for each in self.loads
        ]
        written = self.path.with_suffix(".new")
        written.write_text("\n".join([*lines, *self.faults, ""]))
        written.replace(self.path)

    def at(self, seconds: float) -> None:
        self.seconds = seconds
        self.write()

    @property
    def unix_seconds(self) -> float:
        assert self.seconds is not None
        return self.origin + self.seconds

    @property
    def boottime_ns(self) -> int:
        assert self.seconds is not None
        return round((1_000 + self.seconds) * 1e9)

    def joules(self, gpu: int, begin: float, end: float) -> float:
        """What the GPU drew in between: the truth."""
        return self.gpus[gpu].idle_watts * (end - begin) + sum(
            each.watts * max(0.0, min(end, each.end) - max(begin, each.begin))
            for each in self.loads
            if each.gpu == gpu
        )


def plant_in(folder: Path) -> Plant:
    """An empty one, which this process's NVML reads from now on."""
    plant = Plant(folder / "plant")
    os.environ["NVML_PLANT"] = str(plant.path)
    return plant
