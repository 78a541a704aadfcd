"""The cgroups of one hierarchy by id: one walk, then events."""

from __future__ import annotations

import errno
import logging
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import filterfalse
from pathlib import Path
from typing import NamedTuple

from ebpf.errors import SourceUnavailable

log = logging.getLogger("ebpf")

_HEADER = struct.Struct("<QII")  # struct cgroup_event up to its path
_CUT_BYTES = 1023  # of a path that was cut: TRACE_CGROUP_PATH_LEN of kernel/cgroup/cgroup.c, and its NUL
KERNEL_THREADS = 2**64 - 1  # counters.h: those of the root cgroup, which is told apart for them
KERNEL_PATH = "[kernel]"  # no cgroup's: those begin with a slash
MADE, REMOVED, RENAMED = 1, 2, 3


class Walk(NamedTuple):
    """What a walk found. paths: id -> path below the mount. unlisted: paths below which nothing is known."""

    paths: dict[int, str]
    unlisted: Sequence[str]


def walk(mount: Path) -> Walk:
    """Every cgroup under a mount, by its id: the directory's inode.

    A directory that vanishes meanwhile costs itself alone; one that cannot be listed (no descriptor left, no
    right) is said. Raises SourceUnavailable for an unreadable mount.
    """
    try:
        found = {mount.stat().st_ino: "/"}
        os.scandir(mount).close()
    except OSError as error:
        raise SourceUnavailable(f"the cgroup tree {mount} cannot be read: {error.strerror}") from error
    pending, unlisted = [""], []
    while pending:
        above = pending.pop()
        try:
            below = _folders(f"{mount}{above}")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno != errno.ENODEV:  # kernfs, of what was removed while it was open
                log.warning(
                    "%s%s cannot be listed (%s): what was there is taken to stay",
                    mount,
                    above,
                    error.strerror,
                )
                unlisted.append(above or "/")
            continue
        for cgroup_id, name in below:
            found[cgroup_id] = f"{above}/{name}"
            pending.append(f"{above}/{name}")
    return Walk(found, unlisted)


def _folders(directory: str) -> list[tuple[int, str]]:
    with os.scandir(directory) as entries:
        return [(each.inode(), each.name) for each in entries if each.is_dir(follow_symlinks=False)]


class CgroupTree:
    """A CgroupDirectory kept up to date by events. An ended cgroup keeps its path until it is forgotten.

    A path that the kernel cut is none; `is_cut` says that a walk must complete it.
    """

    def __init__(self, paths: dict[int, str] | None = None) -> None:
        self._paths = dict(paths or {})
        self._ended: set[int] = set()
        self._cut: set[int] = set()
        self._revision = 0
        # Each tick asks for every cgroup, several times over: a set's own method is the quickest answer.
        self._alive = {*self._paths, KERNEL_THREADS}
        self.is_alive: Callable[[int], bool] = self._alive.__contains__

    def path(self, cgroup_id: int) -> str | None:
        """See CgroupDirectory."""
        if cgroup_id == KERNEL_THREADS:
            return KERNEL_PATH
        return None if cgroup_id in self._cut else self._paths.get(cgroup_id)

    @property
    def revision(self) -> int:
        """See CgroupDirectory."""
        return self._revision

    @property
    def is_cut(self) -> bool:
        """Whether a cgroup that is alive has no whole path."""
        return not self._cut <= self._ended

    def nameless(self, cgroup_ids: set[int]) -> set[int]:
        """Those that have no path here."""
        return (cgroup_ids.difference(self._paths) | (cgroup_ids & self._cut)) - {KERNEL_THREADS}

    def not_alive(self, cgroup_ids: set[int]) -> set[int]:
        """Those that have been removed, or were never seen."""
        return cgroup_ids - self._alive

    def __iter__(self) -> Iterator[int]:
        return filterfalse(self._ended.__contains__, self._paths)

    @property
    def paths(self) -> dict[int, str]:
        """A copy of every path that is known, those of ended cgroups too."""
        return {cgroup_id: path for cgroup_id, path in self._paths.items() if cgroup_id not in self._cut}

    @property
    def ended(self) -> frozenset[int]:
        """Ids removed and not yet forgotten."""
        return frozenset(self._ended)

    def made(self, cgroup_id: int, path: str) -> None:
        """A cgroup came to be; an id that the kernel uses again is a new cgroup."""
        if self._paths.get(cgroup_id) == path and cgroup_id not in self._ended and cgroup_id not in self._cut:
            return  # a walk meets what is known
        self._revision += 1
        self._paths[cgroup_id] = path
        self._alive.add(cgroup_id)
        self._ended.discard(cgroup_id)
        self._cut.discard(cgroup_id)

    def removed(self, cgroup_id: int) -> None:
        """A cgroup ended; its last counts are still to be read."""
        if cgroup_id in self._paths:
            self._revision += 1
            self._ended.add(cgroup_id)
            self._alive.discard(cgroup_id)

    def renamed(self, cgroup_id: int, path: str) -> None:
        """A v1 cgroup has another path now, and everything below it too."""
        self._revision += 1
        old = self._paths.get(cgroup_id)
        self._paths[cgroup_id] = path
        if cgroup_id not in self._ended:
            self._alive.add(cgroup_id)
        if old:
            below = f"{old}/"
            for other, other_path in self._paths.items():
                if other_path.startswith(below):
                    self._paths[other] = path + other_path[len(old) :]

    def forget(self, cgroup_id: int) -> None:
        """Drop an ended cgroup's path."""
        self._revision += 1
        self._paths.pop(cgroup_id, None)
        self._alive.discard(cgroup_id)
        self._cut.discard(cgroup_id)
        self._ended.discard(cgroup_id)

    def replace(self, paths: dict[int, str], unlisted: Sequence[str] = ()) -> None:
        """Take over a new walk; what it does not have has ended, but for what it could not see."""
        unseen = tuple(f"{path.rstrip('/')}/" for path in unlisted)
        for cgroup_id in self._paths.keys() - paths.keys():
            if not self._paths[cgroup_id].startswith(unseen):
                self.removed(cgroup_id)
        for cgroup_id, path in paths.items():
            self.made(cgroup_id, path)

    def apply(self, record: bytes) -> None:
        """Take one `struct cgroup_event` as the kernel sends it."""
        if len(record) < _HEADER.size:
            return
        cgroup_id, kind, path_bytes = _HEADER.unpack_from(record)
        name = record[_HEADER.size : _HEADER.size + path_bytes].split(b"\0", 1)[0]
        path = os.fsdecode(name)
        if kind == MADE:
            self.made(cgroup_id, path)
        elif kind == REMOVED:
            self.removed(cgroup_id)
        elif kind == RENAMED:
            self.renamed(cgroup_id, path)
        if len(name) == _CUT_BYTES and cgroup_id in self._paths:
            self._revision += 1
            self._cut.add(cgroup_id)
