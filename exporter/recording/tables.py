"""The three tables of a recording, made from moments; recorder.py tells their columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ebpf.counters import FIELDS
from estimator.energy import ZoneEnergy
from exporter.names.workloads import identify
from exporter.recording.arrow import pa
from exporter.recording.columns import AWAKE, CLOCKED, COUNTED, DERIVED, clocked_cycles, counted
from exporter.recording.moments import NO_SOCKET, Moment, Names

TABLES = ("workloads", "zones", "samples")
"""In the order they are written: where a tick is in samples, the others have it too."""

# A zone that has not answered for so many ticks is gone; until then its sum lacks a part.
_EXPECTED_TICKS = 12
# A reading that spans another time than the row (the last one failed) belongs to no row of the table.
_SPAN_TOLERANCE = 0.1

_TIME = [("timestamp_seconds", pa.float64()), ("node", pa.string()), ("interval_seconds", pa.float64())]
_COUNTS = [("n_cpu", pa.int32()), *((name, pa.float64()) for name in COUNTED)]
_SAMPLES = [*_TIME, *_COUNTS, *((name, pa.float64()) for name in DERIVED if name not in COUNTED)]
WORKLOADS = pa.schema(
    [
        *_TIME,
        *_COUNTS,
        ("cgroup", pa.string()),
        ("container_id", pa.string()),
        ("pod_uid", pa.string()),
        ("socket", pa.int32()),
        ("cgroup_id", pa.uint64()),
        ("is_alive", pa.bool_()),
        ("container_name", pa.string()),
        ("pod_name", pa.string()),
        ("pod_namespace", pa.string()),
    ]
)
ZONES = pa.schema(
    [
        *_TIME,
        ("zone", pa.string()),
        ("socket", pa.int32()),
        ("path", pa.string()),
        ("joules", pa.float64()),
        ("idle_watts", pa.float64()),
        ("low_joules", pa.float64()),
        ("high_joules", pa.float64()),
        ("suspended_seconds", pa.float64()),
        ("suspended_joules", pa.float64()),
    ]
)


class MeasuredZones:
    """What may stand in the samples table: a zone's whole energy, measured, of exactly the row's interval.

    An estimate is left out, or a model would be trained on a model; so is a zone of which a part is missing.
    """

    def __init__(self) -> None:
        self._silent_ticks: dict[tuple[str, str], int] = {}

    def cells(self, moment: Moment) -> dict[str, float]:
        """<zone>_joules by column, over the sockets."""
        if moment.context["power"]["source"] in ("model", "none"):
            return {}
        partial = self._partial(moment)
        sums: dict[str, float] = {}
        for energy in moment.energies:
            if energy.zone not in partial:
                column = f"{energy.zone}_joules"
                sums[column] = sums.get(column, 0.0) + energy.joules
        return sums

    def _partial(self, moment: Moment) -> set[str]:
        answered = dict.fromkeys(((energy.zone, energy.path) for energy in moment.energies), 0)
        silent = {key: n + 1 for key, n in self._silent_ticks.items() if n < _EXPECTED_TICKS}
        self._silent_ticks = silent | answered
        allowed = _SPAN_TOLERANCE * moment.interval_seconds
        return {zone for (zone, _), n in self._silent_ticks.items() if n} | {
            energy.zone
            for energy in moment.energies
            if abs(energy.interval_seconds - moment.interval_seconds) > allowed
        }


def tables(
    moments: Sequence[Moment], cells: Sequence[Mapping[str, float]], node: str, names: Names
) -> dict[str, Any]:
    """The three tables of these moments, by name; cells: MeasuredZones', one a moment."""
    return {
        "workloads": _workloads(moments, node, names),
        "zones": _zones(moments, node),
        "samples": _samples(moments, cells, node),
    }


