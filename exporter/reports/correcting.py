"""What is found of a closed month later: hours as they are now known, in files of their own beside it.

Each correction is two files: the rows that no longer count, with their sums negated, so that all rows of the
folder add up for everybody who reads it, and the rows in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ebpf.errors import UsageError
from exporter.reports.closing import options_of, read_hour, rows_of, write_rows
from exporter.reports.manifest import REVERSED, FileEntry, Manifest, read_manifest, verify
from exporter.reports.months import MANIFEST, Folder, Span, Store, hour_text
from exporter.reports.options import Options, only_ones

if TYPE_CHECKING:
    import pyarrow as pa

_ADDED: Final = (
    *("joules", "low_joules", "high_joules", "grams", "market_grams", "cost", "cpu_seconds"),
    *("requested_cpu_seconds", "pods", "covered_seconds"),
)


def correct(
    store: Store,
    cluster: str,
    span: Span,
    collected: Store,
    progress: Callable[[int], object] = lambda _: None,
) -> Manifest:
    """Add to a closed month what its hours are now known to be; hours that say the same are left.

    collected: a store into which some of its hours were collected again. Raises UsageError for a month that
    is not closed or has no such hours, AccountInvalid where files were changed, or hours were collected with
    other options.
    """
    folder, again = store.folder(cluster, span.name), collected.folder(cluster, span.name)
    if not folder.is_closed:
        raise UsageError(f"{folder.path} is not closed: collect into it, there is nothing to correct")
    if not again.hours:
        raise UsageError(f"--from: {again.path} has no hours of {span.name}; collect them there first")
    manifest = read_manifest(store, folder)
    verify(store, folder, manifest)
    collected_with = options_of(collected, again)
    options = only_ones([(f"{folder.path}/{MANIFEST}", manifest.options), *collected_with])
    rows = _Hours(store, folder, manifest, collected, again)
    hours = [hour for hour in again.hours if rows.differ(hour, progress)]
    if not hours:
        return manifest
    gone, there = _written(rows, hours, options)
    missing = [hour for hour in manifest.hours_missing if hour not in there.hours]
    corrected = manifest.with_files((gone, there), missing)
    store.write(f"{folder.path}/{MANIFEST}", corrected.content)
    return corrected


def _written(rows: _Hours, hours: Sequence[int], options: Options | None) -> tuple[FileEntry, FileEntry]:
    """What no longer counts of the hours, and what counts in its place."""
    n = 1 + sum(not entry.is_reversed for entry in rows.manifest.files[1:])
    known, found = (negated(rows.known(hour)) for hour in hours), map(rows.found, hours)
    gone = write_rows(rows.store, rows.folder, f"{REVERSED}-{n}.parquet", known, options)
    there = write_rows(rows.store, rows.folder, f"corrections-{n}.parquet", found, options)
    return gone, replace(there, hours=tuple(map(hour_text, hours)))


def negated(table: pa.Table) -> pa.Table:
    """The rows that take these rows' sums away."""
    from pyarrow import compute

    for name in _ADDED:
        field, i = table.schema.field(name), table.schema.get_field_index(name)
        table = table.set_column(i, field, compute.negate(table[name]))
    return table


@dataclass(frozen=True, slots=True)
class _Hours:
    """Rows of a closed month's hours, before and after."""

    store: Store
    folder: Folder
    manifest: Manifest
    collected: Store
    again: Folder

    def differ(self, hour: int, progress: Callable[[int], object]) -> bool:
        """Whether the hour is not what it was."""
        progress(hour)
        return not self.known(hour).equals(self.found(hour))

    def known(self, hour: int) -> pa.Table:
        """What counts of the hour so far; no rows where it was missing."""
        import pyarrow as pa

        paths = [
            f"{self.folder.path}/{entry.name}"
            for entry, replaced in self.manifest.counting()
            if hour_text(hour) not in replaced
        ]
        return pa.concat_tables([rows_of(self.store, path, hour) for path in paths])

    def found(self, hour: int) -> pa.Table:
        """What it is now known to be."""
        return read_hour(self.collected, self.again, hour)
