"""The files of a recording: how they are called, which there are, and which of them cannot be used.

`samples-2026-11-21T14Z.parquet` is an hour, `samples-2026-11-21T14-05-03.120Z.parquet` a minute of one that
is not over yet. An hour's file says in its metadata which minutes went into it, so that one that could not
be removed any more is not counted twice.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from estimator.model.whole_file import TEMPORARY
from exporter.recording.arrow import UNREADABLE, pq
from exporter.recording.tables import TABLES

SCHEMA = "podjoule.recording/1"
_KEY = b"podjoule"
_NAME = re.compile(
    rf"(?P<table>{'|'.join(TABLES)})-(?P<hour>\d{{4}}-\d\d-\d\dT\d\d)(?P<minute>-\d\d-\d\d\.\d{{3}})?Z\.parquet"
)
SET_ASIDE = ".set-aside"
_OURS = (TEMPORARY, SET_ASIDE)


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """One file. hour: "2026-11-21T14", in UTC. is_hour: whether it is the whole hour's file."""

    path: Path
    table: str
    hour: str
    is_hour: bool


@dataclass(frozen=True, slots=True)
class RecordedMachine:
    """What was recorded, for a replay. sockets: physical numbers; processors: of kepler_node_cpu_info."""

    sockets: tuple[int, ...] = (0,)
    processors: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a directory. pieces: in the order of their time; strange: file -> why it is left out."""

    pieces: list[RecordingFile] = field(default_factory=list)
    strange: dict[Path, str] = field(default_factory=dict)

    def hours(self) -> list[str]:
        """Every hour there is, the oldest first."""
        return sorted({piece.hour for piece in self.pieces})

    def of(self, hour: str, table: str | None = None) -> list[RecordingFile]:
        """An hour's files, the hour's own first."""
        found = (piece for piece in self.pieces if piece.hour == hour and table in (None, piece.table))
        return sorted(found, key=lambda piece: (not piece.is_hour, piece.path.name))


def list_pieces(directory: Path) -> Listing:
    """The files by their names alone, none opened. Raises OSError where the directory cannot be read."""
    listing = Listing()
    for path in sorted(path for path in directory.iterdir() if path.suffix not in _OURS):
        match = _NAME.fullmatch(path.name)
        if match is not None and path.is_file():
            listing.pieces.append(RecordingFile(path, match["table"], match["hour"], match["minute"] is None))
        else:
            listing.strange[path] = "not a file of a recording"
    return listing


def check(pieces: Iterable[RecordingFile]) -> dict[Path, str]:
    """Those that are not what their name says, with the reason: torn, no Parquet, or somebody else's."""
    return {piece.path: reason for piece in pieces if (reason := _complaint(piece))}


def _complaint(piece: RecordingFile) -> str:
    try:
        about = read_about(piece.path)
    except UNREADABLE as error:
        return f"cannot be read: {' '.join(str(error).split())}"
    if (about.get("schema"), about.get("table")) != (SCHEMA, piece.table):
        return (
            f"wanted the table {piece.table} of {SCHEMA}, found {about.get('table')} of {about.get('schema')}"
        )
    return ""


def read_about(path: Path) -> dict[str, Any]:
    """What a file says of itself; empty for a Parquet file of somebody else. Raises one of UNREADABLE."""
    about = json.loads((pq.read_schema(path).metadata or {}).get(_KEY, b"{}"))
    return about if isinstance(about, dict) else {}


def about(table: str, machine: RecordedMachine, minutes: Iterable[str] = ()) -> Mapping[bytes, bytes]:
    """The metadata of a file; minutes: the names of those that went into an hour's."""
    told = {
        "schema": SCHEMA,
        "table": table,
        "minutes": sorted(minutes),
        "sockets": machine.sockets,
        "processors": machine.processors if table == "samples" else (),
    }
    return {_KEY: json.dumps(told).encode()}


def machine_of(path: Path) -> RecordedMachine:
    """The machine that a samples file was recorded on."""
    told = read_about(path)
    return RecordedMachine(tuple(told.get("sockets", (0,))), tuple(map(tuple, told.get("processors", ()))))


def left_over(pieces: list[RecordingFile]) -> list[RecordingFile]:
    """Of one hour and table: the minutes that are in the hour's file already and count no more."""
    merged = {name for piece in pieces if piece.is_hour for name in read_about(piece.path).get("minutes", ())}
    return [piece for piece in pieces if not piece.is_hour and piece.path.name in merged]


def hour_of(timestamp_seconds: float) -> str:
    """The hour of a time, as file names have it."""
    return time.strftime("%Y-%m-%dT%H", time.gmtime(timestamp_seconds))


def minute_name(table: str, timestamp_seconds: float) -> str:
    """The name of a minute's file by its first row's time."""
    milliseconds = int(timestamp_seconds * 1000) % 1000
    within = time.strftime("%M-%S", time.gmtime(timestamp_seconds))
    return f"{table}-{hour_of(timestamp_seconds)}-{within}.{milliseconds:03d}Z.parquet"


def hour_name(table: str, hour: str) -> str:
    """The name of an hour's file."""
    return f"{table}-{hour}Z.parquet"
