"""What is shown of GPUs, and of who holds them; nothing where there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

from exporter.books.node_totals import NodeZone
from exporter.tick.gpus import ZONE, GpuLabels
from exporter.tick.measurement import Measurement


@dataclass(frozen=True, slots=True)
class GpuView:
    """One GPU, or instance of one. idle_method: how its idle power is known. pods: who holds it, by name."""

    labels: GpuLabels
    totals: NodeZone
    idle_method: str
    pods: tuple[str, ...]


def gpus_now(measurement: Measurement) -> list[GpuView]:
    """Those that have given energy, in the order of their numbers."""
    labels = measurement.gpus.labels
    if not labels:
        return []
    methods, holders = measurement.gpus.idle_methods, pods_of_gpus(measurement)
    found = [
        GpuView(labels[zone.path], zone, methods.get(zone.path, ""), holders.get(zone.path, ()))
        for zone in measurement.ledger.node.zones()
        if zone.zone == ZONE and zone.path in labels
    ]
    return sorted(found, key=lambda gpu: (gpu.labels.vendor, gpu.labels.index, gpu.labels.uuid))


def pods_of_gpus(measurement: Measurement) -> dict[str, tuple[str, ...]]:
    """The names of the pods that hold each GPU, by its path; UIDs of those without one."""
    held = measurement.devices.holders()
    found = {}
    for path, names in measurement.gpus.names.items():
        uids = next((uids for name in names if (uids := held.get(name))), ())
        found[path] = tuple(_name(measurement, uid) for uid in uids)
    return found


def document(gpu: GpuView) -> dict[str, object]:
    """As the API tells it; None for what is not known."""
    totals, labels = gpu.totals, gpu.labels
    return {
        "gpu": labels.index,
        "uuid": labels.uuid,
        "name": labels.name,
        "vendor": labels.vendor,
        "watts": _known(totals.watts),
        "idle_watts": _known(totals.idle_watts),
        "active_watts": _known(totals.active_watts),
        "joules": totals.joules,
        "idle_joules": totals.idle_joules,
        "active_joules": totals.active_joules,
        "idle_method": gpu.idle_method or None,
        "pods": list(gpu.pods),
    }


def _name(measurement: Measurement, uid: str) -> str:
    info = measurement.pods.lookup(uid)
    return f"{info.namespace}/{info.name}" if info else uid


def _known(watts: float) -> float | None:
    return None if math.isnan(watts) else watts
