"""One process of ours at a time in a directory."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

WAIT_SECONDS = 5.0
_TRY_SECONDS = 0.05


def lock_directory(directory: Path, wait_seconds: float = WAIT_SECONDS) -> int | None:
    """A descriptor that holds the directory until it is closed or the process ends, however it ends.

    None where another process still holds it after the wait. Raises OSError.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(_TRY_SECONDS)
        else:
            return descriptor
