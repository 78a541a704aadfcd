"""What stays in the kernel when the process ends: maps and links, by their paths on a bpffs.

Below the directory asked for there is one folder a layout (program.layout_of), so that maps which another
build cannot read are never taken over. Names have no dot: bpffs keeps such for itself (kernel/bpf/inode.c).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

from ebpf import bpf_maps, file_system
from ebpf.directory_lock import WAIT_SECONDS, lock_directory
from ebpf.program import WHOLE, Parts

log = logging.getLogger("ebpf")

MEND = "mount -t bpf bpf /sys/fs/bpf"
_LAYOUT = re.compile(r"podjoule_\d+_[0-9a-f]{12}")


class Pins:
    """One layout's folder, held until close(); without a folder nothing is pinned.

    is_taken_over: whether a process before this one left maps and attached programs there. parts: what there
    is to pin.
    """

    def __init__(self, folder: Path | None = None, lock: int | None = None, parts: Parts = WHOLE) -> None:
        self.folder = folder
        self._lock = lock
        self._parts = parts
        self.is_taken_over = folder is not None and _is_whole(folder, parts)
        self._is_whole = self.is_taken_over

    def keep(self, link_of: Callable[[str], int]) -> None:
        """Pin the link of every hook over that of the process before, whose program is detached by that.

        link_of: a hook's link, by descriptor.
        """
        if self.folder is None:
            return
        for hook in self._parts.hooks:
            new = self.folder / f"link_{hook}_new"
            new.unlink(missing_ok=True)
            bpf_maps.pin(link_of(hook), str(new))
            new.replace(self.folder / f"link_{hook}")
        self._is_whole = True

    def close(self) -> None:
        """Let the next process in; what was not pinned as a whole goes."""
        if self.folder is not None and not self._is_whole:
            _remove(self.folder)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def open_pins(
    directory: Path | None, layout: str, parts: Parts = WHOLE, wait_seconds: float = WAIT_SECONDS
) -> Pins:
    """The folder of a layout, for us alone; pins of other layouts are removed.

    No folder where none is asked for, or where it cannot be had, which a line says.
    """
    if directory is None:
        return Pins()
    with contextlib.ExitStack() as undo:
        try:
            lock = _held(directory, wait_seconds)
            undo.callback(os.close, lock)
            pins = Pins(_prepared(directory, layout, parts), lock, parts)
        except OSError as error:
            log.error("nothing is pinned: %s: %s", directory, error.strerror or error)
            return Pins()
        undo.pop_all()
    what = "taking over the counts in" if pins.is_taken_over else "counts are pinned in"
    log.info("%s %s", what, pins.folder)
    return pins


def layouts(directory: Path) -> list[str]:
    """The folders of ours in a directory."""
    try:
        return sorted(path.name for path in directory.iterdir() if _LAYOUT.fullmatch(path.name))
    except FileNotFoundError:
        return []


def remove_pins(directory: Path) -> list[str]:
    """Remove everything of ours from the kernel, and say what; the directory too, if it is empty then.

    Raises OSError. A podjoule that runs goes on until it ends, and leaves nothing.
    """
    removed = []
    for layout in layouts(directory):
        removed += sorted(str(path) for path in (directory / layout).iterdir())
        _remove(directory / layout)
    with contextlib.suppress(OSError):
        directory.rmdir()
    return removed


def check_directory(directory: Path) -> str:
    """Why nothing could be pinned there; empty where it could."""
    place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    try:
        if not is_bpffs(place):
            return f"{place} is not on a bpffs"
    except OSError as error:
        return f"{place}: {error.strerror}"
    # as who we are in effect: by our capabilities we may pass a folder above it that is closed to us
    return "" if os.access(place, os.W_OK, effective_ids=True) else f"{place} may not be written"


def is_bpffs(path: Path) -> bool:
    """Whether a path lies on a BPF file system. Raises OSError."""
    return file_system.magic(path) == file_system.BPF


def _held(directory: Path, wait_seconds: float) -> int:
    if refused := check_directory(directory):
        raise OSError(errno.EINVAL, f"{refused}: {MEND}, and name a directory below it")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = lock_directory(directory, wait_seconds)
    if lock is None:
        raise OSError(errno.EBUSY, "another podjoule is still running there")
    return lock


def _prepared(directory: Path, layout: str, parts: Parts) -> Path:
    """The layout's folder, whole or empty; the only one of ours."""
    for other in layouts(directory):
        if other != layout:
            _remove(directory / other)
            log.warning("%s/%s is of another layout and was removed: counts begin anew", directory, other)
    folder = directory / layout
    if not _is_whole(folder, parts):
        _remove(folder)
        folder.mkdir(mode=0o700)
    return folder


def _is_whole(folder: Path, parts: Parts) -> bool:
    """Whether all maps and the links of all programs are there; a part of them is of no use."""
    names = (*parts.first_pinned_maps, *(f"link_{hook}" for hook in parts.hooks))
    return all((folder / name).exists() for name in names)


def _remove(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        for path in list(folder.iterdir()):
            path.unlink()
        folder.rmdir()
