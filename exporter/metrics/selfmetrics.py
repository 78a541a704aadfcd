"""What podjoule itself costs, as prometheus_client's own collectors tell it: process_* and python_*."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, ProcessCollector
from prometheus_client.core import Metric

from exporter.metrics.exposition import Family


class OwnFamilies:
    """The families of this process, read from `procfs`/self and from the interpreter."""

    def __init__(self, procfs: Path = Path("/proc")) -> None:
        self._procfs = procfs

    def read(self) -> list[Family]:
        """In seconds, bytes and files. What is absent, unreadable or malformed has no family."""
        metrics = (*self._of_process(), *GC_COLLECTOR.collect(), *PLATFORM_COLLECTOR.collect())
        return [_family(metric) for metric in metrics]

    def _of_process(self) -> Iterable[Metric]:
        try:
            return list(self._process.collect())
        except (ValueError, LookupError, NameError):
            # It lets out what a file that no kernel writes so leads to; that must not cost a tick.
            return ()

    @cached_property
    def _process(self) -> ProcessCollector:
        return ProcessCollector(proc=str(self._procfs), registry=None)


def _family(metric: Metric) -> Family:
    samples = metric.samples
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    labels = [tuple(sample.labels.values()) for sample in samples]
    values = [float(sample.value) for sample in samples]
    return Family(name, metric.documentation, metric.type, tuple(samples[0].labels), labels, values)
