"""What one process leaves to the next, and how it lies in the state file.

Everything is checked when it is read: a file that some program wrote with the right checksum must not make a
counter go down, or a page that cannot be rendered. A row that does not hold is left out, alone; where none of
its kind holds, or what they stand in does not, StateInvalid is raised.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from ebpf.counters import FIELDS, Kept
from ebpf.version import VERSION
from estimator.attribution.usage import CounterTotals
from estimator.meters.port import ZoneReading
from exporter.books.ledger import kept_width
from exporter.books.node_totals import KeptTotals, NodeCharges
from exporter.books.processes import KeptProcesses, process_info
from exporter.books.row_table import KeptRows
from exporter.errors import StateInvalid
from exporter.names.accounts import Account
from exporter.names.workloads import Kind, Workload
from exporter.restarts.carried_counters import Key
from exporter.restarts.state_file import Array, StoredState, of_another

log = logging.getLogger("exporter.continuity")

T = TypeVar("T")

BEFORE_PODJOULE = 1_700_000_000.0  # November 2023: every counter was 0 then
CONTENT = 1  # goes up when what is kept, or what it means, is another
_FIELDS_BEFORE = 5  # in states of versions that told no hardware threads apart
_KINDS = get_args(Kind)
_MOST = 1e30  # of any amount: sums of such stay finite
_UNSOUND = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """One tick's end. wall_seconds: Unix time; monotonic_ns: CLOCK_MONOTONIC of the boot.

    source: what the counter source left. totals, readings: the last counters and meter readings, what was
    booked up to. currency: of the cost, "" where there was none. carried: see Carried.kept.
    start_seconds, starts: see Measurement; None and none where the file is of a version that kept neither,
    and its rows began BEFORE_PODJOULE.
    """

    node_name: str
    boot_id: str
    wall_seconds: float
    monotonic_ns: int
    source: Kept
    totals: CounterTotals | None
    readings: Mapping[str, ZoneReading]
    rows: KeptRows
    processes: KeptProcesses | None
    node: KeptTotals
    carried: Mapping[Key, tuple[float, float]]
    currency: str
    start_seconds: float | None
    starts: Mapping[Key, float]


class Encoder:
    """Makes a StoredState of what is kept; texts that did not change since are not written out again."""

    def __init__(self) -> None:
        self._accounts: dict[str, tuple[tuple[Account, ...], Array]] = {}
        self._paths: tuple[Mapping[int, str], Array] = ({}, _blob([]))

    def encode(self, saved: Saved) -> StoredState:
        """The state for the file."""
        return StoredState(
            {
                "content": CONTENT,
                "version": VERSION,
                "node_name": saved.node_name,
                "boot_id": saved.boot_id,
                "wall_seconds": saved.wall_seconds,
                "monotonic_ns": saved.monotonic_ns,
                "identity": saved.source.identity,
                "currency": saved.currency,
                "zones": saved.rows.zones,
                "process_zones": saved.processes.rows.zones if saved.processes else None,
                "node": _node_document(saved.node),
                # Apart, since a podjoule of before there were several meters reads the first alone.
                "readings": [_reading_document(each) for each in saved.readings.values() if _is_plain(each)],
                "meter_readings": [
                    [*_reading_document(each), each.source, each.device]
                    for each in saved.readings.values()
                    if not _is_plain(each)
                ],
                "carried": [[name, labels, *counts] for (name, labels), counts in saved.carried.items()],
                "start_seconds": saved.start_seconds,
                "starts": [[*key, seconds] for key, seconds in saved.starts.items()],
                "totals_ns": saved.totals.monotonic_ns if saved.totals else None,
                "awake_ns": [*saved.totals.awake_ns.items()] if saved.totals else [],
            },
            self._arrays(saved),
        )

    def _arrays(self, saved: Saved) -> dict[str, Array]:
        arrays = {"paths": self._path_blob(saved.source.paths), "files": saved.source.files}
        arrays |= self._row_arrays("", saved.rows)
        if saved.processes:
            arrays |= self._row_arrays("process_", saved.processes.rows)
            arrays |= {"process_ids": saved.processes.ids, "process_row_of": saved.processes.row_of}
        if saved.totals:
            totals = saved.totals
            arrays |= {"totals_id": totals.cgroup_id, "totals_tgid": totals.tgid}
            arrays |= {"totals_values": totals.values, "totals_dropped": totals.dropped}
        return arrays

    def _row_arrays(self, prefix: str, rows: KeptRows) -> dict[str, Array]:
        kept = self._accounts.get(prefix)
        if kept is None or kept[0] is not rows.accounts:
            kept = self._accounts[prefix] = rows.accounts, _blob(list(map(_account_document, rows.accounts)))
        return {
            f"{prefix}accounts": kept[1],
            f"{prefix}values": rows.values,
            f"{prefix}ended": rows.ended_seconds,
            f"{prefix}since": rows.since_seconds,
        }

    def _path_blob(self, paths: Mapping[int, str]) -> Array:
        if self._paths[0] != paths:
            self._paths = paths, _blob(list(paths.items()))
        return self._paths[1]


def decode(path: Path, state: StoredState) -> Saved:
    """What the file holds. Raises StateInvalid, naming the file, for whatever does not hold."""
    try:
        content = state.document.get("content")
        if isinstance(content, int) and content > CONTENT:
            writer = str(state.document.get("version"))
            raise of_another(path, f"holds content {content} of podjoule {writer}, this one reads {CONTENT}")
        return _decoded(state)
    except _UNSOUND as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise StateInvalid(f"{path} holds what podjoule {VERSION} cannot go on from: {what}") from error


def _decoded(state: StoredState) -> Saved:
    document, arrays = state.document, state.arrays
    if document["content"] != CONTENT:
        raise ValueError(f"content {document['content']!r}, want {CONTENT}")
    if document["totals_ns"] is not None and _natural(document["totals_ns"]) > document["monotonic_ns"]:
        raise ValueError("counters that are younger than the file")
    has_processes = document["process_zones"] is not None
    return Saved(
        node_name=_text(document["node_name"]),
        boot_id=_text(document["boot_id"]),
        wall_seconds=_amount(document["wall_seconds"]),
        monotonic_ns=_natural(document["monotonic_ns"]),
        source=_source(document, arrays),
        totals=_totals(document, arrays) if document["totals_ns"] is not None else None,
        readings={
            reading.path: reading
            for name in ("readings", "meter_readings")
            for reading in _sound(name, _reading, document.get(name, []))
        },
        rows=_rows(document["zones"], arrays, "")[0],
        processes=_processes(document, arrays) if has_processes else None,
        node=_node(document["node"]),
        carried=dict(_sound("carried counters", _carried, document["carried"])),
        currency=_text(document["currency"]),
        start_seconds=_amount(document["start_seconds"]) if "start_seconds" in document else None,
        starts=dict(_sound("starts", _start, document.get("starts", []))),
    )


def _source(document: Mapping[str, Any], arrays: Mapping[str, Array]) -> Kept:
    paths = dict(_sound("paths", _id_and_path, _unblob(arrays["paths"])))
    return Kept(_text(document["identity"]), paths, _shaped(arrays["files"], "files", np.uint64, None, 3))


def _totals(document: Mapping[str, Any], arrays: Mapping[str, Array]) -> CounterTotals:
    ids = _shaped(arrays["totals_id"], "totals_id", np.uint64, None)
    tgids = _shaped(arrays["totals_tgid"], "totals_tgid", np.uint32, len(ids))
    dropped = _shaped(_padded(arrays["totals_dropped"]), "totals_dropped", np.uint64, None, len(FIELDS))
    if len(set(zip(ids.tolist(), tgids.tolist(), strict=True))) != len(ids):
        raise ValueError("a cgroup has two counters")
    values = _padded(arrays["totals_values"])
    return CounterTotals(
        ids,
        tgids,
        _shaped(values, "totals_values", np.uint64, len(ids), len(dropped), len(FIELDS)),
        dropped,
        _natural(document["totals_ns"]),
        dict(_sound("sockets' awake times", _two_naturals, document.get("awake_ns", []))),
    )


def _padded(counters: Array) -> Array:
    """Counters of a version without what came last in FIELDS: nothing was counted of that."""
    if counters.ndim == 0 or counters.shape[-1] != _FIELDS_BEFORE:
        return counters
    return np.pad(counters, [(0, 0)] * (counters.ndim - 1) + [(0, len(FIELDS) - _FIELDS_BEFORE)])


def _two_naturals(row: Any) -> tuple[int, int]:
    one, other = row
    return _natural(one), _natural(other)


def _rows(zones: Any, arrays: Mapping[str, Array], prefix: str) -> tuple[KeptRows, npt.NDArray[np.bool_]]:
    """The rows that hold, and which of those in the file they are."""
    documents, names = _unblob(arrays[f"{prefix}accounts"]), tuple(map(_text, zones))
    width = kept_width(len(names))
    values = _shaped(arrays[f"{prefix}values"], f"{prefix}values", np.float64, len(documents), width)
    ended = _shaped(arrays[f"{prefix}ended"], f"{prefix}ended", np.float64, len(documents))
    unknown = np.full(len(documents), BEFORE_PODJOULE)
    since = _shaped(arrays.get(f"{prefix}since", unknown), f"{prefix}since", np.float64, len(documents))
    rows = zip(documents, values, ended.tolist(), since.tolist(), strict=True)
    found = _each("workloads", _process_row if prefix else _row, rows)
    accounts = tuple(account for account in found if account is not None)
    if len({account.key for account in accounts}) != len(accounts) or len(set(names)) != len(names):
        raise ValueError("a workload or a zone is there twice")
    holds = np.array([account is not None for account in found], np.bool_)
    return KeptRows(accounts, names, values[holds], ended[holds], since[holds]), holds


def _row(row: tuple[Any, Array, float, float]) -> Account:
    document, values, ended, since = row
    _amount(since)
    if not ((values >= 0) & (values < _MOST)).all() or not -1 <= ended < _MOST:
        raise ValueError("an amount or an age is negative or not finite")
    return _account(*document)


def _process_row(row: tuple[Any, Array, float, float]) -> Account:
    account = _row(row)
    process_info(account.workload.id)
    return account


def _processes(document: Mapping[str, Any], arrays: Mapping[str, Array]) -> KeptProcesses:
    rows, holds = _rows(document["process_zones"], arrays, "process_")
    ids = _shaped(arrays["process_ids"], "process_ids", np.uint64, None)
    row_of = _shaped(arrays["process_row_of"], "process_row_of", np.int64, len(ids))
    if not ((row_of >= 0) & (row_of < len(holds))).all():
        raise ValueError("a process has no row")
    known = holds[row_of]
    return KeptProcesses(rows, ids[known], np.cumsum(holds)[row_of[known]] - 1)


def _node(document: Mapping[str, Any]) -> KeptTotals:
    return KeptTotals(
        {(_text(zone), _text(path)): _amounts(joules, 3) for zone, path, joules in document["joules"]},
        {(_text(zone), _text(why)): _amount(joules) for zone, why, joules in document["unattributed"]},
        NodeCharges(
            _amounts(document["charged"], 2),
            _amounts(document["idle_charged"], 2),
            {_text(why): _amounts(charged, 2) for why, charged in document["unattributed_charged"]},
        ),
    )


def _node_document(node: KeptTotals) -> dict[str, Any]:
    charges = node.charges
    return {
        "joules": [[*key, joules.tolist()] for key, joules in node.joules.items()],
        "unattributed": [[*key, joules] for key, joules in node.unattributed.items()],
        "charged": charges.total.tolist(),
        "idle_charged": charges.idle.tolist(),
        "unattributed_charged": [[why, charged.tolist()] for why, charged in charges.unattributed.items()],
    }


def _reading_document(reading: ZoneReading) -> list[Any]:
    counted = (reading.energy_uj, reading.max_energy_uj, reading.boottime_ns)
    return [reading.zone, reading.socket, reading.path, *counted]


def _is_plain(reading: ZoneReading) -> bool:
    return reading.source == "rapl" and not reading.device


def _reading(row: Any) -> ZoneReading:
    zone, socket, path, energy_uj, max_energy_uj, boottime_ns, *beside = row
    source, device = beside or ("rapl", "")
    return ZoneReading(
        _text(zone),
        None if socket is None else _natural(socket),
        _text(path),
        _natural(energy_uj),
        _natural(max_energy_uj),
        _natural(boottime_ns),
        source=_text(source),
        device=_text(device),
    )


def _account_document(account: Account) -> list[Any]:
    workload = account.workload
    place = (workload.cgroup, workload.runtime, workload.pod_uid, workload.hypervisor)
    return [workload.kind, workload.id, *place, account.name, account.namespace, account.is_settled]


def _account(*row: Any) -> Account:
    *texts, is_settled = row
    kind, workload_id, cgroup, runtime, pod_uid, hypervisor, name, namespace = map(_text, texts)
    if kind not in _KINDS or not isinstance(is_settled, bool):
        raise ValueError(f"no workload: {row!r:.200}")
    workload = Workload(kind, workload_id, cgroup, runtime, pod_uid, hypervisor)  # type: ignore[arg-type]
    return Account(workload, name, namespace, is_settled)


def _carried(row: Any) -> tuple[Key, tuple[float, float]]:
    name, labels, before, own = row
    return (_text(name), tuple(map(_text, labels))), (_amount(before), _amount(own))


def _start(row: Any) -> tuple[Key, float]:
    name, labels, seconds = row
    return (_text(name), tuple(map(_text, labels))), _amount(seconds)


def _id_and_path(row: Any) -> tuple[int, str]:
    cgroup_id, path = row
    path.encode("utf-8", "surrogateescape")  # a directory's name may be any bytes, as os.fsdecode has them
    return _natural(cgroup_id), path


def _each(what: str, parse: Callable[[Any], T], rows: Iterable[Any]) -> list[T | None]:
    """Every row parsed, None where it does not hold, which a line says. Raises ValueError if none does."""
    found: list[T | None] = []
    refused: list[Exception] = []
    for row in rows:
        try:
            found.append(parse(row))
        except _UNSOUND as error:
            found.append(None)
            refused.append(error)
    if refused and len(refused) == len(found):
        raise ValueError(f"none of the {what} holds: {refused[0]}")
    if refused:
        log.warning("%d of %d %s are not gone on from: %s", len(refused), len(found), what, refused[0])
    return found


def _sound(what: str, parse: Callable[[Any], T], rows: Iterable[Any]) -> list[T]:
    return [row for row in _each(what, parse, rows) if row is not None]


def _blob(document: list[Any]) -> Array:
    """Text among the arrays, so that it is not written out anew each time."""
    return np.frombuffer(json.dumps(document, separators=(",", ":")).encode(), np.uint8)


def _unblob(array: Array) -> list[Any]:
    found: object = json.loads(array.tobytes())
    if not isinstance(found, list):
        raise ValueError(f"{str(found)[:50]} is no list")
    return found


def _shaped(array: Array, name: str, dtype: npt.DTypeLike, *shape: int | None) -> Array:
    """The array, if it has this type and shape; None stands for any length."""
    fits = len(array.shape) == len(shape) and all(
        want in (None, found) for want, found in zip(shape, array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        raise ValueError(f"array {name} is {array.dtype} of shape {array.shape}")
    return array


def _text(value: Any) -> str:
    """A string that a page can hold: JSON may bring halves of surrogate pairs. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.50} is no text")
    value.encode()
    return value


def _checked(convert: Callable[[Any], Any], value: Any, most: float) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r:.50} is no number")
    if not (math.isfinite(value) and 0 <= value < most):
        raise ValueError(f"{value!r:.50} is negative, not finite or too large")
    return convert(value)


def _amount(value: Any) -> float:
    return float(_checked(float, value, _MOST))


def _natural(value: Any) -> int:
    return int(_checked(int, value, 2**64))


def _amounts(values: Any, n: int) -> npt.NDArray[np.float64]:
    amounts = np.array(list(map(_amount, values)))
    if amounts.shape != (n,):
        raise ValueError(f"{len(amounts)} amounts, want {n}")
    return amounts
