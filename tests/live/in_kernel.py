"""What a process has of BPF, and whether the kernel still has it."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from ebpf import libbpf


def in_kernel(pid: int) -> set[tuple[str, int]]:
    """What a process has of BPF, by the kernel's numbers: ("prog", 7), ("link", 3), ("map", 12)."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            text = descriptor.read_text()
            found |= {
                (kind, int(n)) for kind, n in re.findall(r"^(prog|link|map)_id:\s*(\d+)", text, re.MULTILINE)
            }
    return found


def still_there(objects: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those that the kernel still has; what nobody holds goes a little later."""
    opened = set()
    for kind, number in objects:
        descriptor = getattr(libbpf.library(), f"bpf_{kind}_get_fd_by_id")(number)
        if descriptor >= 0:
            os.close(descriptor)
            opened.add((kind, number))
    return opened


def assert_gone(objects: set[tuple[str, int]]) -> None:
    assert {"prog", "link", "map"} <= {kind for kind, _ in objects}, "the test sees nothing of ours"
    deadline = time.monotonic() + 5
    while left := still_there(objects):
        assert time.monotonic() < deadline, f"left in the kernel: {sorted(left)}"
        time.sleep(0.05)
