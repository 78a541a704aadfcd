"""The counter source over loaded kernel programs, whichever loader they came from."""

from __future__ import annotations

import errno
import logging
import time

import numpy as np
import numpy.typing as npt

from ebpf import libbpf
from ebpf.cgroups import CgroupTree, walk
from ebpf.counters import FIELDS, CounterArray, CounterSnapshot, Kept, KernelStatistics
from ebpf.cpus import online_cpus, running_processes
from ebpf.errors import SourceUnavailable
from ebpf.program import COUNTERS, CPU_STATE, KEY, LoadedProgram, ProgramOptions

log = logging.getLogger("ebpf")

_WORDS = COUNTERS.itemsize // 8
_FIELD_WORDS = len(FIELDS)  # struct counters begins with FIELDS in their order; blind_ns follows


class BpfCounterSource:
    """Reads what the kernel programs counted; see the CounterSource port."""

    def __init__(self, name: str, program: LoadedProgram, options: ProgramOptions) -> None:
        self.name = name
        self._program = program
        self._options = options
        self._charge = libbpf.CpuRunner(program.charge_running)
        self._counts = libbpf.BatchReader(
            program.maps["counts"], KEY, (program.n_cpu, _WORDS), options.map_entries
        )
        self._cpus = libbpf.BatchReader(
            program.maps["cpus"], np.dtype([("cpu", "<u4")]), (CPU_STATE.itemsize // 8,), program.n_cpu
        )
        self._lost_by_cpu = np.zeros(program.n_cpu, np.uint64)
        self._entries = 0
        self._dropped_ns = 0
        self._dying: npt.NDArray[np.void] = np.zeros(0, KEY)
        self._doomed: set[bytes] = set()
        self._forgettable: set[int] = set()
        kept = options.kept
        goes_on = bool(program.identity) and kept.identity == program.identity
        # What was known, then what the kernel told while nobody listened, then what is there.
        self.tree = CgroupTree(dict(kept.paths) if goes_on else {})
        self.directory = self.tree
        self._ring = libbpf.RingReader(program.maps["cgroup_events"], self.tree.apply)
        self._ring.consume()
        self._lost = self._count_lost()
        self.tree.replace(walk(options.hierarchy.mount))
        self._charge_cpus(online_cpus(options.sysfs))

    def read(self) -> CounterSnapshot:
        """Count everything up to now; see the CounterSource port."""
        self._delete_doomed()
        self._charge_cpus(self._busy_cpus())
        now_ns = time.monotonic_ns()
        keys, values = self._counts.read()
        dropped = self._dropped()
        self._follow_cgroups()  # after the counts: a cgroup is told of before anything runs in it
        self._entries = len(keys)
        self._mark_dead(keys)
        return CounterSnapshot(
            cgroup_id=keys["cgroup_id"].copy(),
            tgid=keys["tgid"].copy(),
            values=values[:, :, :_FIELD_WORDS],
            dropped=dropped,
            available=self._program.available,
            monotonic_ns=now_ns,
        )

    def statistics(self) -> KernelStatistics:
        """What our programs cost; see the port."""
        runs = {name: libbpf.run_statistics(fd) for name, fd in self._program.programs.items()}
        counted = {name: run for name, run in runs.items() if run[0]}
        return KernelStatistics(
            run_count={name: run[0] for name, run in counted.items()},
            run_ns={name: run[1] for name, run in counted.items()},
            map_entries=self._entries,
            dropped_ns=self._dropped_ns,
            lost_events=self._lost,
        )

    def kept(self) -> Kept:
        """See the port: the counts themselves stay in the kernel."""
        identity = self._program.identity
        return Kept(identity, self.tree.paths if identity else {})

    def close(self) -> None:
        """Detach everything that is not pinned."""
        self._ring.close()
        self._program.close()

    def _follow_cgroups(self) -> None:
        self._ring.consume()
        lost = self._count_lost()
        if lost != self._lost:
            log.warning(
                "%d cgroup events did not fit the ring buffer: walking the tree once", lost - self._lost
            )
            self._lost = lost
            self.tree.replace(walk(self._options.hierarchy.mount))

    def _count_lost(self) -> int:
        libbpf.lookup(self._program.maps["lost_events"], 0, self._lost_by_cpu)
        return int(self._lost_by_cpu.sum())

    def _states(self) -> npt.NDArray[np.void]:
        _, words = self._cpus.read()
        return words.view(CPU_STATE).reshape(len(words))

    def _busy_cpus(self) -> list[int]:
        """CPUs that are not idle as far as is known; an idle one need not be woken, it owes nothing."""
        states = self._states()
        busy = (states["pid"] != 0) | (states["pending_ns"] != 0)
        return [int(cpu) for cpu in np.flatnonzero(busy)]

    def _charge_cpus(self, cpus: list[int]) -> None:
        for cpu in cpus:
            try:
                self._charge.run(cpu)
            except OSError as error:
                if error.errno != errno.ENXIO:  # gone offline in between; nothing runs there
                    raise
                log.debug("CPU %d: %s", cpu, error)

    def _dropped(self) -> CounterArray:
        words = self._states()["dropped"].copy().view(np.uint64).reshape(self._program.n_cpu, _WORDS)
        self._dropped_ns = int(words[:, 0].sum())
        return words[:, :_FIELD_WORDS]

    def _mark_dead(self, keys: npt.NDArray[np.void]) -> None:
        """Mark what was already dead at the last reading: an exiting task may run once more after rmdir.

        Paths go one reading later, so that every id in a snapshot still has its path.
        """
        for cgroup_id in self._forgettable & self.tree.ended:
            self.tree.forget(cgroup_id)
        ids = keys["cgroup_id"].tolist()
        self._forgettable = set(self._dying["cgroup_id"].tolist()) | (self.tree.ended - set(ids))
        dead = np.fromiter((not self.tree.is_alive(i) for i in ids), bool, len(ids))
        if self._options.by_process:
            dead |= self._ended_processes(keys["tgid"])
        before = {key.tobytes() for key in self._dying}
        self._dying = keys[dead]
        self._doomed = before & {key.tobytes() for key in self._dying}

    def _delete_doomed(self) -> None:
        """Not before the next reading: if we are killed until then, this one may not have been kept."""
        for key in self._doomed:
            libbpf.delete(self._program.maps["counts"], key)
        self._doomed = set()

    def _ended_processes(self, tgid: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
        return ~np.isin(tgid, running_processes(self._options.procfs))


def open_program(name: str, program: LoadedProgram, options: ProgramOptions) -> BpfCounterSource:
    """A source over a program; the program is closed if the source cannot be made.

    Raises SourceUnavailable.
    """
    try:
        return BpfCounterSource(name, program, options)
    except OSError as error:
        program.close()
        raise SourceUnavailable(f"the programs run, but their maps cannot be read: {error}") from error
    except BaseException:
        program.close()
        raise