def _samples(moments: Sequence[Moment], cells: Sequence[Mapping[str, float]], node: str) -> Any:
    zone_columns = sorted({column for row in cells for column in row})
    schema = pa.schema(
        [*_SAMPLES, *((column, pa.float64()) for column in zone_columns), ("context", pa.string())]
    )
    rows = [
        {**_time(moment, node), **_totals(moment), **row, "context": json.dumps(_context(moment))}
        for moment, row in zip(moments, cells, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema)


def _context(moment: Moment) -> dict[str, Any]:
    """What was in force; and, where it is counted, how long each socket was awake, which the column sums."""
    awake = {str(socket): seconds for socket, seconds in moment.awake_seconds.items()}
    return {**moment.context, **({AWAKE: awake} if awake else {})}


def _totals(moment: Moment) -> dict[str, float]:
    totals = moment.counts.sum(axis=0)
    columns = {name: float(totals[field] / per_unit) for name, field, per_unit in counted(moment.available)}
    if {"cpu_ns", "cycles"} <= moment.available:
        columns[CLOCKED] = clocked_cycles(moment.counts)
    if moment.awake_seconds:
        columns[AWAKE] = sum(moment.awake_seconds.values())
    return {"n_cpu": moment.n_cpu, **columns}


def _zones(moments: Sequence[Moment], node: str) -> Any:
    rows = [{**_time(moment, node), **_zone(energy)} for moment in moments for energy in moment.energies]
    return pa.Table.from_pylist(rows, ZONES)


def _zone(energy: ZoneEnergy) -> dict[str, object]:
    return {
        "interval_seconds": energy.interval_seconds,
        "zone": energy.zone,
        "socket": energy.socket,
        "path": energy.path,
        "joules": energy.joules,
        "idle_watts": energy.idle_watts,
        "low_joules": energy.low_joules,
        "high_joules": energy.high_joules,
        "suspended_seconds": energy.suspended_seconds,
        "suspended_joules": energy.suspended_joules,
    }


def _time(moment: Moment, node: str) -> dict[str, object]:
    return {
        "timestamp_seconds": moment.timestamp_seconds,
        "node": node,
        "interval_seconds": moment.interval_seconds,
    }


def _workloads(moments: Sequence[Moment], node: str, names: Names) -> Any:
    lengths = [len(moment.counts) for moment in moments]

    def of_tick(values: Sequence[float]) -> Any:
        return np.repeat(np.array(values), lengths)

    def of_row(name: str) -> Any:
        return np.concatenate([getattr(moment, name) for moment in moments])

    counts, socket, is_dropped = of_row("counts"), of_row("socket"), of_row("is_dropped")
    paths = pa.array([path for moment in moments for path in moment.paths], pa.string()).dictionary_encode()
    columns = {
        "timestamp_seconds": of_tick([moment.timestamp_seconds for moment in moments]),
        "node": pa.repeat(node, len(counts)),
        "interval_seconds": of_tick([moment.interval_seconds for moment in moments]),
        "n_cpu": of_tick([moment.n_cpu for moment in moments]),
        "socket": pa.array(socket, mask=socket == NO_SOCKET),
        "cgroup_id": pa.array(of_row("cgroup_id"), mask=is_dropped),
        "is_alive": of_row("is_alive"),
    }
    for name, (field, per_unit) in COUNTED.items():
        missing = of_tick([FIELDS[field] not in moment.available for moment in moments])
        columns[name] = pa.array(counts[:, field] / per_unit, mask=missing)
    for name, texts in _texts(paths.dictionary.to_pylist(), names).items():
        columns[name] = pa.array(texts, pa.string()).take(paths.indices)
    return pa.table(columns).select(WORKLOADS.names).cast(WORKLOADS)


def _texts(paths: Sequence[str], names: Names) -> dict[str, list[str | None]]:
    """The columns of text, a value for each path."""
    nobody = ("", "")
    workloads = [identify(path) for path in paths]
    containers = [each.id if each.kind == "container" else "" for each in workloads]
    of_container = [names.get(("container", each), nobody) for each in containers]
    of_pod = [names.get(("pod", each.pod_uid), nobody) for each in workloads]
    return {
        "cgroup": list(paths),
        "container_id": [each or None for each in containers],
        "pod_uid": [each.pod_uid or None for each in workloads],
        "container_name": [name or None for name, _ in of_container],
        "pod_name": [name or None for name, _ in of_pod],
        "pod_namespace": [namespace or None for _, namespace in of_pod],
    }
