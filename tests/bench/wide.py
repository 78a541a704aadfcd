"""Our kernel program's maps as they are on a machine with many CPUs.

A per-CPU map with values as wide as n_cpu / possible CPUs of ours gives, in one reading, the very bytes that
the kernel of such a machine would: reading costs what it costs there, but for cache lines of other sockets.
"""

from __future__ import annotations

import ctypes as ct
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ebpf import core_loader, libbpf
from ebpf.bpf_source import BpfCounterSource
from ebpf.counters import FIELDS
from ebpf.cpu_events import CpuEvents
from ebpf.program import COUNTERS, CPU_STATE, KEY, LoadedProgram, ProgramOptions

_ARRAY, _PERCPU_HASH = 2, 5  # enum bpf_map_type


class WideSource(BpfCounterSource):
    """The real source and the real programs, with counts that `use` makes and n_cpu busy CPUs.

    The program that charges a CPU runs on one of ours for each that is wanted. All fields are available.
    """

    def __init__(self, options: ProgramOptions, n_cpu: int, cgroup_ids: Sequence[int]) -> None:
        program = core_loader.load(options)
        self._cgroup_ids = cgroup_ids
        self._random = np.random.default_rng(0)
        self._used = np.zeros((len(cgroup_ids), n_cpu, COUNTERS.itemsize // 8), np.uint64)
        self._counts_fd = _create(
            _PERCPU_HASH, KEY.itemsize, COUNTERS.itemsize * n_cpu // program.n_cpu, options.map_entries
        )
        self._cpus_fd = _create(_ARRAY, 4, CPU_STATE.itemsize, n_cpu)
        for cpu in range(n_cpu):
            _update(self._cpus_fd, np.uint32(cpu).tobytes(), _busy())
        self.use()
        super().__init__("core", self._widened(program, n_cpu), options)
        real, run = program.n_cpu, self._charge.run
        self._charge.run = lambda cpu: run(cpu % real)  # type: ignore[method-assign]

    def use(self) -> None:
        """Let every cgroup use something on every CPU."""
        self._used += self._random.integers(1, 10**6, self._used.shape, np.uint64)
        for cgroup_id, used in zip(self._cgroup_ids, self._used, strict=True):
            _update(self._counts_fd, np.array((cgroup_id, 0, 0), KEY).tobytes(), used.tobytes())

    def close(self) -> None:
        super().close()
        os.close(self._counts_fd)
        os.close(self._cpus_fd)

    def _widened(self, program: LoadedProgram, n_cpu: int) -> LoadedProgram:
        maps = {**program.maps, "counts": self._counts_fd, "cpus": self._cpus_fd}
        return replace(program, maps=maps, n_cpu=n_cpu, available=frozenset(FIELDS), events=CpuEvents())


def _busy() -> bytes:
    state = np.zeros((), CPU_STATE)
    state["pid"] = 1
    return state.tobytes()


def _create(kind: int, key_bytes: int, value_bytes: int, entries: int) -> int:
    made = libbpf.library().bpf_map_create(kind, b"bench", key_bytes, value_bytes, entries, None)
    if made < 0:
        raise OSError(ct.get_errno(), "a map for the benchmark cannot be made")
    return int(made)


def _update(map_fd: int, key: bytes, value: bytes) -> None:
    if libbpf.library().bpf_map_update_elem(map_fd, key, value, ct.c_uint64(0)) < 0:
        raise OSError(ct.get_errno(), "a map of the benchmark cannot be filled")
