"""/api/v1/status: the node, its energy and where that comes from, and how podjoule fares."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ebpf.version import VERSION
from exporter.serving.api.grid import Grid
from exporter.serving.api.view import Pace, View, ZoneView


def status(view: View, now_seconds: float, unhealthy: str | None) -> dict[str, object]:
    """The document; None for what is not known. now_seconds: of the ticks' clock. unhealthy: why, if so."""
    return {
        "version": VERSION,
        "node": view.node,
        "healthy": unhealthy is None,
        "reason": unhealthy,
        "started": view.pace.unix(view.pace.started_seconds),
        "uptime_seconds": round(now_seconds - view.pace.started_seconds, 3),
        "tick": _tick(view.pace, now_seconds),
        "energy": _energy(view),
        "zones": [_zone(zone) for zone in view.energy.zones],
        "counters": {
            "source": view.counting.source,
            "available": sorted(view.counting.available),
            "dropped_cpu_seconds": view.counting.dropped_seconds,
            "lost_events": view.counting.lost_events,
            "by_process": view.counting.by_process,
        },
        "cpu": {"online": view.n_cpu, "usage_ratio": known(view.cpu_ratio)},
        "components": _components(view),
        "kubernetes": _kubernetes(view),
        "grid": _grid(view.grid),
        "history": {
            "seconds": view.history.n_slots * view.history.slot_seconds,
            "step_seconds": view.history.slot_seconds,
        },
    }


def known(value: float) -> float | None:
    """None for a NaN, which JSON has no word for."""
    return None if math.isnan(value) else value


def _tick(pace: Pace, now_seconds: float) -> dict[str, object]:
    return {
        "number": pace.number,
        "time": pace.unix(pace.ended_seconds),
        "age_seconds": round(now_seconds - pace.ended_seconds, 3),
        "interval_seconds": pace.interval_seconds,
        "spanned_seconds": pace.spanned_seconds,
        "duration_seconds": pace.duration_seconds,
        "failure": pace.failure or None,
    }


def _energy(view: View) -> dict[str, object]:
    energy = view.energy
    counted = [zone for zone in energy.zones if zone.totals.zone in energy.counted_zones]
    totals = [zone.totals for zone in counted]
    return {
        "source": energy.source.source,
        "estimated": view.is_estimated,
        "model": energy.source.model or None,
        "model_sha256": energy.source.sha256 or None,
        "counted_zones": list(energy.counted_zones),
        "watts": _sum(zone.watts for zone in totals),
        "low_watts": _sum_of_known(zone.low_watts for zone in counted),
        "high_watts": _sum_of_known(zone.high_watts for zone in counted),
        "idle_watts": _sum(zone.idle_watts for zone in totals),
        "active_watts": _sum(zone.active_watts for zone in totals),
        "unattributed_watts": known(energy.unattributed_watts),
        "joules": _sum(zone.joules for zone in totals),
        "idle_joules": _sum(zone.idle_joules for zone in totals),
        "active_joules": _sum(zone.active_joules for zone in totals),
        "unattributed_joules": energy.unattributed_joules if counted else None,
        "carbon_grams": known(energy.carbon_grams),
        "cost": known(energy.cost),
        "errors": dict(energy.errors),
    }


def _zone(zone: ZoneView) -> dict[str, object]:
    totals = zone.totals
    return {
        "zone": totals.zone,
        "path": totals.path,
        "watts": known(totals.watts),
        "idle_watts": known(totals.idle_watts),
        "active_watts": known(totals.active_watts),
        "low_watts": zone.low_watts,
        "high_watts": zone.high_watts,
        "joules": totals.joules,
        "idle_joules": totals.idle_joules,
        "active_joules": totals.active_joules,
        "idle_method": zone.idle_method or None,
        "source": zone.source or None,
        "why": zone.why or None,
    }


def _components(view: View) -> list[dict[str, object]]:
    return [
        {"name": name, "up": part.up, "errors": part.errors, "duration_seconds": part.duration_seconds}
        for name, part in view.components.items()
    ]


def _kubernetes(view: View) -> dict[str, object] | None:
    found = view.kubernetes
    if found is None:
        return None
    return {"current": found.is_current, "pods": found.pods, "errors": dict(found.errors)}


def _grid(grid: Grid) -> dict[str, object]:
    return {
        "carbon_grams_per_kwh": known(grid.carbon_grams_per_kwh),
        "zone": grid.zone or None,
        "provider": grid.provider or None,
        "price_per_kwh": known(grid.price_per_kwh),
        "currency": grid.currency or None,
        "pue": grid.pue,
    }


def _sum(values: Iterable[float]) -> float | None:
    found = list(values)
    return known(math.fsum(found)) if found else None


def _sum_of_known(values: Iterable[float | None]) -> float | None:
    found = list(values)
    given = [value for value in found if value is not None]
    return math.fsum(given) if found and len(given) == len(found) else None
