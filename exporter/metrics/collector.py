"""podjoule in somebody else's registry of prometheus_client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from exporter.configuration.config import Config
from exporter.metrics.collect import Collector
from exporter.metrics.exposition import Family, Labels
from exporter.metrics.families import SPECS
from exporter.tick.measurement import Measurement, Tick
from exporter.tick.ticker import Round


class PodjouleCollector:
    """What a ticker publishes, for `registry.register`: the families of the last tick, none before the first.

    Both a Publisher (tick.ticker) and a Collector of prometheus_client. process_* and python_* are not in it:
    they are the process's that it is embedded in, whose registry has them already.
    created: whether counters say since when they count. prometheus_client writes that as lines NAME_created
    in OpenMetrics, and as gauges of that name in the text format.
    """

    def __init__(self, config: Config, measurement: Measurement, created: bool = True) -> None:
        self._measurement = measurement
        self._created = created
        self._collector = Collector(
            measurement, config.kube.node_name, config.host.procfs, config.kube.pod_labels
        )
        self._families: Sequence[Family] = ()

    @property
    def is_empty(self) -> bool:
        """See tick.ticker.Publisher."""
        return not self._families

    def publish(self, tick: Tick, config: Config, when: Callable[[], Round]) -> None:
        """See tick.ticker.Publisher."""
        levels, now = config.exporter.prometheus.metrics_level, when()
        families = self._collector.measured(tick, levels, now.number, now.last_duration_seconds)
        # Copies: the registry may be asked while the next tick writes into the ledger's arrays.
        self._families = [self._copied(family) for family in families]
        self._measurement.keeper.keep(self._measurement)

    def describe(self) -> Iterator[Metric]:
        """Every family that a tick may have, without series: by these a registry finds names that clash."""
        return (_metric(spec.name, spec.type, spec.help, ()) for spec in SPECS)

    def collect(self) -> Iterator[Metric]:
        """The last tick's families. May be called from any thread."""
        return map(_filled, self._families)

    def _copied(self, family: Family) -> Family:
        created = family.created if self._created else None
        return replace(family, values=np.array(family.values), created=created)


def _filled(family: Family) -> Metric:
    if family.created is None:
        metric = _metric(family.name, family.type, family.help, family.label_names)
        for labels, value in zip(family.labels, family.values, strict=True):
            metric.add_metric(_in_utf_8(labels), float(value))
        return metric
    counter = CounterMetricFamily(family.name, family.help, labels=family.label_names)
    for labels, value, created in zip(family.labels, family.values, family.created, strict=True):
        counter.add_metric(_in_utf_8(labels), float(value), created=float(created))
    return counter


def _metric(
    name: str, type_: str, text: str, labels: Sequence[str]
) -> CounterMetricFamily | GaugeMetricFamily:
    return (CounterMetricFamily if type_ == "counter" else GaugeMetricFamily)(name, text, labels=labels)


def _in_utf_8(labels: Labels) -> Sequence[str]:
    """A cgroup's name can be any bytes; what cannot be written must not cost the registry its page."""
    return [label.encode("utf-8", "replace").decode() for label in labels]
