"""The counter source over loaded kernel programs, whichever loader they came from."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Collection, Iterable

import numpy as np
import numpy.typing as npt

from ebpf import bpf_maps, libbpf
from ebpf.cgroup_lives import Activity, CgroupLives
from ebpf.cgroups import CgroupTree, walk
from ebpf.counters import AWAKE_NS, CPU_NS, FIELDS, CounterArray, CounterSnapshot, Kept, KernelStatistics
from ebpf.cpus import OnlineCpus, running_processes, shows_every_process
from ebpf.errors import SourceUnavailable
from ebpf.irq_time import interrupts_of, with_interrupts
from ebpf.program import BUSY, COUNTERS, CPU_STATE, KEY, LoadedProgram, ProgramOptions

log = logging.getLogger("ebpf")

_NO_RING = (
    "this kernel has no ring buffers: the cgroup tree is walked at each reading instead, and a cgroup that"
    " ends before it is seen has no name"
)
_WORDS = COUNTERS.itemsize // 8
_FIELD_WORDS = len(FIELDS)  # struct counters begins with FIELDS in their order; blind_ns follows


class BpfCounterSource:
    """Reads what the kernel programs counted; see the CounterSource port."""

    def __init__(self, name: str, program: LoadedProgram, options: ProgramOptions) -> None:
        self.name = name
        self._program = program
        self._options = options
        self._charge = libbpf.CpuRunner(program.charge_running)
        self._counts = bpf_maps.map_reader(
            program.maps["counts"], KEY, (program.n_cpu, _WORDS), options.map_entries
        )
        self._cpus = bpf_maps.map_reader(
            program.maps["cpus"], np.dtype([("cpu", "<u4")]), (CPU_STATE.itemsize // 8,), program.n_cpu
        )
        self._interrupts = interrupts_of(program)
        self._lost_by_cpu = np.zeros(program.n_cpu, np.uint64)
        self._entries = 0
        self._dropped_ns = 0
        kept = options.kept
        goes_on = bool(program.identity) and kept.identity == program.identity
        # What was known, then what the kernel told while nobody listened, then what is there.
        self.tree = CgroupTree(dict(kept.paths) if goes_on else {})
        self.directory = self.tree
        self._lives = CgroupLives(self.tree)
        self._activity = Activity()
        self._sees_processes = shows_every_process(options.procfs)
        self._ring = self._open_ring()
        self._lost = self._count_lost()
        self.tree.replace(*walk(options.hierarchy.mount))
        self._online = OnlineCpus(options.sysfs)
        self._seen = self._states()
        self._watch_events(self._seen, self._charge_cpus(self._online.cpus))
        self._rest_offline()

    def read(self) -> CounterSnapshot:
        """Count everything up to now; see the CounterSource port."""
        last = self._take_doomed()
        self._follow_cpus()
        states = self._states()
        charged = self._charge_cpus(_busy(states))
        now_ns, awake_ns = time.monotonic_ns(), self._program.places.awake_ns()
        keys, values = _with_last(self._counts.read(), last)
        dropped = self._watch_events(states, charged)
        self._follow_cgroups()  # after the counts: a cgroup is told of before anything runs in it
        self._entries = len(keys) - len(last[0])
        self._lives.follow(keys, self._processes(keys, values) if self._options.by_process else None)
        if self._interrupts:
            keys, values = with_interrupts((keys, values), self._interrupts.read())
        return CounterSnapshot(
            cgroup_id=keys["cgroup_id"].copy(),
            tgid=keys["tgid"].copy(),
            values=values[:, :, :_FIELD_WORDS],
            dropped=dropped,
            available=self._available(),
            monotonic_ns=now_ns,
            awake_ns=awake_ns,
        )

    def _available(self) -> frozenset[str]:
        """Shared time once some core had two threads online: where they go offline, 0 of it is the truth."""
        counted, places = self._program.available, self._program.places
        if not places.are_told:
            return counted
        shared = {"shared_ns", *(["shared_cycles"] if "cycles" in counted else [])}
        return counted | {AWAKE_NS} | (shared if places.had_siblings else set())

    def _take_doomed(self) -> bpf_maps.Entries:
        """The last counts of what has ended, taken out of the map."""
        doomed = list(self._lives.take_doomed())
        if not doomed:
            return np.zeros(0, KEY), np.zeros((0, self._program.n_cpu, _WORDS), np.uint64)
        values = np.zeros((len(doomed), self._program.n_cpu, _WORDS), np.uint64)
        counts = self._program.maps["counts"]
        taken = [bpf_maps.take(counts, key, into) for key, into in zip(doomed, values, strict=True)]
        keys = np.frombuffer(b"".join(doomed), KEY)
        return keys[np.array(taken, np.bool_)], values[np.array(taken, np.bool_)]

    def _processes(self, keys: npt.NDArray[np.void], values: npt.NDArray[np.uint64]) -> Collection[int]:
        if self._sees_processes:
            return running_processes(self._options.procfs)
        return self._activity.recent(keys, values[:, :, CPU_NS].sum(axis=1))

    def statistics(self) -> KernelStatistics:
        """What our programs cost; see the port."""
        programs = dict(self._program.programs)
        if self._interrupts:
            programs["read_interrupts"] = self._program.read_interrupts
        runs = {name: libbpf.run_statistics(fd) for name, fd in programs.items()}
        counted = {name: run for name, run in runs.items() if run[0]}
        return KernelStatistics(
            run_count={name: run[0] for name, run in counted.items()},
            run_ns={name: run[1] for name, run in counted.items()},
            map_entries=self._entries,
            dropped_ns=self._dropped_ns,
            lost_events=self._lost,
            nameless=self._lives.n_nameless,
            blind_cpus=len(self._program.events.blind),
        )

    def kept(self) -> Kept:
        """See the port: the counts themselves stay in the kernel."""
        identity = self._program.identity
        return Kept(identity, self.tree.paths if identity else {})

    def close(self) -> None:
        """Detach everything that is not pinned."""
        if self._ring:
            self._ring.close()
        self._online.close()
        self._program.close()

    def _open_ring(self) -> bpf_maps.RingReader | None:
        """What the kernel told while nobody listened is taken in; None where it cannot tell."""
        if "cgroup_events" not in self._program.maps:
            log.warning(_NO_RING)
            return None
        ring = bpf_maps.RingReader(self._program.maps["cgroup_events"], self.tree.apply)
        ring.consume()
        return ring

    def _follow_cgroups(self) -> None:
        if self._ring is None:
            self.tree.replace(*walk(self._options.hierarchy.mount))
            return
        self._ring.consume()
        lost = self._count_lost()
        if lost != self._lost:
            log.warning(
                "%d cgroup events did not fit the ring buffer: walking the tree once", lost - self._lost
            )
            self._lost = lost
        elif not self.tree.is_cut:
            return
        self.tree.replace(*walk(self._options.hierarchy.mount))

    def _count_lost(self) -> int:
        bpf_maps.lookup(self._program.maps["lost_events"], 0, self._lost_by_cpu)
        return int(self._lost_by_cpu.sum())

    def _states(self) -> npt.NDArray[np.void]:
        _, words = self._cpus.read()
        return words.view(CPU_STATE).reshape(len(words))

    def _charge_cpus(self, cpus: Iterable[int]) -> list[int]:
        """Charge whoever runs there; the CPUs on which that was done."""
        charged = []
        for cpu in cpus:
            try:
                self._charge.run(cpu)
            except OSError as error:
                if error.errno != errno.ENXIO:  # gone offline in between; nothing runs there
                    raise
                log.debug("CPU %d: %s", cpu, error)
            else:
                charged.append(cpu)
        return charged

    def _follow_cpus(self) -> None:
        came, went = self._online.changes()
        for cpu in went:
            self._program.events.remove(cpu)
        self._renew_events(came)
        if came or went:
            self._charge_cpus(self._program.places.follow())
            self._rest_offline()

    def _rest_offline(self) -> None:
        """The last switch of a CPU that goes, to its idle task, is not traced: it would seem busy for ever.

        Source: the condition of every tracepoint in include/linux/tracepoint.h, that the CPU is online.
        """
        for cpu in np.flatnonzero(self._states()["activity"] & BUSY):
            if int(cpu) not in self._online.cpus:
                libbpf.run_with(self._program.put_to_rest, int(cpu))

    def _watch_events(self, uncharged: npt.NDArray[np.void], charged: list[int]) -> CounterArray:
        """Open those anew that stand still or get no time; what the map could not hold up to now.

        On a CPU that was not charged now they are compared with the last time: that it went and came back
        meanwhile may show no sooner than at the next reading.
        """
        before, self._seen = self._seen, self._states()
        if self._program.events.fields:
            before[charged] = uncharged[charged]
            settled = _settled(before, self._seen, charged)
            still = self._program.events.standing_still(before, self._seen, settled)
            self._renew_events({*still, *self._program.events.starved(self._seen)})
        return self._dropped(self._seen)

    def _renew_events(self, cpus: Collection[int]) -> None:
        """Charged at once: accounting.h knows new events by their being younger than the old ones were.

        And before: once that is done, a program that still took the old ones for a group has come to its end.
        """
        events = self._program.events
        for cpu in cpus:
            events.read_apart(cpu)
        self._charge_cpus(cpus)
        self._charge_cpus([cpu for cpu in cpus if events.renew(cpu)])

    def _dropped(self, states: npt.NDArray[np.void]) -> CounterArray:
        words = states["dropped"].copy().view(np.uint64).reshape(self._program.n_cpu, _WORDS)
        self._dropped_ns = int(words[:, 0].sum())
        return words[:, :_FIELD_WORDS]


def _with_last(found: bpf_maps.Entries, last: bpf_maps.Entries) -> bpf_maps.Entries:
    """Both; of a key that came again since, the last: what is new grows from 0 at the next reading."""
    if not len(last[0]):
        return found
    gone = {bytes(key) for key in last[0]}
    stays = np.array([bytes(key) not in gone for key in found[0]], np.bool_)
    return np.concatenate([found[0][stays], last[0]]), np.concatenate([found[1][stays], last[1]])


def _busy(states: npt.NDArray[np.void]) -> list[int]:
    """CPUs that are not idle as far as is known; an idle one need not be woken, it owes nothing."""
    return [int(cpu) for cpu in np.flatnonzero((states["pid"] != 0) | (states["pending_ns"] != 0))]


def _settled(
    before: npt.NDArray[np.void], after: npt.NDArray[np.void], charged: list[int]
) -> npt.NDArray[np.intp]:
    """CPUs whose events the program has looked at in between: the charged, those that left or found idle."""
    is_settled = before["left_runtime_ns"] != after["left_runtime_ns"]
    is_settled[charged] = True
    return np.flatnonzero(is_settled)


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
