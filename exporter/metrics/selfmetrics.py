"""What podjoule itself costs, as prometheus_client's own collectors tell it: process_* and python_*."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, ProcessCollector
from prometheus_client.core import Metric

from exporter.metrics.exposition import Family


class OwnFamilies:
    """The families of this process, read from `procfs`/self and from the interpreter.

    start_seconds: the Unix time at which their counters were 0, where procfs does not say when it began.
    """

    def __init__(self, procfs: Path = Path("/proc"), start_seconds: float = 0.0) -> None:
        self._procfs = procfs
        self._start_seconds = start_seconds

    def read(self) -> list[Family]:
        """In seconds, bytes and files. What is absent, unreadable or malformed has no family."""
        metrics = (*self._of_process(), *GC_COLLECTOR.collect(), *PLATFORM_COLLECTOR.collect())
        start_seconds = _start_seconds(metrics) or self._start_seconds
        return [_family(metric, start_seconds) for metric in metrics]

    def _of_process(self) -> Iterable[Metric]:
        try:
            return list(self._process.collect())
        except (ValueError, LookupError, NameError):
            # It lets out what a file that no kernel writes so leads to; that must not cost a tick.
            return ()

    @cached_property
    def _process(self) -> ProcessCollector:
        return ProcessCollector(proc=str(self._procfs), registry=None)


def _start_seconds(metrics: Iterable[Metric]) -> float:
    """When the process began; 0 where nobody says."""
    samples = (sample for metric in metrics for sample in metric.samples)
    return next((float(each.value) for each in samples if each.name == "process_start_time_seconds"), 0.0)


def _family(metric: Metric, start_seconds: float) -> Family:
    samples = metric.samples
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    labels = [tuple(sample.labels.values()) for sample in samples]
    values = [float(sample.value) for sample in samples]
    created = [start_seconds] * len(values) if metric.type == "counter" else None
    return Family(name, metric.documentation, metric.type, tuple(samples[0].labels), labels, values, created)
