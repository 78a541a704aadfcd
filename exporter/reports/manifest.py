"""The manifest of a closed month: which files count, and their hashes. Made from their content alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from ebpf.version import VERSION
from exporter.errors import AccountInvalid
from exporter.reports.months import MANIFEST, Folder, Store
from exporter.reports.options import Options, from_document
from exporter.reports.rows import SCHEMA_VERSION

MANIFEST_VERSION: Final = "podjoule.manifest/1"
REVERSED: Final = "reversed"
"""What files of rows that no longer count are called."""
_MEND = "bring back the file that was closed, from a backup"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a closed month. joules: the sum of its rows. hours: those that it has in the place of files
    before it."""

    name: str
    sha256: str
    rows: int
    joules: float
    hours: tuple[str, ...] = ()

    @property
    def is_reversed(self) -> bool:
        """Whether it only takes away rows of files before it."""
        return self.name.startswith(REVERSED)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A closed month. files: closed.parquet, then corrections as they came, two files each. hours_missing: as
    in files' names. options: with which its hours were collected, None where they do not say."""

    cluster: str
    month: str
    files: tuple[FileEntry, ...]
    hours_missing: tuple[str, ...]
    version: str = VERSION
    options: Options | None = None

    @property
    def content(self) -> bytes:
        """The file: the same manifest is the same bytes."""
        document = {"schema": MANIFEST_VERSION, "rows_schema": SCHEMA_VERSION, **asdict(self)}
        return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @property
    def sha256(self) -> str:
        """The hash of the file: it says all that the month says."""
        return hashlib.sha256(self.content).hexdigest()

    def counting(self) -> Iterator[tuple[FileEntry, frozenset[str]]]:
        """The files whose rows count, the last first, each with the hours that later ones have instead."""
        replaced: frozenset[str] = frozenset()
        for entry in reversed(self.files):
            if not entry.is_reversed:
                yield entry, replaced
                replaced |= frozenset(entry.hours)

    def with_files(self, entries: Sequence[FileEntry], hours_missing: Sequence[str]) -> Manifest:
        """The manifest after a correction."""
        return replace(self, files=(*self.files, *entries), hours_missing=tuple(hours_missing))


def read_manifest(store: Store, folder: Folder) -> Manifest:
    """The manifest of a closed month. Raises AccountInvalid for one that we did not write."""
    path = f"{folder.path}/{MANIFEST}"
    content = store.read(path)
    try:
        found = _parsed(json.loads(content))
    except (ValueError, KeyError, TypeError) as error:
        raise AccountInvalid(f"{path}: no manifest of a closed month ({error}); {_MEND}") from error
    if found.content != content or (found.cluster, found.month) != (folder.cluster, folder.month):
        raise AccountInvalid(f"{path}: was changed after the month was closed; {_MEND}")
    return found


def verify(store: Store, folder: Folder, manifest: Manifest) -> None:
    """Raises AccountInvalid where a file is not the one that was closed."""
    for entry in manifest.files:
        path = f"{folder.path}/{entry.name}"
        if entry.name not in folder.names:
            raise AccountInvalid(f"{path}: is missing, but the month is closed with it; {_MEND}")
        if sha256_of(store, path) != entry.sha256:
            raise AccountInvalid(
                f"{path}: was changed after the month was closed (sha256 is not {entry.sha256}, as "
                f"{MANIFEST} has it); {_MEND}, and correct with `podjoule report close --correct`"
            )


def sha256_of(store: Store, path: str) -> str:
    """The hash of a file, piece by piece."""
    digest = hashlib.sha256()
    with store.files.open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _parsed(document: dict[str, Any]) -> Manifest:
    if document["schema"] != MANIFEST_VERSION:
        raise ValueError(f"schema is {document['schema']!r}, not {MANIFEST_VERSION!r}")
    files = tuple(FileEntry(**{**entry, "hours": tuple(entry["hours"])}) for entry in document["files"])
    names = ("cluster", "month", "version")
    return Manifest(
        files=files,
        hours_missing=tuple(document["hours_missing"]),
        options=from_document(document["options"]) if document["options"] else None,
        **{n: document[n] for n in names},
    )
