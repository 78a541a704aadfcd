"""A counter source that counts what a test tells it to."""

from __future__ import annotations

from collections import deque

import numpy as np

from ebpf.cgroups import KERNEL_PATH, KERNEL_THREADS, CgroupTree
from ebpf.counters import AWAKE_NS, FIELDS, CounterArray, CounterSnapshot, Kept, KernelStatistics

ROOT_ID = 1
UNSHARED = frozenset(FIELDS) - {"shared_ns", "shared_cycles"}
"""What is counted where no core has two threads."""


class FakeCounterSource:
    """A CounterSource in memory: cgroups come by `add`, run by `use`, go by `end`; time passes by `advance`.

    A cgroup that ended is in two more snapshots, as with the kernel's source, and then its path is forgotten.
    failures: each is raised by one read, in their order. statistics_now: what `statistics` answers.
    awake_ns: by socket; counted from when on it holds something.
    """

    name = "fake"

    def __init__(self, n_cpu: int = 1, available: frozenset[str] = UNSHARED) -> None:
        self.tree = CgroupTree({ROOT_ID: "/"})
        self.directory = self.tree
        self.failures: deque[Exception] = deque()
        self.statistics_now = KernelStatistics()
        self.awake_ns: dict[int, int] = {}
        self.monotonic_ns = 0
        self.closed = False
        self.identity = ""
        self._available = available
        self._counts: dict[tuple[int, int], CounterArray] = {}
        self._dropped = np.zeros((n_cpu, len(FIELDS)), np.uint64)
        self._id_of = {"/": ROOT_ID, KERNEL_PATH: KERNEL_THREADS}
        self._next_id = ROOT_ID + 1
        self._dying: frozenset[int] = frozenset()

    def add(self, path: str, cgroup_id: int | None = None) -> int:
        """Make a cgroup; its id is a new one unless it is given."""
        made = self._next_id if cgroup_id is None else cgroup_id
        self._next_id = max(self._next_id, made + 1)
        self._forget_counts(made)
        self.tree.made(made, path)
        self._id_of[path] = made
        return made

    def use(
        self,
        path: str,
        cpu_seconds: float = 0.0,
        *,
        cpu: int = 0,
        tgid: int = 0,
        cycles: int = 0,
        instructions: int = 0,
        cache_misses: int = 0,
        shared_seconds: float = 0.0,
        shared_cycles: int = 0,
    ) -> None:
        """Let a cgroup that is alive run on a CPU. Raises KeyError where there is none at this path."""
        counts = self._counts.setdefault((self._id_of[path], tgid), np.zeros_like(self._dropped))
        shared = (round(shared_seconds * 1e9), shared_cycles)
        used = (round(cpu_seconds * 1e9), cycles, instructions, cache_misses, 1, *shared)
        counts[cpu] += np.array(used, np.uint64)

    def drop(self, cpu_seconds: float, cpu: int = 0) -> None:
        """Let something run that the map has no room for."""
        self._dropped[cpu, 0] += np.uint64(round(cpu_seconds * 1e9))

    def end(self, path: str) -> None:
        """Remove a cgroup. Raises KeyError where there is none at this path."""
        self.tree.removed(self._id_of.pop(path))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.monotonic_ns += round(seconds * 1e9)

    def read(self) -> CounterSnapshot:
        """See the CounterSource port; raises the next of `failures`."""
        if self.failures:
            raise self.failures.popleft()
        snapshot = self._snapshot()
        for cgroup_id in self._dying & self.tree.ended:
            self.tree.forget(cgroup_id)
            self._forget_counts(cgroup_id)
        self._dying = self.tree.ended
        return snapshot

    def statistics(self) -> KernelStatistics:
        """See the CounterSource port."""
        return self.statistics_now

    def kept(self) -> Kept:
        """See the CounterSource port; with `identity` set, this object itself is what goes on."""
        return Kept(self.identity, self.tree.paths)

    def close(self) -> None:
        """See the CounterSource port."""
        self.closed = True

    def _forget_counts(self, cgroup_id: int) -> None:
        self._counts = {key: counts for key, counts in self._counts.items() if key[0] != cgroup_id}

    def _snapshot(self) -> CounterSnapshot:
        keys = np.array(list(self._counts), np.uint64).reshape(-1, 2)
        return CounterSnapshot(
            cgroup_id=keys[:, 0].copy(),
            tgid=keys[:, 1].astype(np.uint32),
            values=np.array(list(self._counts.values()), np.uint64).reshape(-1, *self._dropped.shape),
            dropped=self._dropped.copy(),
            available=self._available | ({AWAKE_NS} if self.awake_ns else frozenset()),
            monotonic_ns=self.monotonic_ns,
            awake_ns=dict(self.awake_ns),
        )
