"""Where accounts lie: one Parquet file an hour, in a folder or on object storage, whole or not at all.

ROOT/cluster=NAME/month=YYYY-MM/hour=YYYYMMDDTHHZ.parquet, all in UTC. The same rows are the same bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from ebpf.directory_lock import lock_directory
from ebpf.errors import UsageError
from exporter.errors import CollectFailed
from exporter.reports.months import MANIFEST, hour_name, month_folder
from exporter.reports.options import Options
from exporter.reports.place import is_local, open_root, shown, told
from exporter.reports.rows import Row, schema

if TYPE_CHECKING:
    import pyarrow as pa

_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ROWS_A_GROUP = 1 << 17
_UNFINISHED = ".unfinished"


class HourStore:
    """The files of one cluster. root: a folder, s3://BUCKET/FOLDER, or an address of another of fsspec's.

    Raises UsageError, when made, for a root that cannot be opened.
    """

    def __init__(self, root: str, cluster: str) -> None:
        if not _CLUSTER.fullmatch(cluster):
            raise UsageError(
                f"--cluster: found {cluster!r}; wanted letters, digits, dots, dashes and underscores"
            )
        self._files, self._root = open_root(root)
        self._is_local = is_local(root)
        self._folder = f"{self._root}/cluster={cluster}"
        self._shown = shown(root)
        self._lock: int | None = None

    def hold(self) -> None:
        """Keep others from writing here until this process ends; on object storage nobody needs to.

        Raises UsageError where the folder cannot be written, or another process holds it.
        """
        if not self._is_local:
            return
        try:
            Path(self._folder).mkdir(parents=True, exist_ok=True)
            self._lock = lock_directory(Path(self._folder), 0.0)
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise PermissionError("no right to write")
        except OSError as error:
            raise UsageError(f"--store {self._shown}: cannot be written: {told(error)}") from None
        if self._lock is None:
            raise UsageError(f"--store {self._shown}: another collect of this cluster is under way")

    def release(self) -> None:
        """Let others write."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def missing(self, hours: Iterable[int]) -> list[int]:
        """Those of the hours that no file holds; a month that is closed holds all of its own.

        Raises CollectFailed where the store does not answer.
        """
        names: dict[str, set[str]] = {}
        found = []
        for hour in hours:
            month = month_folder(hour)
            if month not in names:
                names[month] = self._names(month)
            if not names[month] & {hour_name(hour), MANIFEST}:
                found.append(hour)
        return found

    def write(self, hour: int, rows: Sequence[Row], options: Options | None = None) -> str:
        """A file of the rows, which must be in their order, that says its options; its path.

        Raises CollectFailed.
        """
        path = f"{self._folder}/{month_folder(hour)}/{hour_name(hour)}"
        body = _parquet(rows, options)
        try:
            self._put(path, body)
        except (OSError, ValueError) as error:
            raise CollectFailed(
                f"{self._shown}: {Path(path).name} cannot be written: {told(error)}"
            ) from None
        return path

    def _put(self, path: str, body: bytes) -> None:
        if not self._is_local:
            self._files.pipe_file(path, body)  # an object is there once it is whole
            return
        whole = Path(path)
        whole.parent.mkdir(parents=True, exist_ok=True)
        unfinished = whole.with_name(f".{whole.name}{_UNFINISHED}")
        with unfinished.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(whole)

    def _names(self, month: str) -> set[str]:
        try:
            self._files.invalidate_cache()
            return {Path(path).name for path in self._files.ls(f"{self._folder}/{month}", detail=False)}
        except FileNotFoundError:
            return set()
        except (OSError, ValueError) as error:
            raise CollectFailed(f"--store {self._shown}: cannot be read: {told(error)}") from None


def table_of(rows: Sequence[Row], options: Options | None = None) -> pa.Table:
    """The rows as columns."""
    import pyarrow as pa

    columns = {each.name: [getattr(row, each.name) for row in rows] for each in fields(Row)}
    return pa.table(columns, schema=schema(options))


def _parquet(rows: Sequence[Row], options: Options | None) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    out = pa.BufferOutputStream()
    table = table_of(rows, options)
    parquet.write_table(table, out, compression="zstd", row_group_size=_ROWS_A_GROUP, version="2.6")
    body: bytes = out.getvalue().to_pybytes()
    return body
