"""A file that is there whole or not at all, whoever reads meanwhile and whenever we are killed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".podjoule-tmp"
"""The suffix of what is not whole yet: what a killed process left can be removed."""
OF_ANOTHER = (
    "it is of another version, which goes on from it once it is started again with the file under this name"
)
"""What is said of a whole file that a later podjoule wrote."""


def write_whole(
    path: Path, write: Callable[[BinaryIO], object], mode: int = 0o666, lasting: bool = True
) -> None:
    """Write beside the file, then put that in its place in one step; where it fails, the old one stays.

    mode: less the umask. lasting: whether it must also outlive a failure of power. Raises OSError, and what
    `write` raises.
    """
    beside = path.with_name(path.name + TEMPORARY)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if lasting:
        _sync(path.parent)


def set_aside(path: Path, suffix: str = ".refused") -> Path:
    """Move a file out of the way of the next one; where it is now. Raises OSError."""
    return path.replace(path.with_name(path.name + suffix))


def refuse(path: Path, log: logging.Logger) -> None:
    """Set aside what must not be used, so that it can be looked at; where that fails it is said, too."""
    try:
        log.error("%s is set aside as %s", path, set_aside(path).name)
    except OSError as error:
        log.error("%s cannot be set aside: %s", path, error.strerror)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
