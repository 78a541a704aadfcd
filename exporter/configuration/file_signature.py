"""Whether a file is another one than when it was last looked at, by one stat."""

from __future__ import annotations

import os
from pathlib import Path

Signature = tuple[int, ...]


def signature(file: Path) -> Signature:
    """What changes with a file's content; empty where the file is not there."""
    try:
        return signature_of(os.stat(file))  # noqa: PTH116  half of what Path.stat costs
    except OSError:
        return ()


def signature_of(status: os.stat_result) -> Signature:
    """The same of a file that was looked at already."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
