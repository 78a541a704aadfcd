"""The three tables of a recording, made from moments; their columns are told in exporter.recorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ebpf.counters import CPU_NS, FIELDS
from estimator.attribution import FEATURES
from estimator.energy import FloatArray, ZoneEnergy
from exporter.arrow import pa
from exporter.moments import Cgroup, Moment
from exporter.workloads import Kind

TABLES = ("workloads", "zones", "samples")
"""In the order they are written: where a tick is in samples, the others have it too."""

Names = Mapping[tuple[Kind, str], tuple[str, str]]
"""(kind, id) -> (name, namespace), for containers and pods."""

# A zone that has not answered for so many ticks is gone; until then its sum lacks a part.
_EXPECTED_TICKS = 12
# A reading that spans another time than the row (the last one failed) belongs to no row of the table.
_SPAN_TOLERANCE = 0.1

_TIME = [("timestamp_seconds", pa.float64()), ("node", pa.string()), ("interval_seconds", pa.float64())]
_COUNTS = [("n_cpu", pa.int32()), *((name, pa.float64()) for name in FEATURES)]
_SAMPLES = [*_TIME, *_COUNTS]
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
        if moment.source in ("model", "none"):
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
        {**_time(moment, node), **_totals(moment), **row, "context": moment.context}
        for moment, row in zip(moments, cells, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema)


def _totals(moment: Moment) -> dict[str, float]:
    totals = moment.used.sum(axis=(0, 1)) + moment.dropped.sum(axis=0)
    measured = {
        name: float(totals[field] / per_unit(field))
        for name, (field, _) in FEATURES.items()
        if FIELDS[field] in moment.available
    }
    return {"n_cpu": moment.n_cpu, **measured}


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
    }


def _time(moment: Moment, node: str) -> dict[str, object]:
    return {
        "timestamp_seconds": moment.timestamp_seconds,
        "node": node,
        "interval_seconds": moment.interval_seconds,
    }


def _workloads(moments: Sequence[Moment], node: str, names: Names) -> Any:
    blocks = [_flatten(moment) for moment in moments]
    lengths = [len(block.counts) for block in blocks]
    cgroups, at = _number(moments, blocks)
    counts = np.concatenate([block.counts for block in blocks])
    sockets = np.concatenate([block.sockets for block in blocks])
    pairs = list(zip(moments, blocks, strict=True))
    ids = [np.append(moment.cgroup_id, np.uint64(0))[block.rows] for moment, block in pairs]
    alive = [np.append(moment.is_alive, False)[block.rows] for moment, block in pairs]
    return (
        pa.table(
            {
                "timestamp_seconds": np.repeat([moment.timestamp_seconds for moment in moments], lengths),
                "node": pa.repeat(node, len(at)),
                "interval_seconds": np.repeat([moment.interval_seconds for moment in moments], lengths),
                "n_cpu": pa.array(np.repeat([moment.n_cpu for moment in moments], lengths), pa.int32()),
                **{
                    name: pa.array(counts[:, field] / per_unit(field), mask=np.isnan(counts[:, field]))
                    for name, (field, _) in FEATURES.items()
                },
                **{
                    name: pa.array(texts, pa.string()).take(at)
                    for name, texts in _texts(cgroups, names).items()
                },
                "socket": pa.array(sockets, pa.int32(), mask=sockets < 0),
                "cgroup_id": pa.array(np.concatenate(ids), mask=at.is_null().to_numpy(zero_copy_only=False)),
                "is_alive": np.concatenate(alive),
            }
        )
        .select(WORKLOADS.names)
        .cast(WORKLOADS)
    )


@dataclass(frozen=True, slots=True)
class _Block:
    """A moment's rows. rows: into its cgroups, -1 for what the map could not hold; sockets: -1 for none.

    counts: shape (n, n_fields), NaN where not measured.
    """

    rows: npt.NDArray[np.intp]
    sockets: npt.NDArray[np.int32]
    counts: FloatArray


def _flatten(moment: Moment) -> _Block:
    """One row a cgroup and socket, without the further sockets that it did not run on; dropped comes last."""
    kept = np.any(moment.used != 0, axis=2)
    kept[:, 0] = True
    rows, sockets = np.nonzero(kept)
    n_sockets = len(moment.sockets)
    counts = np.concatenate([moment.used[rows, sockets], moment.dropped])
    missing = [name not in moment.available for name in FIELDS]
    counts[:, missing] = np.nan
    numbers = np.array([-1 if number is None else number for number in moment.sockets], np.int32)
    return _Block(
        rows=np.concatenate([rows, np.full(n_sockets, -1)]),
        sockets=numbers[np.concatenate([sockets, np.arange(n_sockets)])],
        counts=counts,
    )


def _number(moments: Sequence[Moment], blocks: Sequence[_Block]) -> tuple[list[Cgroup], Any]:
    """Every cgroup once, and for each row which it is; null for what the map could not hold."""
    numbers: dict[Cgroup, int] = {}
    parts = []
    for moment, block in zip(moments, blocks, strict=True):
        of_moment = [numbers.setdefault(cgroup, len(numbers)) for cgroup in moment.cgroups]
        parts.append(np.array([*of_moment, -1])[block.rows])
    at = np.concatenate(parts)
    return list(numbers), pa.array(at, mask=at < 0)


def _texts(cgroups: Sequence[Cgroup], names: Names) -> dict[str, list[str | None]]:
    """The columns of text, a value for each cgroup."""
    nobody = ("", "")
    containers = [names.get(("container", cgroup.container_id or ""), nobody) for cgroup in cgroups]
    pods = [names.get(("pod", cgroup.pod_uid or ""), nobody) for cgroup in cgroups]
    return {
        "cgroup": [cgroup.path for cgroup in cgroups],
        "container_id": [cgroup.container_id for cgroup in cgroups],
        "pod_uid": [cgroup.pod_uid for cgroup in cgroups],
        "container_name": [name or None for name, _ in containers],
        "pod_name": [name or None for name, _ in pods],
        "pod_namespace": [namespace or None for _, namespace in pods],
    }


def per_unit(field: int) -> float:
    """How many of the counter are one of the feature: nanoseconds in a second, else 1."""
    return 1e9 if field == CPU_NS else 1.0
