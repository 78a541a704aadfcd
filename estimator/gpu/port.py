"""The port of every library that knows GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ebpf.errors import PodjouleError


class GpuError(PodjouleError):
    """A library's call that failed: what was wanted, and what the library said."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A part of a GPU that works by itself (MIG). index: 0.1 is the second of GPU 0. share: of the whole."""

    index: str
    uuid: str
    share: float


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. number: as its library counts; index: the same as a label. address: 0000:41:00.0 on PCI.

    most_watts: what it may be set to draw at the most, where it says so. instances: those that there are,
    empty where it is not divided.
    """

    number: int
    uuid: str
    name: str
    vendor: str
    address: str = ""
    most_watts: float | None = None
    instances: tuple[Instance, ...] = ()

    @property
    def index(self) -> str:
        """Of a label."""
        return str(self.number)


@dataclass(frozen=True, slots=True)
class PlaceUse:
    """What ran on a GPU, or on one instance, since its library was asked before.

    processes: by PID, which part of the time it kept the place busy, 0 to 1; 0.0 for one that holds it and
    does nothing. busy: the same of all together, None where nobody says. is_told: whether processes are.
    """

    uuid: str
    processes: Mapping[int, float] = field(default_factory=dict)
    busy: float | None = None
    is_told: bool = True


class GpuLibrary(Protocol):
    """A library; making one raises MeterUnavailable. Calls may take long, and raise GpuError. For one thread.

    name: nvml or amdsmi.
    """

    name: str

    def gpus(self) -> Sequence[Gpu]:
        """Every GPU, looked at anew: instances come and go."""

    def energy_uj(self, gpu: Gpu) -> int | None:
        """Its cumulative energy; None where it keeps no counter."""

    def watts(self, gpu: Gpu) -> float:
        """Its power now."""

    def use(self, gpu: Gpu) -> Sequence[PlaceUse]:
        """Since the last call, of the GPU as a whole, or of each of its instances."""

    def close(self) -> None:
        """Let go of it."""
