"""Processes of the machine, looked up from a PID namespace of one's own, by a user with two capabilities."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from ebpf.cpus import running_processes
from ebpf.pids import BpfPids, ProcfsPids, open_pids
from tests.live.rights import NOBODY, run_confined
from tests.live.sandbox import PROCFS, Cgroup, cgroup, hierarchies, stop

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

NO_ONE = 4_194_303  # PID_MAX_LIMIT - 1
ASK = """
import json, os, sys
from pathlib import Path
from ebpf.hierarchy import Hierarchy
from ebpf.cpus import running_processes
from ebpf.pids import BpfPids
version, mount, number, controller, *pids = sys.argv[1:]
found = BpfPids(Hierarchy(int(version), Path(mount), int(number), controller)).cgroups(list(map(int, pids)))
print(json.dumps({"own": os.getpid(), "found": found}))
"""


@pytest.fixture
def group() -> Iterator[Cgroup]:
    with cgroup("pids") as made:
        yield made


@pytest.mark.parametrize("version", hierarchies())
def test_the_kernel_and_procfs_tell_the_same_of_every_process(group: Cgroup, version: str) -> None:
    hierarchy = hierarchies()[version]
    sleeping = group.python("import time; time.sleep(60)")
    there = running_processes(PROCFS)
    with closing(BpfPids(hierarchy)) as kernel, closing(ProcfsPids(hierarchy, PROCFS)) as procfs:
        by_kernel, by_procfs = kernel.cgroups([*there, NO_ONE]), procfs.cgroups(there)
        later = kernel.cgroups(there)
        # Whoever moved meanwhile, others' processes, is told of two places.
        both = {pid for pid in by_kernel.keys() & by_procfs.keys() if by_kernel[pid] == later.get(pid)}
        assert {pid: by_kernel[pid] for pid in both} == {pid: by_procfs[pid] for pid in both}
        assert len(both) > len(there) / 2
        assert NO_ONE not in by_kernel
        assert by_kernel[sleeping.pid] == group.cgroup_id(version)
        stop(sleeping)
        assert kernel.cgroups([sleeping.pid]) == {}


@pytest.mark.parametrize("version", hierarchies())
def test_neither_the_machines_pids_nor_its_proc_are_needed(group: Cgroup, version: str) -> None:
    hierarchy = hierarchies()[version]
    sleeping = group.python("import time; time.sleep(60)")
    where = [str(hierarchy.version), str(hierarchy.mount), str(hierarchy.number), hierarchy.controller]
    asked = ["-c", ASK, *where, str(sleeping.pid), str(os.getpid()), str(NO_ONE)]
    done = run_confined(asked, ("BPF", "PERFMON"), NOBODY, own_pids=True)
    stop(sleeping)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["own"] < 10
    own = ProcfsPids(hierarchy, PROCFS).cgroups([os.getpid()])
    assert told["found"] == {
        str(sleeping.pid): group.cgroup_id(version),
        str(os.getpid()): own[os.getpid()],
    }


def test_without_rights_the_reason_is_said() -> None:
    hierarchy = next(iter(hierarchies().values()))
    where = [str(hierarchy.version), str(hierarchy.mount), str(hierarchy.number), hierarchy.controller]
    done = run_confined(["-c", ASK, *where, "1"], (), NOBODY)
    assert "cannot be looked up by BPF: loading the BPF programs: Operation not permitted" in done.stderr


def test_bpf_is_preferred() -> None:
    with closing(open_pids(next(iter(hierarchies().values())), PROCFS)) as found:
        assert found.name == "bpf"
