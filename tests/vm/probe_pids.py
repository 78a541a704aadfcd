"""From processes to cgroups on this kernel: BPF against /proc, also from a PID namespace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from ebpf.cpus import running_processes
from ebpf.pids import BpfPids, ProcfsPids
from tests.live.sandbox import PROCFS, hierarchies

_ASK = """
import json, os, sys
from pathlib import Path
from ebpf.hierarchy import Hierarchy
from ebpf.pids import BpfPids
version, mount, number, controller, *pids = sys.argv[1:]
found = BpfPids(Hierarchy(int(version), Path(mount), int(number), controller)).cgroups(list(map(int, pids)))
print(json.dumps({"own": os.getpid(), "found": found}))
"""


def pids() -> dict[str, object]:
    """By version of the hierarchy."""
    return {version: _of(version) for version in hierarchies()}


def _of(version: str) -> dict[str, object]:
    hierarchy = hierarchies()[version]
    there = running_processes(PROCFS)
    with closing(BpfPids(hierarchy)) as kernel, closing(ProcfsPids(hierarchy, PROCFS)) as procfs:
        by_kernel, by_procfs = kernel.cgroups(there), procfs.cgroups(there)
    both = by_kernel.keys() & by_procfs.keys()
    where = [str(hierarchy.version), str(hierarchy.mount), str(hierarchy.number), hierarchy.controller]
    asked = [sys.executable, "-c", _ASK, *where, str(os.getpid())]
    done = subprocess.run(
        ["unshare", "--pid", "--fork", *asked], capture_output=True, text=True, cwd=Path.cwd(), check=True
    )
    apart = json.loads(done.stdout)
    return {
        "processes": len(there),
        "told": len(both),
        "different": sum(by_kernel[pid] != by_procfs[pid] for pid in both),
        "apart_pid": apart["own"],
        "apart_is_the_same": apart["found"].get(str(os.getpid())) == by_procfs.get(os.getpid()),
    }
