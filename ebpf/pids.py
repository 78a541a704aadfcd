"""From a process to its cgroup, for meters that know processes alone (GPUs): by BPF, else by procfs.

BPF looks the PID up in the machine's own table: neither the host's PID namespace nor its /proc is needed.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from ebpf import bpf_maps, libbpf
from ebpf.cpus import shows_every_process
from ebpf.errors import SourceUnavailable, Unavailable
from ebpf.hierarchy import Hierarchy
from ebpf.objects import compiled
from ebpf.type_file import kernel_knows_its_types, usable

log = logging.getLogger("ebpf")

OBJECT = "pids.bpf.o"
# The numpy side of pids.h, held together by tests/ebpf/test_pids.py.
SETTINGS = np.dtype([("hierarchy", "<u4"), ("v1_cpuacct", "<u4")])
FOUND = np.dtype([("wanted", "<u4"), ("tgid", "<u4"), ("cgroup_id", "<u8"), ("own_cgroup_id", "<u8")])
_OURSELVES = 0
_ONCE_MORE = 2  # a table that is being changed can look empty for a moment


class PidDirectory(Protocol):
    """PIDs of the machine's first PID namespace, by which drivers tell processes. For one thread."""

    name: str

    def cgroups(self, pids: Collection[int]) -> Mapping[int, int]:
        """The cgroup id of each of these processes that is there."""

    def close(self) -> None:
        """Let go of what it holds; safe to call twice."""


class BpfPids:
    """Asks the kernel, a PID at a time. Raises SourceUnavailable where it does not know even ourselves."""

    name = "bpf"

    def __init__(self, hierarchy: Hierarchy, btf: Path | None = None) -> None:
        self._row = np.zeros(1, FOUND)
        with contextlib.ExitStack() as stack:
            try:
                by_copy = not kernel_knows_its_types()
                program = libbpf.Object(compiled(OBJECT), usable(btf, by_copy=by_copy))
                stack.callback(program.close)
                settings = np.array((hierarchy.number, hierarchy.controller == "cpuacct"), SETTINGS)
                program.set_initial(".rodata.settings", settings.tobytes())
                program.load()
                self._program, self._map = program.program_fd("find_process"), program.map_fd("found")
                self._find(_OURSELVES)
            except OSError as error:
                raise SourceUnavailable(
                    f"processes cannot be looked up by BPF: {error.strerror or error}"
                ) from error
            self._check()
            self._close = stack.pop_all().close

    def cgroups(self, pids: Collection[int]) -> Mapping[int, int]:
        """See PidDirectory. Raises OSError where the kernel refuses."""
        return {pid: cgroup_id for pid in pids if pid > 0 and (cgroup_id := self._cgroup(pid))}

    def close(self) -> None:
        """Unload the program; safe to call twice."""
        self._close()

    def _cgroup(self, pid: int) -> int:
        """0 where there is no such process."""
        for _ in range(_ONCE_MORE):
            self._find(pid)
            if self._row["tgid"][0] == pid:
                return int(self._row["cgroup_id"][0])
        return 0

    def _find(self, pid: int) -> None:
        libbpf.run_with(self._program, pid)
        bpf_maps.lookup(self._map, 0, self._row)

    def _check(self) -> None:
        """The way through the table is of no promised shape: it must lead to where we stand ourselves."""
        row = self._row[0]
        if row["tgid"] != row["wanted"] or row["cgroup_id"] != row["own_cgroup_id"]:
            raise SourceUnavailable(
                f"this kernel ({os.uname().release}) keeps its PIDs in another way than BPF looks them up"
            )


class ProcfsPids:
    """Reads /proc/PID/cgroup, and the directory's inode. Raises SourceUnavailable where that is not the
    machine's own."""

    name = "procfs"

    def __init__(self, hierarchy: Hierarchy, procfs: Path) -> None:
        if not shows_every_process(procfs):
            raise SourceUnavailable(
                f"{procfs} does not show the machine's processes: name the host's /proc with --host.procfs"
            )
        self._hierarchy, self._procfs = hierarchy, procfs

    def cgroups(self, pids: Collection[int]) -> Mapping[int, int]:
        """See PidDirectory."""
        return {pid: cgroup_id for pid in pids if (cgroup_id := self._cgroup(pid))}

    def close(self) -> None:
        """Nothing is held."""

    def _cgroup(self, pid: int) -> int:
        with contextlib.suppress(OSError, ValueError):
            lines = (self._procfs / str(pid) / "cgroup").read_text(errors="surrogateescape").splitlines()
            for path in filter(None, (_path_in(line, self._hierarchy) for line in lines)):
                return Path(f"{self._hierarchy.mount}{path}").stat().st_ino
        return 0


def _path_in(line: str, hierarchy: Hierarchy) -> str:
    """The path below the mount, of a line `number:controllers:path` of this hierarchy; see cgroups(7)."""
    number, controllers, path = line.split(":", 2)
    is_ours = int(number) == hierarchy.number and hierarchy.controller in ("", *controllers.split(","))
    return path if is_ours else ""


def open_pids(hierarchy: Hierarchy, procfs: Path, btf: Path | None = None) -> PidDirectory:
    """By BPF, else by procfs. Raises SourceUnavailable, naming both reasons, where neither serves."""
    try:
        return BpfPids(hierarchy, btf)
    except Unavailable as error:
        why_not = str(error)
    try:
        found = ProcfsPids(hierarchy, procfs)
    except SourceUnavailable as error:
        raise SourceUnavailable(f"{why_not}; {error}") from error
    log.info("processes are looked up in %s: %s", procfs, why_not)
    return found
