"""AMD's GPUs, through the amdsmi that comes with ROCm."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from estimator.errors import MeterUnavailable
from estimator.gpu.port import Gpu, GpuError, PlaceUse

_OF_ENERGY = ("energy_accumulator", "power")  # the second until ROCm 6.2
_OF_WATTS = ("socket_power", "current_socket_power", "average_socket_power")


class AmdLibrary:
    """See GpuLibrary. Raises MeterUnavailable without amdsmi, its library, or a GPU that it shows.

    Processes tell the time that they kept the GPU busy as a counter of nanoseconds.
    """

    name = "amdsmi"

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._smi, self._monotonic = _imported(), monotonic
        self._busy_ns: dict[str, Mapping[int, int]] = {}
        self._asked: dict[str, float] = {}
        try:
            with self._said("starting AMD SMI"):
                self._smi.amdsmi_init()
                self._handles = list(self._smi.amdsmi_get_processor_handles())
        except GpuError as error:
            raise MeterUnavailable(str(error)) from error
        if not self._handles:
            raise MeterUnavailable("AMD SMI shows no GPU: give the container /dev/kfd and /dev/dri")

    def gpus(self) -> Sequence[Gpu]:
        """See GpuLibrary."""
        with self._said("listing GPUs"):
            return [self._gpu(number, handle) for number, handle in enumerate(self._handles)]

    def energy_uj(self, gpu: Gpu) -> int | None:
        """See GpuLibrary."""
        with self._said(f"reading the energy of {gpu.uuid}"):
            try:
                told = self._smi.amdsmi_get_energy_count(self._handles[gpu.number])
            except self._smi.AmdSmiLibraryException:
                return None
        count, step_uj = _first(told, _OF_ENERGY), _number(told.get("counter_resolution"))
        return None if not count or not step_uj else int(count * step_uj)

    def watts(self, gpu: Gpu) -> float:
        """See GpuLibrary."""
        with self._said(f"reading the power of {gpu.uuid}"):
            told = self._smi.amdsmi_get_power_info(self._handles[gpu.number])
        watts = _first(told, _OF_WATTS)
        if watts is None:
            raise GpuError(f"reading the power of {gpu.uuid}: AMD SMI does not tell it")
        return watts

    def use(self, gpu: Gpu) -> Sequence[PlaceUse]:
        """See GpuLibrary."""
        with self._said(f"reading the processes of {gpu.uuid}"):
            told = self._smi.amdsmi_get_gpu_process_list(self._handles[gpu.number])
        now = self._monotonic()
        seconds = now - self._asked.get(gpu.uuid, now)
        before, after = self._busy_ns.get(gpu.uuid, {}), dict(map(_process, told))
        self._busy_ns[gpu.uuid], self._asked[gpu.uuid] = after, now
        busy = {pid: _part(ns - before.get(pid, 0), seconds) for pid, ns in after.items()}
        return [PlaceUse(gpu.uuid, busy, min(1.0, sum(busy.values())))]

    def close(self) -> None:
        """See GpuLibrary."""
        with contextlib.suppress(self._smi.AmdSmiException):
            self._smi.amdsmi_shut_down()

    def _gpu(self, number: int, handle: Any) -> Gpu:
        smi = self._smi
        return Gpu(
            number,
            str(smi.amdsmi_get_gpu_device_uuid(handle)),
            str(smi.amdsmi_get_gpu_asic_info(handle).get("market_name", "")),
            "amd",
            str(smi.amdsmi_get_gpu_device_bdf(handle)).lower(),
        )

    @contextlib.contextmanager
    def _said(self, wanted: str) -> Iterator[None]:
        try:
            yield
        except self._smi.AmdSmiException as error:
            raise GpuError(f"{wanted}: {error}") from error


def _process(told: Mapping[str, Any]) -> tuple[int, int]:
    """PID, and for how long it kept the GPU busy, in ns."""
    return int(told["pid"]), int(_number(told.get("engine_usage", {}).get("gfx")) or 0)


def _part(ns: int, seconds: float) -> float:
    return min(1.0, max(0.0, ns / 1e9 / seconds)) if seconds > 0 else 0.0


def _first(told: Mapping[str, Any], names: Sequence[str]) -> float | None:
    """The first of these that is a number: what a GPU does not tell is a text."""
    return next((value for name in names if (value := _number(told.get(name))) is not None), None)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _imported() -> ModuleType:
    try:
        return importlib.import_module("amdsmi")
    except Exception as error:  # it looks for its library while it is imported, and raises what it likes
        raise MeterUnavailable(
            f"AMD's GPUs need amdsmi, and the library that it loads: install ROCm's amd-smi-lib ({error})"
        ) from error
