"""Time that interrupts took, where the kernel keeps it out of every task's clock: it is the kernel's own.

Only with CONFIG_IRQ_TIME_ACCOUNTING, and not switched off at run time (tsc=noirqtime, an unstable TSC);
elsewhere it is in the clock of whoever was interrupted, and counted there. /proc/stat would not do: with the
option its softirq column has what ksoftirqd ran as well, which is in that thread's clock already.
"""

from __future__ import annotations

import numpy as np

from ebpf import bpf_maps
from ebpf.cgroups import KERNEL_THREADS
from ebpf.counters import CPU_NS, CounterArray
from ebpf.libbpf import run_here
from ebpf.program import KEY, LoadedProgram


class InterruptTime:
    """What each CPU's interrupts took since the machine was booted, CPUs that are offline among them.

    look: the program that fills the map `interrupts`, of n_cpu entries; both by descriptor.
    """

    def __init__(self, look: int, interrupts: int, n_cpu: int) -> None:
        self._look = look
        self._map = bpf_maps.map_reader(interrupts, np.dtype([("cpu", "<u4")]), (1,), n_cpu)

    def read(self) -> CounterArray:
        """Nanoseconds, shape (n_cpu,). Raises OSError."""
        run_here(self._look)
        _, ns = self._map.read()
        return ns[:, 0]


def interrupts_of(program: LoadedProgram) -> InterruptTime | None:
    """The time of interrupts on this kernel; None where it is in tasks' clocks. Raises OSError."""
    if not run_here(program.read_interrupts):
        return None
    return InterruptTime(program.read_interrupts, program.maps["interrupts"], program.n_cpu)


def with_interrupts(found: bpf_maps.Entries, interrupt_ns: CounterArray) -> bpf_maps.Entries:
    """The counts, with the time of interrupts in that of the kernel's threads: in the row of no process.

    found: keys (n,), values (n, n_cpu, words). interrupt_ns: shape (n_cpu,), cumulative. No cycle is moved.
    """
    if not interrupt_ns.any():
        return found
    keys, values = found
    of_kernel = (keys["cgroup_id"] == KERNEL_THREADS) & (keys["tgid"] == 0)
    if not of_kernel.any():
        keys = np.append(keys, np.array([(KERNEL_THREADS, 0, 0)], KEY))
        values = np.concatenate([values, np.zeros_like(values, shape=(1, *values.shape[1:]))])
        of_kernel = np.append(of_kernel, True)
    values = values.copy()
    values[of_kernel, :, CPU_NS] += interrupt_ns
    return keys, values
