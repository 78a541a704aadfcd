"""A recording, tick by tick: the inverse of exporter.recording.tables."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebpf.counters import FIELDS, CounterArray
from ebpf.errors import UsageError
from estimator.energy import ZoneEnergy
from exporter.names.workloads import Kind
from exporter.recording.arrow import UNREADABLE, pa, pq
from exporter.recording.columns import AWAKE, COUNTED
from exporter.recording.files import (
    Listing,
    RecordedMachine,
    RecordingFile,
    check,
    left_over,
    list_pieces,
    machine_of,
)
from exporter.recording.moments import NO_SOCKET, Moment, Names
from exporter.recording.tables import WORKLOADS, ZONES

log = logging.getLogger("exporter.replay")

_SLEEP = ("suspended_seconds", "suspended_joules")


class Recording:
    """A directory that `podjoule record` wrote, read only. Raises UsageError where there is nothing in it.

    What is no part of it, or cannot be read, is named in the log and passed over. tells_sockets: whether some
    of it tells sockets apart.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._listing = _usable(directory)
        samples = [piece.path for piece in self._listing.pieces if piece.table == "samples"]
        if not samples:
            raise UsageError(
                f"there is no recording in {directory}: give what --output of podjoule record named"
            )
        machines = [machine_of(path) for path in samples]
        sockets = tuple(sorted({socket for machine in machines for socket in machine.sockets}))
        self.machine = RecordedMachine(sockets, machines[-1].processors)
        self.tells_sockets = any(
            _tells_sockets(piece.path) for piece in self._listing.pieces if piece.table == "workloads"
        )
        self.node = self._one_node(samples)

    def ticks(self) -> Iterator[Moment]:
        """Every tick, hour by hour; an hour at a time is in memory."""
        for hour in self._listing.hours():
            samples = _read(self._listing.of(hour, "samples"), None)
            if samples is not None:
                yield from _ticks_of(
                    samples,
                    _Workloads(_read(self._listing.of(hour, "workloads"), WORKLOADS)),
                    _Zones(_read(self._listing.of(hour, "zones"), ZONES)),
                )

    def _one_node(self, samples: Sequence[Path]) -> str:
        nodes = {
            str(node) for path in samples for node in pq.read_table(path, columns=["node"])["node"].unique()
        }
        if len(nodes) > 1:
            raise UsageError(
                f"{self._directory} holds recordings of {len(nodes)} nodes ({', '.join(sorted(nodes))}):"
                " give each a directory of its own"
            )
        return nodes.pop()


def _usable(directory: Path) -> Listing:
    try:
        listing = list_pieces(directory)
    except OSError as error:
        raise UsageError(f"the recording {directory} cannot be read: {error.strerror}") from error
    bad = check(listing.pieces)
    for path, reason in (listing.strange | bad).items():
        log.warning("%s is passed over: %s", path, reason)
    good = [piece for piece in listing.pieces if piece.path not in bad]
    groups: dict[tuple[str, str], list[RecordingFile]] = {}
    for piece in good:
        groups.setdefault((piece.hour, piece.table), []).append(piece)
    left = {piece.path for group in groups.values() for piece in left_over(group)}
    return Listing([piece for piece in good if piece.path not in left])


def _tells_sockets(path: Path) -> bool:
    metadata = pq.read_metadata(path)
    column = metadata.schema.to_arrow_schema().get_field_index("socket")
    groups = (metadata.row_group(i).column(column) for i in range(metadata.num_row_groups))
    return any(group.statistics is None or group.statistics.null_count < group.num_values for group in groups)


def _read(pieces: Sequence[RecordingFile], schema: Any) -> Any:
    """One table of them all; with a schema, an empty one where there is none."""
    parts = [] if schema is None else [schema.empty_table()]
    for piece in pieces:
        try:
            parts.append(pq.read_table(piece.path, use_threads=False))
        except UNREADABLE as error:
            log.error("%s is passed over: %s", piece.path, error)
    return pa.concat_tables(parts, promote_options="default") if parts else None


