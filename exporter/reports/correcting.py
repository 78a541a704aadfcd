"""What is found of a closed month later: the differences, as rows of a file of their own beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from ebpf.errors import UsageError
from exporter.reports.closing import read_table, rows_of, write_rows
from exporter.reports.manifest import Manifest, read_manifest, verify
from exporter.reports.months import MANIFEST, Folder, Span, Store, hour_text
from exporter.reports.rows import KEY, schema

if TYPE_CHECKING:
    import pyarrow as pa

_ADDED: Final = (
    *("joules", "low_joules", "high_joules", "grams", "market_grams", "cost", "cpu_seconds"),
    *("requested_cpu_seconds", "pods", "covered_seconds"),
)
_NULLABLE: Final = ("grams", "market_grams", "cost", "cpu_seconds", "requested_cpu_seconds")


def correct(
    store: Store,
    cluster: str,
    span: Span,
    collected: Store,
    progress: Callable[[int], object] = lambda _: None,
) -> Manifest:
    """Add to a closed month what its hours are now known to be: the differences, as rows of a file of their
    own.

    collected: a store into which some of its hours were collected again. Raises UsageError for a month that
    is not closed or has no such hours, AccountInvalid where files were changed.
    """
    folder, again = store.folder(cluster, span.name), collected.folder(cluster, span.name)
    if not folder.is_closed:
        raise UsageError(f"{folder.path} is not closed: collect into it, there is nothing to correct")
    if not again.hours:
        raise UsageError(f"--from: {again.path} has no hours of {span.name}; collect them there first")
    manifest = read_manifest(store, folder)
    verify(store, folder, manifest)
    rows = _differences(store, folder, manifest, collected, again, progress)
    name = f"corrections-{len(manifest.files)}.parquet"
    entry = write_rows(store, folder, name, rows)
    if not entry.rows:
        store.files.rm_file(f"{folder.path}/{name}")
        return manifest
    missing = [
        hour for hour in manifest.hours_missing if hour not in {hour_text(each) for each in again.hours}
    ]
    corrected = manifest.with_file(entry, missing)
    store.write(f"{folder.path}/{MANIFEST}", corrected.content)
    return corrected


def differences(known: pa.Table, found: pa.Table) -> list[dict[str, Any]]:
    """The rows that make the sums of `known` those of `found`; both are of the same hours."""
    before, after = _by_key(known), _by_key(found)
    keys = sorted(before.keys() | after.keys())
    rows = (_difference(before.get(key), after.get(key)) for key in keys)
    return [row for row in rows if any(row[name] for name in _ADDED)]


def _difference(before: dict[str, Any] | None, after: dict[str, Any] | None) -> dict[str, Any]:
    whole = after or before or {}
    row = {**whole, **{name: _less(after, before, name) for name in _ADDED}}
    return row | {"labels": sorted(dict(whole["labels"]).items())}


def _less(after: dict[str, Any] | None, before: dict[str, Any] | None, name: str) -> Any:
    """None only where neither knows the value: the sum of a null and a number is that number."""
    values = [each[name] if each else None for each in (after, before)]
    if name in _NULLABLE and values == [None, None]:
        return None
    return (values[0] or 0) - (values[1] or 0)


def _by_key(table: pa.Table) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows by their key; those that correct each other as one."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in table.to_pylist():
        key = tuple(tuple(sorted(row["labels"])) if name == "labels" else row[name] for name in KEY)
        if key not in found:
            found[key] = row
            continue
        for name in _ADDED:
            values = [each[name] for each in (found[key], row) if each[name] is not None]
            found[key][name] = sum(values) if values else None
    return found


def _differences(
    store: Store,
    folder: Folder,
    manifest: Manifest,
    collected: Store,
    again: Folder,
    progress: Callable[[int], object],
) -> Iterator[pa.Table]:
    import pyarrow as pa

    paths = [f"{folder.path}/{entry.name}" for entry in manifest.files]
    for hour, name in again.hours.items():
        known = pa.concat_tables([rows_of(store, path, hour) for path in paths])
        found = read_table(collected, f"{again.path}/{name}")
        yield pa.Table.from_pylist(differences(known, found), schema())
        progress(hour)
