"""What the kernel counts on a machine that is made up: hundreds of cgroups on some CPUs, tick by tick."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ebpf.cgroups import KERNEL_THREADS, CgroupTree
from ebpf.counters import FIELDS, CounterArray, CounterSnapshot, Kept, KernelStatistics
from ebpf.fake import ROOT_ID, UNSHARED

# Cycles, instructions, cache misses and switches of a nanosecond, in thousandths.
_EVENTS = np.array((2_400, 3_100, 7, 1), np.uint64)
_MOST_BUSY = 0.97
_FIRST_ROWS = 1_024

Loads = npt.NDArray[np.float64]


class Counts:
    """A CounterSource whose counts are the kernel's: they outlive each process, until the machine is booted.

    A cgroup that ended is in two more readings. used_ns: all that ran since the first boot; failing: how many
    of the next readings fail.
    """

    name = "simulated"

    def __init__(self, n_cpu: int, monotonic_ns: Callable[[], int]) -> None:
        self.n_cpu, self._monotonic_ns = n_cpu, monotonic_ns
        self.used_ns = self.failing = self.made = 0
        self._next_id = ROOT_ID + 1
        self._boots = 0
        self.boot()

    def boot(self) -> None:
        """All that was counted is gone, and every cgroup."""
        self._boots += 1
        self.tree = self.directory = CgroupTree({ROOT_ID: "/"})
        self._values: CounterArray = np.zeros((_FIRST_ROWS, self.n_cpu, len(FIELDS)), np.uint64)
        self._loads: Loads = np.zeros((_FIRST_ROWS, self.n_cpu))
        self._free = deque(range(_FIRST_ROWS))
        self._row_of: dict[int, int] = {}
        self._dying: frozenset[int] = frozenset()
        self._take(ROOT_ID, np.full(self.n_cpu, 0.002))
        self._take(KERNEL_THREADS, np.full(self.n_cpu, 0.004))

    def add(self, path: str, loads: Loads) -> int:
        """A cgroup comes. loads: shape (n_cpu,), its part of each CPU on the average."""
        made, self._next_id = self._next_id, self._next_id + 1
        self.made += 1
        self.tree.made(made, path)
        self._take(made, loads)
        return made

    def end(self, cgroup_id: int) -> None:
        """A cgroup goes; its last counts are still to be read."""
        self.tree.removed(cgroup_id)
        self._loads[self._row_of[cgroup_id]] = 0.0

    def run(self, seconds: float, chance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """All of them run for a while; how many CPUs' worth on each, shape (n_cpu,), below 1.

        chance: shape (rows,) at least, what each makes of its load this time.
        """
        part = self._loads * chance[: len(self._loads), np.newaxis]
        busy = part.sum(axis=0)
        part *= np.minimum(1.0, _MOST_BUSY / np.maximum(busy, 1e-9))
        ran_ns = (part * (seconds * 1e9)).astype(np.uint64)
        self._values[:, :, 0] += ran_ns
        self._values[:, :, 1:5] += ran_ns[:, :, np.newaxis] * _EVENTS // np.uint64(1000)
        self.used_ns += int(ran_ns.sum())
        return ran_ns.sum(axis=0) / (seconds * 1e9)

    @property
    def rows(self) -> int:
        """As many as there were at the most."""
        return len(self._loads)

    def read(self) -> CounterSnapshot:
        """See the CounterSource port."""
        if self.failing:
            self.failing -= 1
            raise OSError(5, "Input/output error")
        ids = np.fromiter(self._row_of, np.uint64, len(self._row_of))
        rows = np.fromiter(self._row_of.values(), np.intp, len(ids))
        ran = self._values[rows].any(axis=(1, 2))
        snapshot = CounterSnapshot(
            cgroup_id=ids[ran],
            tgid=np.zeros(int(ran.sum()), np.uint32),
            values=self._values[rows[ran]],
            dropped=np.zeros((self.n_cpu, len(FIELDS)), np.uint64),
            available=UNSHARED,
            monotonic_ns=self._monotonic_ns(),
        )
        for cgroup_id in self._dying & self.tree.ended:
            self.tree.forget(cgroup_id)
            self._free.append(self._row_of.pop(cgroup_id))
        self._dying = self.tree.ended
        return snapshot

    def statistics(self) -> KernelStatistics:
        """See the CounterSource port."""
        return KernelStatistics(map_entries=len(self._row_of))

    def kept(self) -> Kept:
        """See the CounterSource port."""
        return Kept(f"boot {self._boots}", self.tree.paths)

    def close(self) -> None:
        """The kernel counts on."""

    def _take(self, cgroup_id: int, loads: Loads) -> None:
        if not self._free:
            self._grow()
        row = self._row_of[cgroup_id] = self._free.popleft()
        self._values[row], self._loads[row] = 0, loads

    def _grow(self) -> None:
        before = len(self._loads)
        self._values = np.concatenate([self._values, np.zeros_like(self._values)])
        self._loads = np.concatenate([self._loads, np.zeros_like(self._loads)])
        self._free.extend(range(before, 2 * before))
