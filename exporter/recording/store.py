"""A recording on disk: minutes written whole or not at all, hours put together, the size bounded."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from ebpf.errors import UsageError
from estimator.model.whole_file import TEMPORARY, set_aside, write_whole
from exporter.recording.arrow import UNREADABLE, pa, pq
from exporter.recording.files import (
    SET_ASIDE,
    Listing,
    RecordedMachine,
    RecordingFile,
    about,
    check,
    hour_name,
    hour_of,
    left_over,
    list_pieces,
    machine_of,
    minute_name,
    read_about,
)
from exporter.recording.tables import TABLES

log = logging.getLogger("exporter.record")

_GROUP_ROWS = 50_000


class Store:
    """The directory of one recorder at a time. max_bytes: of all the recording's files, None for no bound.

    removed: hours (or minutes of the one under way) that had to go for newer ones.
    """

    def __init__(self, directory: Path, max_bytes: int | None, machine: RecordedMachine) -> None:
        self.removed = 0
        self._directory = directory
        self._max_bytes = max_bytes
        self._machine = machine
        self._lock = -1

    def open(self) -> None:
        """Take the directory, made if need be, and tidy up after one that was killed.

        Raises UsageError where it cannot be written or another recorder has it.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._tidy()
        except BlockingIOError:
            raise UsageError(
                f"another podjoule records into {self._directory}: stop it or give another --output"
            ) from None
        except OSError as error:
            raise UsageError(
                f"cannot record into {self._directory}: {error.strerror}; give --output a directory that can"
                " be written"
            ) from error
        self.compact()

    def write(self, tables: Mapping[str, Any], timestamp_seconds: float) -> None:
        """A minute: its tables all or, where OSError is raised, none. timestamp_seconds: of its first row."""
        names = self._free_names(timestamp_seconds)
        bodies = {table: _encode(tables[table], about(table, self._machine)) for table in TABLES}
        self._make_room(sum(len(body) for body in bodies.values()), hour_of(timestamp_seconds))
        try:
            for table in TABLES:
                self._put(names[table], partial(_dump, bodies[table]))
        except OSError:
            for name in names.values():
                (self._directory / name).unlink(missing_ok=True)
            raise

    def _free_names(self, timestamp_seconds: float) -> dict[str, str]:
        """The names of a minute by table. Where a clock that went back would have it overwrite an earlier
        one, or be taken for one that is in its hour's file already, it is named for a millisecond later."""
        taken: set[str] = set()
        for hour in (self._directory / hour_name(table, hour_of(timestamp_seconds)) for table in TABLES):
            if hour.exists():
                taken.update(read_about(hour).get("minutes", ()))
        while True:
            names = {table: minute_name(table, timestamp_seconds) for table in TABLES}
            if not any(name in taken or (self._directory / name).exists() for name in names.values()):
                return names
            timestamp_seconds = (int(timestamp_seconds * 1000) + 1.5) / 1000

    def compact(self, except_hour: str = "") -> None:
        """Put the minutes of every hour together, but for one that is still under way. Never raises."""
        try:
            listing = list_pieces(self._directory)
            for hour in listing.hours():
                for table in TABLES if hour != except_hour else ():
                    self._merge(listing.of(hour, table), hour, table)
        except UNREADABLE as error:
            log.error("the recording stays in minutes: %s", error)

    def close(self) -> None:
        """Let go of the directory."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _tidy(self) -> None:
        for path in self._directory.glob(f"*{TEMPORARY}"):
            path.unlink()
        listing = list_pieces(self._directory)
        for path, reason in listing.strange.items():
            log.warning("%s is left alone: %s", path, reason)
        for path, reason in check(listing.pieces).items():
            _set_aside(path, reason)

    def _merge(self, pieces: Sequence[RecordingFile], hour: str, table: str) -> None:
        left = left_over(list(pieces))
        for piece in left:
            piece.path.unlink()
        rest = [piece for piece in pieces if piece not in left]
        minutes = [piece.path for piece in rest if not piece.is_hour]
        if not minutes or not self._has_room_for(rest, hour):
            return
        told = _about_merged(table, rest)
        try:
            self._put(hour_name(table, hour), lambda file: _concatenate(rest, told, file))
        except _Unreadable as error:
            _set_aside(error.path, str(error))
            self._merge([piece for piece in rest if piece.path != error.path], hour, table)
        else:
            for path in minutes:
                path.unlink()

    def _has_room_for(self, pieces: Sequence[RecordingFile], hour: str) -> bool:
        """Whether a second copy of them fits in; without one they stay minutes until they go."""
        try:
            self._make_room(sum(piece.path.stat().st_size for piece in pieces), hour, spare=hour)
        except OSError as error:
            log.debug("%s is not put together: %s", hour, error)
            return False
        return True

    def _put(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        write_whole(self._directory / name, write)

    def _make_room(self, n_bytes: int, current_hour: str, spare: str = "") -> None:
        """Remove the oldest until so many bytes fit in; OSError where they never would.

        The current hour goes minute by minute, every other one whole; spare: one that stays.
        """
        if self._max_bytes is None:
            return
        listing = list_pieces(self._directory)
        sizes = {piece.path: piece.path.stat().st_size for piece in listing.pieces}
        excess = sum(sizes.values()) + n_bytes - self._max_bytes
        units = [unit for hour, unit in _units(listing, current_hour) if hour != spare]
        if excess > sum(sizes[path] for unit in units for path in unit):
            raise OSError(errno.EFBIG, f"{n_bytes} bytes do not fit in --max-bytes {self._max_bytes}")
        while excess > 0:
            unit = units.pop(0)
            excess -= sum(sizes[path] for path in unit)
            self._remove(unit)

    def _remove(self, unit: Sequence[Path]) -> None:
        self.removed += 1
        log.warning(
            "--max-bytes %s is reached: %s goes, the oldest (%d so far)",
            self._max_bytes,
            ", ".join(path.name for path in unit),
            self.removed,
        )
        for path in unit:
            path.unlink()


class _Unreadable(Exception):
    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(f"cannot be read: {' '.join(str(error).split())}")
        self.path = path


def _units(listing: Listing, current_hour: str) -> Iterator[tuple[str, list[Path]]]:
    """What goes together, the oldest first: an hour, or a minute of the current one; samples go first."""
    for hour in listing.hours():
        units: dict[str, list[Path]] = {}
        for piece in listing.of(hour):
            within = piece.path.name.removeprefix(piece.table) if hour == current_hour else ""
            units.setdefault(within, []).append(piece.path)
        for unit in units.values():
            yield hour, sorted(unit)


def _set_aside(path: Path, reason: str) -> None:
    log.error("%s is set aside as %s: %s", path, set_aside(path, SET_ASIDE).name, reason)


def _about_merged(table: str, pieces: Sequence[RecordingFile]) -> Mapping[bytes, bytes]:
    """The metadata of an hour's file: every minute that ever went into it, and the last one's machine."""
    minutes = {piece.path.name for piece in pieces if not piece.is_hour}
    for piece in pieces:
        minutes.update(read_about(piece.path).get("minutes", ()))
    return about(table, machine_of(pieces[-1].path), minutes)


def _dump(body: bytes, file: BinaryIO) -> None:
    file.write(body)


def _encode(table: Any, metadata: Mapping[bytes, bytes]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
    return bytes(sink.getvalue())


def _concatenate(pieces: Sequence[RecordingFile], metadata: Mapping[bytes, bytes], file: BinaryIO) -> None:
    """In groups of rows, so that an hour is never in memory; the columns are those of any of them."""
    schemas = [_reading(piece.path, pq.read_schema).remove_metadata() for piece in pieces]
    schema = pa.unify_schemas(schemas).with_metadata(metadata)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        pending: list[Any] = []
        for group in (group for piece in pieces for group in _reading(piece.path, _row_groups)):
            pending.append(conform(group, schema))
            if sum(map(len, pending)) >= _GROUP_ROWS:
                writer.write_table(pa.concat_tables(pending))
                pending.clear()
        writer.write_table(pa.concat_tables([schema.empty_table(), *pending]))


def _row_groups(path: Path) -> list[Any]:
    with pq.ParquetFile(path) as source:
        return [source.read_row_group(i, use_threads=False) for i in range(source.num_row_groups)]


def _reading(path: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(path)
    except UNREADABLE as error:
        raise _Unreadable(path, error) from error


def conform(table: Any, schema: Any) -> Any:
    """The table with the columns of the schema: those it lacks hold nulls."""
    columns = [
        table[entry.name] if entry.name in table.column_names else pa.nulls(len(table), entry.type)
        for entry in schema
    ]
    return pa.table(columns, schema=schema)
