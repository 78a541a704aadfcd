"""What of BPF is in the kernel, as `bpftool prog` and `bpftool link` list it."""

from __future__ import annotations

import ctypes as ct
import errno
import os
import time
from collections.abc import Iterator

from ebpf import libbpf

_NAME = slice(64, 80)  # of struct bpf_prog_info, include/uapi/linux/bpf.h


def programs() -> list[str]:
    """The names of all programs in the kernel."""
    return [_name(program) for program in _ids("prog")]


def links() -> list[str]:
    """All links in the kernel, by id; none where the kernel cannot list them (before 5.8)."""
    return [f"link {link}" for link in _ids("link")]


def left_after(seconds: float = 10) -> list[str]:
    """Programs and links that are still there after some time: the kernel frees them a moment later."""
    deadline = time.monotonic() + seconds
    while (left := programs() + links()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _ids(kind: str) -> Iterator[int]:
    found, following = ct.c_uint32(0), getattr(libbpf.library(), f"bpf_{kind}_get_next_id")
    while following(found, ct.byref(found)) == 0:
        yield found.value
    if ct.get_errno() not in (errno.ENOENT, errno.EINVAL):
        raise OSError(ct.get_errno(), f"listing BPF {kind}s")


def _name(program: int) -> str:
    fd = libbpf.library().bpf_prog_get_fd_by_id(ct.c_uint32(program))
    if fd < 0:
        return f"program {program}"
    try:
        info, size = ct.create_string_buffer(232), ct.c_uint32(232)
        libbpf.library().bpf_obj_get_info_by_fd(fd, info, ct.byref(size))
        return info.raw[_NAME].rstrip(b"\0").decode() or f"program {program}"
    finally:
        os.close(fd)
