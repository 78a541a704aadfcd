"""AMD's GPUs through an amdsmi of our own, which answers as ROCm's does."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from estimator.errors import MeterUnavailable
from estimator.gpu.amdsmi import AmdLibrary
from estimator.gpu.port import Gpu, GpuError


class AmdSmiException(Exception):
    """The root of what it raises."""


class AmdSmiLibraryException(AmdSmiException):
    """What the library refuses."""


class Smi(ModuleType):
    """Two GPUs by their number; what an answer lacks says N/A."""

    AmdSmiException, AmdSmiLibraryException = AmdSmiException, AmdSmiLibraryException

    def __init__(self) -> None:
        super().__init__("amdsmi")
        self.count, self.energy = 2, True
        self.accumulator, self.busy_ns, self.watts = 1_000_000, {7: 0, 8: 0}, 300
        self.now = 0.0

    def amdsmi_init(self) -> None:
        if self.count < 0:
            raise AmdSmiLibraryException("driver not loaded")

    def amdsmi_shut_down(self) -> None: ...

    def amdsmi_get_processor_handles(self) -> list[int]:
        return list(range(self.count))

    def amdsmi_get_gpu_device_uuid(self, handle: int) -> str:
        return f"uuid-{handle}"

    def amdsmi_get_gpu_asic_info(self, handle: int) -> dict[str, Any]:
        return {"market_name": "AMD Instinct MI300X"}

    def amdsmi_get_gpu_device_bdf(self, handle: int) -> str:
        return f"0000:C{handle}:00.0"

    def amdsmi_get_energy_count(self, handle: int) -> dict[str, Any]:
        if not self.energy:
            raise AmdSmiLibraryException("not supported")
        return {"energy_accumulator": self.accumulator, "counter_resolution": 15.3, "timestamp": 1}

    def amdsmi_get_power_info(self, handle: int) -> dict[str, Any]:
        return {"socket_power": "N/A", "current_socket_power": self.watts, "average_socket_power": 1}

    def amdsmi_get_gpu_process_list(self, handle: int) -> list[dict[str, Any]]:
        return [{"pid": pid, "engine_usage": {"gfx": ns, "enc": 0}} for pid, ns in self.busy_ns.items()]


@pytest.fixture
def smi(monkeypatch: pytest.MonkeyPatch) -> Smi:
    made = Smi()
    monkeypatch.setitem(sys.modules, "amdsmi", made)
    return made


@pytest.fixture
def library(smi: Smi) -> AmdLibrary:
    return AmdLibrary(lambda: smi.now)


def test_each_gpu_is_told_by_uuid_and_address(library: AmdLibrary) -> None:
    assert library.gpus()[1] == Gpu(1, "uuid-1", "AMD Instinct MI300X", "amd", "0000:c1:00.0")


def test_the_accumulator_counts_in_its_own_steps(smi: Smi, library: AmdLibrary) -> None:
    assert library.energy_uj(library.gpus()[0]) == 15_300_000
    smi.energy = False
    assert library.energy_uj(library.gpus()[0]) is None


def test_power_is_the_first_figure_that_is_one(smi: Smi, library: AmdLibrary) -> None:
    assert library.watts(library.gpus()[0]) == 300.0
    smi.watts = "N/A"
    assert library.watts(library.gpus()[0]) == 1.0


def test_processes_are_told_by_what_their_time_grew_by(smi: Smi, library: AmdLibrary) -> None:
    gpu = library.gpus()[0]
    library.use(gpu)
    smi.now, smi.busy_ns = 2.0, {7: 1_000_000_000, 8: 500_000_000, 9: 0}
    (use,) = library.use(gpu)
    assert use.processes == {7: 0.5, 8: 0.25, 9: 0.0}
    assert use.busy == 0.75


def test_what_fails_says_which_call(smi: Smi, library: AmdLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> list[dict[str, Any]]:
        raise AmdSmiLibraryException("busy")

    monkeypatch.setattr(smi, "amdsmi_get_gpu_process_list", refuse)
    with pytest.raises(GpuError, match="reading the processes of uuid-0: busy"):
        library.use(library.gpus()[0])


@pytest.mark.parametrize(
    ("count", "said"), [(-1, "driver not loaded"), (0, "shows no GPU: give the container")]
)
def test_without_a_gpu_it_says_why(smi: Smi, count: int, said: str) -> None:
    smi.count = count
    with pytest.raises(MeterUnavailable, match=said):
        AmdLibrary()


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    with pytest.raises(MeterUnavailable, match="install ROCm's amd-smi-lib"):
        AmdLibrary()
