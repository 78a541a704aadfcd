"""From a process to its cgroup: by procfs, by BPF, and what is said where neither serves."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from ebpf import pids
from ebpf.errors import SourceUnavailable
from ebpf.hierarchy import Hierarchy
from ebpf.pids import FOUND, SETTINGS, ProcfsPids, open_pids
from tests.ebpf import native

LAYOUT = """
#include "pids.h"
#define OFFSET(member) (int)offsetof(struct pid_cgroup, member)
int main(void)
{
	printf("%d %d ", (int)sizeof(struct pid_settings), (int)sizeof(struct pid_cgroup));
	printf("%d %d ", OFFSET(wanted), OFFSET(tgid));
	printf("%d %d ", OFFSET(cgroup_id), OFFSET(own_cgroup_id));
	return 0;
}
"""


def test_the_structs_are_those_of_the_kernels_side(tmp_path: Path) -> None:
    assert FOUND.fields is not None
    offsets = [FOUND.fields[name][1] for name in FOUND.names or ()]
    told = [int(word) for word in native.run(native.build(LAYOUT, tmp_path)).split()]
    assert told == [SETTINGS.itemsize, FOUND.itemsize, *offsets]


@pytest.fixture
def procfs(tmp_path: Path) -> Path:
    """The machine's own, with process 7 in two hierarchies."""
    folder = tmp_path / "proc"
    for pid in (2, 7, 8):
        (folder / str(pid)).mkdir(parents=True)
    (folder / "2/comm").write_text("kthreadd\n")
    (folder / "7/cgroup").write_text("2:cpu,cpuacct:/seven\n0::/unified/seven\n")
    (folder / "8/cgroup").write_text("0::/gone\n")
    return folder


def made(tmp_path: Path, path: str) -> int:
    folder = tmp_path / "cgroup" / path
    folder.mkdir(parents=True)
    return folder.stat().st_ino


@pytest.mark.parametrize(
    ("number", "controller", "path"), [(0, "", "unified/seven"), (2, "cpuacct", "seven"), (2, "cpu", "seven")]
)
def test_procfs_tells_the_cgroup_of_the_hierarchy_that_is_followed(
    tmp_path: Path, procfs: Path, number: int, controller: str, path: str
) -> None:
    inode = made(tmp_path, path)
    hierarchy = Hierarchy(1 if number else 2, tmp_path / "cgroup", number, controller)
    assert ProcfsPids(hierarchy, procfs).cgroups([7, 8, 9]) == {7: inode}


def test_a_procfs_of_another_pid_namespace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"does not show the machine's processes: name the host's"):
        ProcfsPids(Hierarchy(2, tmp_path), tmp_path)


def test_where_neither_serves_both_reasons_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pids, "OBJECT", "nowhere.bpf.o")
    with pytest.raises(SourceUnavailable, match=r"make ebpf/kernel/nowhere\.bpf\.o`; .*--host\.procfs"):
        open_pids(Hierarchy(2, tmp_path), tmp_path)
    assert not caplog.records


def test_procfs_stands_in_for_bpf_and_says_why(
    tmp_path: Path, procfs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pids, "OBJECT", "nowhere.bpf.o")
    caplog.set_level(logging.INFO, "ebpf")
    assert open_pids(Hierarchy(2, tmp_path), procfs).name == "procfs"
    assert f"processes are looked up in {procfs}: the CO-RE object" in caplog.text


class Kernel:
    """A loaded program that answers what a test tells it to."""

    def __init__(self, *_: object) -> None:
        self.closed = False

    def __getattr__(self, name: str) -> object:
        return lambda *_: 0


def test_a_table_that_does_not_lead_to_ourselves_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Wrong(Kernel):
        def close(self) -> None:
            closed.append(self)

    def lookup(_fd: int, _index: int, into: np.ndarray) -> None:
        into[0] = (100, 100, 5, 6)

    monkeypatch.setattr(pids.libbpf, "Object", Wrong)
    monkeypatch.setattr(pids.libbpf, "run_with", lambda *_: None)
    monkeypatch.setattr(pids.bpf_maps, "lookup", lookup)
    monkeypatch.setattr(pids, "compiled", lambda _: b"")
    with pytest.raises(SourceUnavailable, match="keeps its PIDs in another way than BPF looks them up"):
        pids.BpfPids(Hierarchy(2, Path("/sys/fs/cgroup")))
    assert closed
