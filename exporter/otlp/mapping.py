"""From a snapshot to what OpenTelemetry's exporter takes: a resource a workload, cumulative sums, gauges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ebpf.version import VERSION
from exporter.metrics.exposition import Family, Labels
from exporter.otlp.conventions import Naming, attribute, gpu_hardware, hardware, is_gpu, is_hardware, naming
from exporter.otlp.entities import Entities, Entity, Node, entity_of
from exporter.otlp.host_zones import HostZones
from exporter.otlp.snapshot import Snapshot

# What one request holds at most, so that neither side has to hold a large node's at once.
MAX_POINTS = 2_000
_SCOPE = InstrumentationScope("podjoule", VERSION)


@dataclass(frozen=True, slots=True)
class _Row:
    """A series as it is pushed, without its value."""

    entity: Entity
    naming: Naming
    attributes: Mapping[str, str | int]


@dataclass(slots=True)
class _Series:
    """The points of one metric of one resource."""

    family: Family
    points: list[NumberDataPoint]


class Mapper:
    """Maps one snapshot after another; rows are worked out anew only where they are others."""

    def __init__(self, node: Node) -> None:
        self._entities = Entities(node)
        self._hosts = HostZones()
        self._rows: dict[str, tuple[tuple[Labels, ...], bool, list[_Row | None]]] = {}

    def requests(self, snapshot: Snapshot) -> Iterator[MetricsData]:
        """The snapshot in pieces of at most MAX_POINTS, the node's first; a large resource is in several."""
        held: list[ResourceMetrics] = []
        n_held = 0
        for entity, metrics in self._by_entity(snapshot).items():
            for part in _parts(metrics):
                n_points = sum(len(series.points) for series in part.values())
                if held and n_held + n_points > MAX_POINTS:
                    yield MetricsData(held)
                    held, n_held = [], 0
                held.append(self._resource(entity, part))
                n_held += n_points
        if held:
            yield MetricsData(held)

    def _by_entity(self, snapshot: Snapshot) -> dict[Entity, dict[Naming, _Series]]:
        self._entities.follow(snapshot.families)
        self._hosts.follow(snapshot.families)
        found: dict[Entity, dict[Naming, _Series]] = {}
        rows, self._rows = self._rows, {}
        for family in snapshot.families:
            kept = rows.get(family.name)
            labels = tuple(family.labels)
            if kept is None or kept[:2] != (labels, self._hosts.are_known):
                kept = (labels, self._hosts.are_known, [self._row(family, each) for each in labels])
            self._rows[family.name] = kept
            self._place(family, kept[2], snapshot.unix_ns, found)
        return found

    def _place(
        self,
        family: Family,
        rows: Sequence[_Row | None],
        now_ns: int,
        found: dict[Entity, dict[Naming, _Series]],
    ) -> None:
        for row, value, start in zip(rows, family.values, _starts_ns(family), strict=True):
            if row is None:
                continue
            metrics = found.setdefault(row.entity, {})
            series = metrics.get(row.naming) or metrics.setdefault(row.naming, _Series(family, []))
            series.points.append(NumberDataPoint(row.attributes, start, now_ns, float(value)))

    def _row(self, family: Family, labels: Labels) -> _Row | None:
        """None where it is not known yet what the row is called."""
        entity, told = entity_of(family.label_names, labels)
        left = {
            name: label
            for name, label in zip(family.label_names, _in_utf_8(labels), strict=True)
            if name not in told and label
        }
        if is_hardware(family.name):
            is_host = self._hosts.holds(left["zone"])
            named = None if is_host is None else hardware(family.name, left["zone"], left["path"], is_host)
            return named and _Row(entity, *named)
        if is_gpu(family.name):
            return _Row(entity, *gpu_hardware(family.name, left))
        is_process = family.label_names[1:2] == ("pid",)
        attributes: dict[str, str | int] = {attribute(name, is_process): of for name, of in left.items()}
        if is_process:
            attributes["process.pid"] = int(left["pid"])  # a number, by the conventions
        return _Row(entity, naming(family.name), attributes)

    def _resource(self, entity: Entity, metrics: Mapping[Naming, _Series]) -> ResourceMetrics:
        resource = Resource(self._entities.attributes(entity))
        made = [_metric(naming, series) for naming, series in metrics.items()]
        return ResourceMetrics(resource, [ScopeMetrics(_SCOPE, made, "")], "")


def _parts(metrics: Mapping[Naming, _Series]) -> Iterator[Mapping[Naming, _Series]]:
    """One resource's points in pieces of at most MAX_POINTS."""
    part: dict[Naming, _Series] = {}
    n_free = MAX_POINTS
    for name, series in metrics.items():
        left = series.points
        while len(left) > n_free:
            if n_free:
                part[name] = _Series(series.family, left[:n_free])
            yield part
            part, left, n_free = {}, left[n_free:], MAX_POINTS
        part[name] = _Series(series.family, left)
        n_free -= len(left)
    yield part


def _starts_ns(family: Family) -> Sequence[int]:
    """When each row was 0; a gauge is of its moment and has no start."""
    if family.created is None:
        return [0] * len(family.labels)
    return [round(seconds * 1e9) for seconds in np.asarray(family.created, np.float64).tolist()]


def _metric(naming: Naming, series: _Series) -> Metric:
    data: Sum | Gauge = Gauge(series.points)
    if series.family.type == "counter":
        data = Sum(series.points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return Metric(naming.name, series.family.help, naming.unit, data)


def _in_utf_8(labels: Labels) -> Sequence[str]:
    """A cgroup's name can be any bytes; protobuf takes no others than UTF-8."""
    return [label if label.isascii() else label.encode("utf-8", "replace").decode() for label in labels]
