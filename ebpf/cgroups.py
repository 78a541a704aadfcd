"""The cgroups of one hierarchy by id: one walk, then events."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from ebpf.errors import SourceUnavailable

_HEADER = struct.Struct("<QII")  # struct cgroup_event up to its path
MADE, REMOVED, RENAMED = 1, 2, 3


def walk(mount: Path) -> dict[int, str]:
    """Every cgroup under a mount: id (the directory's inode) -> path below the mount.

    A directory that vanishes meanwhile costs itself alone. Raises SourceUnavailable for an unreadable mount.
    """
    try:
        found = {mount.stat().st_ino: "/"}
        os.scandir(mount).close()
    except OSError as error:
        raise SourceUnavailable(f"the cgroup tree {mount} cannot be read: {error.strerror}") from error
    pending = [""]
    while pending:
        above = pending.pop()
        with contextlib.suppress(OSError), os.scandir(f"{mount}{above}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    path = f"{above}/{entry.name}"
                    found[entry.inode()] = path
                    pending.append(path)
    return found


class CgroupTree:
    """A CgroupDirectory kept up to date by events. An ended cgroup keeps its path until it is forgotten."""

    def __init__(self, paths: dict[int, str] | None = None) -> None:
        self._paths = dict(paths or {})
        self._ended: set[int] = set()

    def path(self, cgroup_id: int) -> str | None:
        """See CgroupDirectory."""
        return self._paths.get(cgroup_id)

    def is_alive(self, cgroup_id: int) -> bool:
        """See CgroupDirectory."""
        return cgroup_id in self._paths and cgroup_id not in self._ended

    def __iter__(self) -> Iterator[int]:
        return (cgroup_id for cgroup_id in self._paths if cgroup_id not in self._ended)

    @property
    def paths(self) -> dict[int, str]:
        """A copy of every path that is known, those of ended cgroups too."""
        return dict(self._paths)

    @property
    def ended(self) -> frozenset[int]:
        """Ids removed and not yet forgotten."""
        return frozenset(self._ended)

    def made(self, cgroup_id: int, path: str) -> None:
        """A cgroup came to be; an id that the kernel uses again is a new cgroup."""
        self._paths[cgroup_id] = path
        self._ended.discard(cgroup_id)

    def removed(self, cgroup_id: int) -> None:
        """A cgroup ended; its last counts are still to be read."""
        if cgroup_id in self._paths:
            self._ended.add(cgroup_id)

    def renamed(self, cgroup_id: int, path: str) -> None:
        """A v1 cgroup has another path now, and everything below it too."""
        old = self._paths.get(cgroup_id)
        self._paths[cgroup_id] = path
        if old:
            below = f"{old}/"
            for other, other_path in self._paths.items():
                if other_path.startswith(below):
                    self._paths[other] = path + other_path[len(old) :]

    def forget(self, cgroup_id: int) -> None:
        """Drop an ended cgroup's path."""
        self._paths.pop(cgroup_id, None)
        self._ended.discard(cgroup_id)

    def replace(self, paths: dict[int, str]) -> None:
        """Take over a new walk; what it does not have has ended."""
        for cgroup_id in self._paths.keys() - paths.keys():
            self.removed(cgroup_id)
        for cgroup_id, path in paths.items():
            self.made(cgroup_id, path)

    def apply(self, record: bytes) -> None:
        """Take one `struct cgroup_event` as the kernel sends it."""
        if len(record) < _HEADER.size:
            return
        cgroup_id, kind, path_bytes = _HEADER.unpack_from(record)
        path = os.fsdecode(record[_HEADER.size : _HEADER.size + path_bytes].split(b"\0", 1)[0])
        if kind == MADE:
            self.made(cgroup_id, path)
        elif kind == REMOVED:
            self.removed(cgroup_id)
        elif kind == RENAMED:
            self.renamed(cgroup_id, path)