def _ticks_of(samples: Any, workloads: _Workloads, zones: _Zones) -> Iterator[Moment]:
    for row in samples.to_pylist():
        at, context = row["timestamp_seconds"], json.loads(row["context"])
        awake = context.pop(AWAKE, {})
        yield Moment(
            timestamp_seconds=at,
            interval_seconds=row["interval_seconds"],
            n_cpu=row["n_cpu"],
            available=frozenset(
                FIELDS[field] for name, (field, _) in COUNTED.items() if row.get(name) is not None
            ),
            energies=zones.at(at),
            context=context,
            awake_seconds={int(socket): float(seconds) for socket, seconds in awake.items()},
            **workloads.at(at),
        )


class _Runs:
    """Where the rows of each timestamp lie; they are written together."""

    def __init__(self, table: Any) -> None:
        times = table["timestamp_seconds"].to_numpy()
        starts = np.flatnonzero(np.diff(times, prepend=np.nan) != 0)
        ends = np.append(starts[1:], len(times))
        self._of = {
            times[start]: slice(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        }

    def at(self, timestamp_seconds: float) -> slice:
        return self._of.get(timestamp_seconds, slice(0, 0))


class _Zones:
    def __init__(self, table: Any) -> None:
        self._runs = _Runs(table)
        self._rows = table.to_pylist()

    def at(self, timestamp_seconds: float) -> list[ZoneEnergy]:
        return [_energy(row) for row in self._rows[self._runs.at(timestamp_seconds)]]


def _energy(row: Mapping[str, Any]) -> ZoneEnergy:
    """Older recordings tell nothing of sleep: nothing then, or null in an hour that has newer pieces too."""
    known = {name: row[name] for name in ZoneEnergy.__slots__ if name in row}
    return ZoneEnergy(**known | {name: known.get(name) or 0.0 for name in _SLEEP})


class _Workloads:
    """The workloads table of an hour as columns."""

    def __init__(self, table: Any) -> None:
        self._runs = _Runs(table)
        self._counts = _counts(table)
        self._ids = table["cgroup_id"].fill_null(0).to_numpy()
        self._is_dropped = table["cgroup_id"].is_null().to_numpy()
        self._is_alive = table["is_alive"].to_numpy()
        self._socket = table["socket"].fill_null(NO_SOCKET).to_numpy()
        self._paths, self._path_at = _texts(table["cgroup"])
        self._names = _names(table)

    def at(self, timestamp_seconds: float) -> dict[str, Any]:
        """The fields of Moment that come from here."""
        rows = self._runs.at(timestamp_seconds)
        return {
            "counts": self._counts[rows],
            "cgroup_id": self._ids[rows],
            "is_dropped": self._is_dropped[rows],
            "is_alive": self._is_alive[rows],
            "socket": self._socket[rows],
            "paths": [self._paths[at] for at in self._path_at[rows].tolist()],
            "names": self._names,
        }


def _counts(table: Any) -> CounterArray:
    counts = np.zeros((len(table), len(FIELDS)), np.uint64)
    for name, (field, per_unit) in COUNTED.items():
        counts[:, field] = np.rint(table[name].fill_null(0.0).to_numpy() * per_unit)
    return counts


def _texts(column: Any) -> tuple[list[str | None], npt.NDArray[np.int64]]:
    """Each text once, and which of them every row has: an hour has few texts and many rows."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def _names(table: Any) -> Names:
    """The names that the hour's rows bear."""
    columns = ["container_id", "container_name", "pod_uid", "pod_name", "pod_namespace"]
    names: dict[tuple[Kind, str], tuple[str, str]] = {}
    for row in table.select(columns).group_by(columns).aggregate([]).to_pylist():
        container_id, container_name, pod_uid, pod_name, pod_namespace = (row[name] or "" for name in columns)
        if container_name:
            names["container", container_id] = container_name, ""
        if pod_name:
            names["pod", pod_uid] = pod_name, pod_namespace
    return names
