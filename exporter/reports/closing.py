"""A month made immutable: its hours in one file, and a manifest of hashes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ebpf.errors import UsageError
from exporter.errors import AccountInvalid
from exporter.reports.hours import SETTLED_SECONDS
from exporter.reports.manifest import FileEntry, Manifest, read_manifest, sha256_of, verify
from exporter.reports.months import CLOSED, MANIFEST, Folder, Span, Store, hour_text
from exporter.reports.options import Options, of_metadata, only_ones
from exporter.reports.rows import schema

if TYPE_CHECKING:
    import pyarrow as pa

_ROW_GROUP = 122_880  # what one thread of DuckDB reads at a time
_SHOWN = 5


class HoursMissing(AccountInvalid):
    """Hours of the month are in no file."""


def close(
    store: Store,
    cluster: str,
    span: Span,
    now: float,
    allow_missing: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> Manifest:
    """Close a month; what was broken off is done again. now: unix time. progress: hears of each hour.

    Raises UsageError for a month that is not over or is not there, AccountInvalid for one that is closed, and
    HoursMissing.
    """
    folder = store.folder(cluster, span.name)
    if folder.is_closed:
        return _finish(store, folder)
    _refuse_early(store, folder, span, now)
    missing = [hour_text(hour) for hour in span.hours if hour not in folder.hours]
    if missing and not allow_missing:
        raise HoursMissing(
            f"{folder.path}: {len(missing)} hours of {span.name} are missing ({_some(missing)}); collect "
            "them with `podjoule report collect`, or close without them: --allow-missing"
        )
    options = only_ones(options_of(store, folder))
    entry = write_rows(store, folder, CLOSED, _hours(store, folder, progress), options)
    manifest = Manifest(cluster, span.name, (entry,), tuple(missing), options=options)
    store.write(f"{folder.path}/{MANIFEST}", manifest.content)
    _remove_hours(store, folder)
    return manifest


def _hours(store: Store, folder: Folder, progress: Callable[[int], object]) -> Iterator[pa.Table]:
    """Each in the order of KEY, and the hour is its first column: together they are in that order as well."""
    for hour in folder.hours:
        yield read_hour(store, folder, hour)
        progress(hour)


def read_hour(store: Store, folder: Folder, hour: int) -> pa.Table:
    """The rows of an hour's file. Raises AccountInvalid for one that is none, or has rows of another hour."""
    path = f"{folder.path}/{folder.hours[hour]}"
    table = read_table(store, path)
    if any(found != hour for found in table["hour_seconds"].unique().to_pylist()):
        raise AccountInvalid(f"{path}: has rows of another hour; remove it and collect it again")
    return table


def write_rows(
    store: Store, folder: Folder, name: str, tables: Iterator[pa.Table], options: Options | None
) -> FileEntry:
    """A Parquet file, whole or not at all, in row groups of one size: the same rows are the same bytes."""
    from pyarrow import parquet

    path = f"{folder.path}/{name}"
    rows, sums = 0, list[float]()
    with (
        store.replacing(path) as file,
        parquet.ParquetWriter(file, schema(options), compression="zstd", version="2.6") as writer,
    ):
        for table in _in_groups(tables):
            writer.write_table(table, row_group_size=_ROW_GROUP)
            rows += table.num_rows
            sums.append(math.fsum(table["joules"].to_pylist()))
    return FileEntry(name, sha256_of(store, path), rows, math.fsum(sums))


def _in_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    import pyarrow as pa

    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        while sum(each.num_rows for each in waiting) >= _ROW_GROUP:
            together = pa.concat_tables(waiting)
            yield together.slice(0, _ROW_GROUP).combine_chunks()
            waiting = [together.slice(_ROW_GROUP)]
    if any(each.num_rows for each in waiting):
        yield pa.concat_tables(waiting).combine_chunks()


def _finish(store: Store, folder: Folder) -> Manifest:
    """Remove the hours of a close that was broken off; refuse a month that is closed, or hours that it does
    not have."""
    manifest = read_manifest(store, folder)
    if not folder.hours:
        raise AccountInvalid(
            f"{folder.path}: {folder.month} is closed already; what was found since becomes rows of its own: "
            "collect into another store and `podjoule report close --correct --from STORE`"
        )
    verify(store, folder, manifest)
    for hour, name in folder.hours.items():
        path = f"{folder.path}/{name}"
        if not read_table(store, path).equals(rows_of(store, f"{folder.path}/{CLOSED}", hour)):
            raise AccountInvalid(
                f"{path}: differs from what was closed; move it to another store and give that to "
                "`podjoule report close --correct --from STORE`"
            )
    _remove_hours(store, folder)
    return manifest


def _remove_hours(store: Store, folder: Folder) -> None:
    for name in folder.hours.values():
        store.files.rm_file(f"{folder.path}/{name}")
    store.clear()


def _refuse_early(store: Store, folder: Folder, span: Span, now: float) -> None:
    over = span.to_seconds + SETTLED_SECONDS
    if now < over:
        when = datetime.fromtimestamp(over, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
        raise UsageError(f"{span.name} is not over: it can be closed from {when} on")
    if not folder.hours:
        known = ", ".join(store.months(folder.cluster)) or f"none of {folder.cluster}"
        raise UsageError(f"{folder.path}: no hours of {span.name} are there; there are months: {known}")


def options_of(store: Store, folder: Folder) -> Iterator[tuple[str, Options | None]]:
    """The paths of hours' files, and the options of each. Raises AccountInvalid for one that is none of
    ours."""
    from pyarrow import parquet

    for name in folder.hours.values():
        path = f"{folder.path}/{name}"
        with _opened(store, path) as file:
            yield path, of_metadata(parquet.read_schema(file).metadata)


def rows_of(store: Store, path: str, hour: int) -> pa.Table:
    """Those of one hour of a file. Raises AccountInvalid for a file that is none of ours."""
    with _opened(store, path) as file:
        from pyarrow import parquet

        return parquet.read_table(file, schema=schema(), filters=[("hour_seconds", "=", hour)])


def read_table(store: Store, path: str) -> pa.Table:
    """All rows of a file. Raises AccountInvalid for a file that is none of ours."""
    with _opened(store, path) as file:
        from pyarrow import parquet

        return parquet.read_table(file, schema=schema())


@contextmanager
def _opened(store: Store, path: str) -> Iterator[Any]:
    """The file. Raises AccountInvalid where it is none of ours."""
    import pyarrow as pa

    try:
        with store.files.open(path, "rb") as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise AccountInvalid(f"{path}: cannot be read ({error}); collect it again") from error


def _some(names: Sequence[str]) -> str:
    more = ", …" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
