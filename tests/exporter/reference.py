"""What prometheus_client writes for the same families: the text that ours must equal."""

from __future__ import annotations

import re
from collections.abc import Iterable

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.metrics.exposition import Family


class Collector:
    """The same families, as prometheus_client holds them."""

    def __init__(self, families: Iterable[Family], openmetrics: bool = False) -> None:
        self._metrics = [_metric(family, openmetrics) for family in families]

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def generate(collector: Collector, openmetrics: bool = False) -> bytes:
    return generate_openmetrics(collector) if openmetrics else generate_latest(collector)


def reference(families: Iterable[Family], openmetrics: bool = False) -> bytes:
    """`generate`, whatever the version of prometheus_client."""
    return newer(generate(Collector(families, openmetrics), openmetrics))


def newer(text: bytes) -> bytes:
    """The exponents of prometheus_client before 0.23, 1e+010, spelled as it does since and as Go does."""
    return re.sub(rb"e\+0(\d\d)$", rb"e+\1", text, flags=re.MULTILINE)


def _metric(family: Family, openmetrics: bool) -> Metric:
    if family.type == "gauge":
        gauge = GaugeMetricFamily(family.name, family.help, labels=family.label_names)
        for labels, value in zip(family.labels, list(family.values), strict=True):
            gauge.add_metric(labels, float(value))
        return gauge
    counter = CounterMetricFamily(family.name, family.help, labels=family.label_names)
    # The text format has no word for it: prometheus_client makes gauges of it there, and we do not say it.
    told = openmetrics and family.created is not None
    starts = list(map(float, family.created)) if told else [None] * len(family.labels)
    for labels, value, start in zip(family.labels, list(family.values), starts, strict=True):
        counter.add_metric(labels, float(value), created=start)
    return counter
