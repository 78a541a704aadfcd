"""How busy each MIG instance is: NVIDIA's GPU performance monitoring (GPM), on Hopper and later."""

from __future__ import annotations

import ctypes as ct
from types import ModuleType
from typing import Any


class InstanceMonitor:
    """Two samples of an instance make a mean. Where the GPU or the driver has no such thing, nothing is said.

    nvml: the module pynvml.
    """

    def __init__(self, nvml: ModuleType) -> None:
        self._nvml = nvml
        self._last: dict[tuple[int, int], Any] = {}
        self._has_none: set[int] = set()

    def busy(self, number: int, handle: Any, instance_id: int) -> float | None:
        """Which part of the time since the last call some work was on this instance; None: not known."""
        if number in self._has_none:
            return None
        try:
            sample = self._nvml.nvmlGpmSampleAlloc()
            self._nvml.nvmlGpmMigSampleGet(handle, instance_id, sample)
        except self._nvml.NVMLError:
            self._has_none.add(number)
            return None
        before = self._last.pop((number, instance_id), None)
        self._last[number, instance_id] = sample
        return None if before is None else self._mean(before, sample)

    def _mean(self, before: Any, after: Any) -> float | None:
        asked = self._nvml.c_nvmlGpmMetricsGet_t()
        asked.version = self._nvml.NVML_GPM_METRICS_GET_VERSION
        asked.numMetrics = 1
        asked.sample1, asked.sample2 = before, after
        asked.metrics[0].metricId = self._nvml.NVML_GPM_METRIC_SM_UTIL
        try:
            self._nvml.nvmlGpmMetricsGet(asked)
        except self._nvml.NVMLError:
            return None
        finally:
            self._nvml.nvmlGpmSampleFree(before)
        found = asked.metrics[0]
        percent = float(found.value) if ct.c_int(found.nvmlReturn).value == 0 else -1.0
        return min(1.0, percent / 100) if percent >= 0 else None
