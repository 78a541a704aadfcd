"""Which kind of file system a path lies on, by the number in include/uapi/linux/magic.h."""

from __future__ import annotations

import ctypes as ct
import os
from pathlib import Path

BPF = 0xCAFE4A11
SYSFS = 0x62656572
CGROUPS = (0x27E0EB, 0x63677270)


def magic(path: Path) -> int:
    """The number of the file system that a path lies on. Raises OSError."""
    found = (ct.c_long * 32)()  # struct statfs begins with f_type
    if ct.CDLL(None, use_errno=True).statfs(os.fsencode(path), found):
        raise OSError(ct.get_errno(), os.strerror(ct.get_errno()))
    return int(found[0])
