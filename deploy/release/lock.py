"""What a release is made from, resolved once: a file that is part of the release and makes it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.release.errors import ReleaseError

ARCHITECTURES = ("amd64", "arm64")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Pinned:
    """A package by its name, version and file name, and what the file hashes to."""

    name: str
    version: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Lock:
    """debian, python: packages by architecture. tools: versions of what made it."""

    suite: str
    debian: dict[str, tuple[Pinned, ...]]
    python: dict[str, tuple[Pinned, ...]]
    tools: dict[str, str]

    def python_version(self) -> str:
        """Of the image's Python."""
        return python_of(self.debian[ARCHITECTURES[0]])

    def changed_tools(self, now: dict[str, str]) -> list[str]:
        """What is said of tools that are not those which made the lock: bytes may differ."""
        return [
            f"{name} is {now.get(name)}, and was {old} when the lock was made: bytes may differ"
            for name, old in self.tools.items()
            if now.get(name) != old
        ]


def python_of(packages: Iterable[Pinned]) -> str:
    """The version of the Python among Debian's packages: "3.11"."""
    found = next(each for each in packages if each.name == "python3")
    return ".".join(found.version.split(".")[:2])


def pin(path: Path, name: str, version: str) -> Pinned:
    """A package in this file."""
    return Pinned(name, version, path.name, sha256_of(path))


def sha256_of(path: Path) -> str:
    """64 hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def missing(folder: Path, wanted: Sequence[Pinned]) -> list[Pinned]:
    """Those that are not in the folder. Raises ReleaseError for one whose bytes are others."""
    for each in wanted:
        path = folder / each.file
        if path.exists() and sha256_of(path) != each.sha256:
            raise ReleaseError(
                f"{path} is not what the lock names ({each.sha256}): remove it, it is fetched anew"
            )
    return [each for each in wanted if not (folder / each.file).exists()]


def write(lock: Lock) -> str:
    """As JSON."""
    return json.dumps({"format": _FORMAT, **asdict(lock)}, indent=1, sort_keys=True) + "\n"


def read(path: Path) -> Lock:
    """Raises ReleaseError for what is no lock, or one of another format."""
    try:
        fields = json.loads(path.read_text())
        if fields["format"] != _FORMAT:
            raise ValueError("it has another format")
        return Lock(fields["suite"], _pinned(fields["debian"]), _pinned(fields["python"]), fields["tools"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(
            f"{path} is no lock of a release: {error}; without --lock all is resolved anew"
        ) from error


def _pinned(rows: dict[str, list[dict[str, str]]]) -> dict[str, tuple[Pinned, ...]]:
    return {cpu: tuple(Pinned(**each) for each in rows[cpu]) for cpu in ARCHITECTURES}
