"""CPU time of all workloads together against /proc/stat, while interrupts take much of it."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import asdict
from pathlib import Path

from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.live import loads
from tests.live.counting import read_whole
from tests.live.sandbox import cgroup, hierarchies, stop

TYPES = Path("/types")


def interrupts(seconds: float) -> dict[str, object]:
    """Datagrams to nobody from every CPU, so that none of them idles."""
    types = TYPES if TYPES.exists() else None
    with (
        contextlib.closing(open_source("core", ProgramOptions(hierarchies()["v2"], btf=types))) as source,
        cgroup("flood") as group,
    ):
        floods = [group.python(loads.DATAGRAMS, "0", cpu=cpu) for cpu in sorted(os.sched_getaffinity(0))]
        time.sleep(3)
        before = read_whole(source)
        time.sleep(seconds)
        after = read_whole(source)
        stop(*floods)
    return asdict(after.since(before))
