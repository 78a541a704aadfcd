"""The counter source of last resort: the usage files of the cgroup tree, where BPF is not allowed.

It knows CPU time alone, not on which CPU, walks the tree at each reading, and gives what a cgroup used
between its last reading and its end to the parent. By process it knows what procfs tells of those that run;
what is left of a cgroup's, those that ended among it, is in its row of no process.
"""

from __future__ import annotations

import time
from collections.abc import Set
from pathlib import Path

import numpy as np

from ebpf.cgroups import KERNEL_THREADS, CgroupTree, walk
from ebpf.counters import CPU_NS, FIELDS, NOTHING_KEPT, CounterSnapshot, Kept, KernelStatistics
from ebpf.errors import SourceUnavailable
from ebpf.hierarchy import Hierarchy
from ebpf.process_times import ProcessShares, ProcessTimes

Key = tuple[int, int]  # cgroup id and PID, 0 for what is no process's


def parse_cpu_stat(text: str) -> int:
    """Nanoseconds in a cgroup v2 cpu.stat. Raises ValueError where usage_usec is missing."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "usage_usec":
            return int(value) * 1000
    raise ValueError("no usage_usec in cpu.stat")


def own_usage(usage_ns: dict[str, int], before_ns: dict[str, int]) -> dict[str, int]:
    """What each cgroup used itself since the last reading, its children's part taken out.

    Both arguments: path -> cumulative nanoseconds of the cgroup and all below it. Never negative: usage files
    are read one after the other, so a child may be a little ahead of its parent.
    """
    grown = {path: max(0, ns - before_ns.get(path, 0)) for path, ns in usage_ns.items()}
    own = dict(grown)
    for path, ns in grown.items():
        above = path
        while above != "/":
            above = above.rpartition("/")[0] or "/"
            if above in own:
                own[above] -= ns
                break
    return {path: max(0, ns) for path, ns in own.items()}


class CpuStatSource:
    """Reads cpu.stat (cgroup v2) or cpuacct.usage (v1); see the CounterSource port.

    kept: what the process before this one left, taken up where it read the same files in the same boot: the
    kernel goes on counting in them whoever reads. boot_id: empty where it is not known. processes: tells them
    apart; None for not at all.
    """

    name = "cpu.stat"

    def __init__(
        self,
        hierarchy: Hierarchy,
        kept: Kept = NOTHING_KEPT,
        boot_id: str = "",
        processes: ProcessTimes | None = None,
    ) -> None:
        self._hierarchy = hierarchy
        self._identity = f"{boot_id} {self._file} {hierarchy.number}" if boot_id else ""
        self._before_ns: dict[int, int] = {}
        self._total_ns: dict[Key, int] = {}
        self._processes, self._shares = processes, ProcessShares()
        self._is_taken_up = False
        self.tree = CgroupTree(walk(hierarchy.mount).paths)
        self.directory = self.tree
        self._before_ns = self._usage()
        if not self._before_ns:
            raise SourceUnavailable(
                f"no cgroup below {hierarchy.mount} has a readable {self._file}:"
                " the kernel's CPU accounting is off"
            )
        if self._identity and kept.identity == self._identity:
            self._take_up(kept)

    def _take_up(self, kept: Kept) -> None:
        self.tree = self.directory = CgroupTree(dict(kept.paths))
        self.tree.replace(*walk(self._hierarchy.mount))
        ids, before_ns, total_ns = kept.files.T.tolist()
        self._before_ns = dict(zip(ids, before_ns, strict=True))
        self._total_ns = {(cgroup_id, 0): ns for cgroup_id, ns in zip(ids, total_ns, strict=True)}
        self._is_taken_up = True

    @property
    def _file(self) -> str:
        return "cpu.stat" if self._hierarchy.version == 2 else "cpuacct.usage"

    def _path(self, cgroup_id: int) -> str:
        return self.tree.path(cgroup_id) or "/"

    def _usage(self) -> dict[int, int]:
        """id -> cumulative ns; one that cannot be read stands where it stood at the last reading."""
        parse = parse_cpu_stat if self._hierarchy.version == 2 else int
        usage = {}
        for cgroup_id in self.tree:
            file = Path(f"{self._hierarchy.mount}{self._path(cgroup_id)}/{self._file}")
            try:
                usage[cgroup_id] = parse(file.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                if cgroup_id in self._before_ns:
                    usage[cgroup_id] = self._before_ns[cgroup_id]
        return usage

    def read(self) -> CounterSnapshot:
        """See the CounterSource port."""
        self._forget(self.tree.ended)
        self.tree.replace(*walk(self._hierarchy.mount))
        usage_ns = self._usage()
        before_ns = {self._path(i): ns for i, ns in self._before_ns.items() if i in usage_ns}
        own = own_usage({self._path(i): ns for i, ns in usage_ns.items()}, before_ns)
        self._before_ns = usage_ns
        self._count_processes(own)
        for cgroup_id in self.tree:
            self._count((cgroup_id, 0), own.get(self._path(cgroup_id), 0))
        return self._snapshot()

    def _forget(self, ended: Set[int]) -> None:
        if not ended:  # as at most ticks
            return
        for cgroup_id in ended:
            self.tree.forget(cgroup_id)
        self._total_ns = {key: ns for key, ns in self._total_ns.items() if key[0] not in ended}

    def _count_processes(self, own_ns: dict[str, int]) -> None:
        """Take what is a process's out of its cgroup's own.

        In the first reading after a process before this one nothing is: that one's counts by process are not
        known any more, so that ours begin where whoever takes the difference has seen none.
        """
        if self._processes is None:
            return
        grown, running = self._processes.grown(), self._processes.running
        self._total_ns = {key: ns for key, ns in self._total_ns.items() if not key[1] or key[1] in running}
        if self._is_taken_up:
            self._is_taken_up = False
            return
        ids = {self._path(cgroup_id): cgroup_id for cgroup_id in self.tree}
        for process, ns in self._shares.share(own_ns, grown).items():
            is_the_kernels = process.is_kernel_thread and process.path == "/"
            self._count((KERNEL_THREADS if is_the_kernels else ids[process.path], process.pid), ns)
            own_ns[process.path] -= ns

    def _count(self, key: Key, ns: int) -> None:
        self._total_ns[key] = self._total_ns.get(key, 0) + ns

    def _snapshot(self) -> CounterSnapshot:
        values = np.zeros((len(self._total_ns), 1, len(FIELDS)), np.uint64)
        values[:, 0, CPU_NS] = list(self._total_ns.values())
        return CounterSnapshot(
            cgroup_id=np.array([cgroup_id for cgroup_id, _ in self._total_ns], np.uint64),
            tgid=np.array([pid for _, pid in self._total_ns], np.uint32),
            values=values,
            dropped=np.zeros((1, len(FIELDS)), np.uint64),
            available=frozenset({"cpu_ns"}),
            monotonic_ns=time.monotonic_ns(),
        )

    def statistics(self) -> KernelStatistics:
        """There is no program of ours in the kernel."""
        return KernelStatistics(map_entries=len(self._total_ns))

    def kept(self) -> Kept:
        """See the CounterSource port."""
        of_cgroups = ((key[0], ns) for key, ns in self._total_ns.items() if not key[1])
        rows = [(i, self._before_ns.get(i, 0), total_ns) for i, total_ns in of_cgroups]
        files = np.array(rows, np.uint64).reshape(-1, 3)
        return Kept(self._identity, self.tree.paths, files)

    def close(self) -> None:
        """Nothing is held open."""
