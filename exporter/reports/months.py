"""Where a store keeps the months of its clusters, and which of their files count.

ROOT/cluster=NAME/month=YYYY-MM/ holds hour=YYYYMMDDTHHZ.parquet until the month is closed; then what its
manifest names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ebpf.directory_lock import lock_directory
from ebpf.errors import UsageError
from exporter.reports.hours import HOUR_SECONDS
from exporter.reports.place import open_root, shown

MANIFEST, CLOSED = "manifest.json", "closed.parquet"
_HOUR = re.compile(r"hour=(\d{8}T\d{2}Z)\.parquet")
_SPAN = re.compile(r"(\d{4})(?:-(0[1-9]|1[0-2]))?")


@dataclass(frozen=True, slots=True)
class Span:
    """One month or one year, in UTC. name: "2026-10" or "2026"."""

    name: str

    @property
    def months(self) -> tuple[str, ...]:
        """The names of its months."""
        return (self.name,) if "-" in self.name else tuple(f"{self.name}-{n:02}" for n in range(1, 13))

    @property
    def from_seconds(self) -> int:
        """Unix time of its begin."""
        return _begin(self.months[0])

    @property
    def to_seconds(self) -> int:
        """Unix time of its end."""
        return _begin(_moved(self.months[-1], 1))

    @property
    def before(self) -> Span:
        """The month or the year before."""
        if "-" in self.name:
            return Span(_moved(self.name, -1))
        return Span(f"{int(self.name) - 1:04}")

    @property
    def hours(self) -> range:
        """Unix time of the begin of each of its hours."""
        return range(self.from_seconds, self.to_seconds, HOUR_SECONDS)


def span_named(name: str) -> Span:
    """A span by its name. Raises UsageError for what is neither a month nor a year."""
    found = _SPAN.fullmatch(name)
    if not found or not 1970 < int(found[1]) < 9999:
        raise UsageError(f"wanted a month such as 2026-10, or a year, found {name!r}")
    return Span(name)


@dataclass(frozen=True, slots=True)
class Folder:
    """What lies in the folder of a month. path: of the folder. names: of its files, sorted."""

    path: str
    cluster: str
    month: str
    names: tuple[str, ...]

    @property
    def is_closed(self) -> bool:
        """Whether there is a manifest: then nobody writes here but `podjoule report close --correct`."""
        return MANIFEST in self.names

    @property
    def hours(self) -> dict[int, str]:
        """The files of hours by the hour's begin, in order."""
        found = ((_HOUR.fullmatch(name), name) for name in self.names)
        return {hour_of(match[1]): name for match, name in found if match}


class Store:
    """The folder at an address: a path, or s3://BUCKET/PREFIX (see exporter.reports.place).

    shown: the address without what may be secret in it.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/") or "/"
        self.shown = shown(self.address)
        self.files, self.root = open_root(self.address)

    def clusters(self) -> tuple[str, ...]:
        """The clusters that have months here, sorted."""
        return tuple(sorted(self._named(self.root, "cluster=")))

    def months(self, cluster: str) -> tuple[str, ...]:
        """The months of a cluster, sorted."""
        return tuple(sorted(self._named(f"{self.root}/cluster={cluster}", "month=")))

    def folder(self, cluster: str, month: str) -> Folder:
        """The folder of a month; without names where there is none."""
        path = f"{self.root}/cluster={cluster}/month={month}"
        return Folder(path, cluster, month, tuple(sorted(self._names(path))))

    def read(self, path: str) -> bytes:
        """A file whole."""
        content: bytes = self.files.cat_file(path)
        return content

    def write(self, path: str, content: bytes) -> None:
        """A file whole or not at all."""
        with self.replacing(path) as file:
            file.write(content)

    @contextmanager
    def replacing(self, path: str) -> Iterator[Any]:
        """A file to write into, which gets its name when it is whole and, on a disk, safe."""
        made = f"{path}.part"
        with self.files.open(made, "wb") as file:
            yield file
            file.flush()
            if "file" in self.files.protocol:
                os.fsync(file.fileno())
        self.files.mv(made, path)

    @contextmanager
    def held(self, cluster: str) -> Iterator[None]:
        """Keep others from writing a cluster's months meanwhile; on object storage nobody is kept.

        Raises UsageError where another process holds them.
        """
        folder = Path(self.root) / f"cluster={cluster}"
        if "file" not in self.files.protocol or not folder.is_dir():
            yield
            return
        lock = lock_directory(folder, 0.0)
        if lock is None:
            raise UsageError(f"{folder}: another podjoule report writes there; wait until it is done")
        try:
            yield
        finally:
            os.close(lock)

    def clear(self) -> None:
        """Forget what was listed."""
        self.files.invalidate_cache()

    def _named(self, path: str, prefix: str) -> Iterable[str]:
        return (name.removeprefix(prefix) for name in self._names(path) if name.startswith(prefix))

    def _names(self, path: str) -> Iterable[str]:
        try:
            found = self.files.ls(path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return (each.rstrip("/").rpartition("/")[2] for each in found)


def hour_of(text: str) -> int:
    """Unix time of an hour written as in a file's name, such as 20261001T00Z."""
    return int(datetime.strptime(text, "%Y%m%dT%HZ").replace(tzinfo=UTC).timestamp())


def hour_text(seconds: int) -> str:
    """An hour as it stands in a file's name."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%HZ")


def hour_name(seconds: int) -> str:
    """The name of an hour's file."""
    return f"hour={hour_text(seconds)}.parquet"


def month_folder(seconds: int) -> str:
    """The name of the folder of an hour's month."""
    return f"month={datetime.fromtimestamp(seconds, UTC):%Y-%m}"


def _begin(month: str) -> int:
    return int(datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).timestamp())


def _moved(month: str, months: int) -> str:
    year, rest = divmod(int(month[:4]) * 12 + int(month[5:]) - 1 + months, 12)
    return f"{year:04}-{rest + 1:02}"
