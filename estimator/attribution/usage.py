"""From cumulative counters to what each cgroup used in one interval, by socket."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ebpf.counters import AWAKE_NS, CPU_NS, FIELDS, CounterArray, CounterSnapshot
from estimator.energy import FloatArray, Usage
from estimator.machine.topology import CpuTopology

log = logging.getLogger("estimator.usage")

_SLACK, _SLACK_SECONDS = 1.1, 1.0  # a CPU without a clock tick (nohz_full) accounts once a second

IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class CounterTotals:
    """A snapshot summed by socket: what the next one is differenced against.

    values: shape (n, n_groups, n_fields); dropped: (n_groups, n_fields). awake_ns: by physical socket; empty
    where it is not counted. cpu_ns: shape (n, n_cpu, 1), to estimate it from then; None where it cannot be.
    """

    cgroup_id: npt.NDArray[np.uint64]
    tgid: npt.NDArray[np.uint32]
    values: CounterArray
    dropped: CounterArray
    monotonic_ns: int
    awake_ns: Mapping[int, int] = field(default_factory=dict)
    cpu_ns: CounterArray | None = None


class UsageTracker:
    """Remembers the last snapshot, summed by socket, and differences the next one against it.

    topology: which socket each CPU sits on; one of which it does not know is taken to be on the first. Where
    the machine changes, `follow` says so. impossible_seconds: CPU time that was counted and that its tick
    could not hold, so that nobody was given it.
    Sums stay in uint64 until the difference is taken: cycles pass 2^53, where float64 loses units, in weeks.
    """

    def __init__(self, topology: CpuTopology) -> None:
        self._topology = topology
        self._next: CpuTopology | None = None
        self._previous: CounterTotals | None = None
        self._n_cpu = 0
        self._runs: tuple[CpuTopology | None, int, list[list[slice]]] = None, 0, []
        self.impossible_seconds = 0.0
        self._has_unplaced = self._is_resumed = False

    @property
    def topology(self) -> CpuTopology:
        """By which the last usage was summed."""
        return self._topology

    def follow(self, topology: CpuTopology) -> None:
        """The machine is another from now on: CPUs came, maybe on sockets that were not there before."""
        self._next = topology

    @property
    def last(self) -> CounterTotals | None:
        """The last snapshot; None before the first."""
        return self._previous

    def resume(self, last: CounterTotals) -> None:
        """Go on from the last snapshot of a process before this one, whose counters the kernel kept.

        Of which CPUs its sockets were is not known any more: where this machine's may be others, because CPUs
        are offline that were not, the first usage is told apart by no socket.
        Raises ValueError where its counters have another shape.
        """
        n_groups = last.values.shape[1]
        if not n_groups or last.dropped.shape != last.values.shape[1:]:
            raise ValueError(f"counters of the shapes {last.values.shape} and {last.dropped.shape}")
        self._previous, self._is_resumed = last, True

    def update(self, snapshot: CounterSnapshot, n_cpu_online: int) -> Usage | None:
        """What was used since the last snapshot; None for the first, which is the baseline.

        The rows are the snapshot's, whose keys (cgroup_id, tgid) are unique. A key that is new, or any of
        whose counters went down (it was removed and made again), counts from 0. A field that is not
        available is 0 throughout, and so is what ran for longer than the CPUs together could.
        """
        if not self._has_unplaced:
            self._move()
        totals = self._totals(snapshot)
        current, previous = totals, self._previous
        n_cpu, self._n_cpu = max(n_cpu_online, self._n_cpu), n_cpu_online
        if previous is not None and self._is_resumed:
            n_cpu = max(n_cpu, snapshot.values.shape[1])  # any of them may have run, and be offline now
            if self._counts_unplaced(snapshot) or not _may_follow(previous, totals):
                current, previous = _merged(totals), _merged(previous)
        self._is_resumed = False
        usage = None if previous is None else self._usage(snapshot, current, previous, n_cpu)
        if usage is not None:
            usage = replace(usage, n_cpu=n_cpu_online)
        self._previous = totals
        if self._next is not None:  # what its CPUs counted before lay on another socket: from the next one on
            self._topology, self._next = self._next, None
            self._previous = self._totals(snapshot)
        self._has_unplaced = self._counts_unplaced(snapshot)
        return usage

    def _usage(
        self, snapshot: CounterSnapshot, current: CounterTotals, previous: CounterTotals, n_cpu: int
    ) -> Usage:
        measured = np.array([name in snapshot.available for name in FIELDS])
        used = _growth(current.values, _baseline(previous, current), measured)
        seconds = (current.monotonic_ns - previous.monotonic_ns) / 1e9
        self._leave_out_impossible(used, snapshot, n_cpu, seconds)
        dropped = _growth(current.dropped[np.newaxis], previous.dropped[np.newaxis], measured)[0]
        return Usage(
            cgroup_id=snapshot.cgroup_id,
            tgid=snapshot.tgid,
            used=self._over_sockets(used),
            dropped=self._over_sockets(dropped),
            available=snapshot.available,
            interval_seconds=seconds,
            n_cpu=n_cpu,
            awake_seconds=self._awake_seconds(current, previous, seconds),
        )

    def _awake_seconds(
        self, current: CounterTotals, previous: CounterTotals, seconds: float
    ) -> FloatArray | None:
        """How long some CPU of each socket was busy, of the interval; None where that cannot be told."""
        if not (current.awake_ns and previous.awake_ns):
            return self._estimated_awake_seconds(current, previous, seconds)
        grown_ns = [
            current.awake_ns.get(physical, 0) - previous.awake_ns.get(physical, 0)
            for physical in self._topology.physical_ids
        ]
        return np.clip(np.array(grown_ns) / 1e9, 0.0, max(0.0, seconds))

    def _estimated_awake_seconds(
        self, current: CounterTotals, previous: CounterTotals, seconds: float
    ) -> FloatArray | None:
        """As if each CPU were busy at times that have nothing to do with the others'."""
        if current.cpu_ns is None or previous.cpu_ns is None or seconds <= 0:
            return None
        before = replace(previous, values=previous.cpu_ns)
        now = replace(current, values=current.cpu_ns)
        busy_ns = _growth(now.values, _baseline(before, now), np.ones(1, np.bool_)).sum(axis=(0, 2))
        idle_ratio = 1.0 - np.clip(busy_ns / 1e9 / seconds, 0.0, 1.0)
        sockets = self._socket_cpus(len(idle_ratio))
        return seconds * (1.0 - np.array([idle_ratio[cpus].prod() for cpus in sockets]))

    def _leave_out_impossible(
        self, used: FloatArray, snapshot: CounterSnapshot, n_cpu: int, seconds: float
    ) -> None:
        """Make 0 of what cannot be: the longest rows, until the rest fits into the time that the CPUs had; of
        no time at all nothing can be said."""
        used_seconds = used[:, :, CPU_NS].sum(axis=1) / 1e9
        most_seconds = n_cpu * (seconds * _SLACK + _SLACK_SECONDS)
        if seconds <= 0 or used_seconds.sum() <= most_seconds:
            return
        order = np.argsort(-used_seconds, kind="stable")
        left_seconds = used_seconds.sum() - np.cumsum(used_seconds[order])
        impossible = order[: 1 + int(np.argmax(left_seconds <= most_seconds))]
        too_much = float(used_seconds[impossible].sum())
        self.impossible_seconds += too_much
        log.warning(
            "%.1f CPU seconds in %.1f s on %d CPUs cannot be and are given to nobody: cgroups %s",
            too_much,
            seconds,
            n_cpu,
            snapshot.cgroup_id[impossible][:5].tolist(),
        )
        used[impossible] = 0.0

    def _move(self) -> None:
        """Take the next topology at once: no CPU that it places elsewhere has counted anything yet."""
        if self._next is None:
            return
        before, self._topology, self._next = self._topology, self._next, None
        last = self._previous
        if last is not None and last.values.shape[1] == before.n_sockets:
            at = [self._topology.physical_ids.index(physical) for physical in before.physical_ids]
            self._previous = replace(
                last,
                values=_spread(last.values, at, self._topology.n_sockets),
                dropped=_spread(last.dropped, at, self._topology.n_sockets),
            )

    def _counts_unplaced(self, snapshot: CounterSnapshot) -> bool:
        """Whether a CPU whose socket is not known has counted something."""
        n_cpu = snapshot.values.shape[1]
        unplaced = [cpu for cpu in range(n_cpu) if cpu not in self._topology.placed] if n_cpu > 1 else []
        return bool(snapshot.values[:, unplaced].any() or snapshot.dropped[unplaced].any())

    def _totals(self, snapshot: CounterSnapshot) -> CounterTotals:
        groups = self._socket_runs(snapshot.values.shape[1])
        return CounterTotals(
            snapshot.cgroup_id,
            snapshot.tgid,
            np.stack([_over_cpus(snapshot.values, runs) for runs in groups], axis=1),
            np.stack([_over_cpus(snapshot.dropped[np.newaxis], runs)[0] for runs in groups]),
            snapshot.monotonic_ns,
            snapshot.awake_ns if AWAKE_NS in snapshot.available else {},
            self._cpu_ns(snapshot),
        )

    def _cpu_ns(self, snapshot: CounterSnapshot) -> CounterArray | None:
        """Kept where it is of use: a recording's columns are sockets, whose CPUs nobody has placed."""
        is_told_apart = snapshot.values.shape[1] > 1 and bool(self._topology.placed)
        if AWAKE_NS in snapshot.available or not is_told_apart:
            return None
        return snapshot.values[:, :, CPU_NS : CPU_NS + 1].copy()

    def _socket_runs(self, n_cpu: int) -> list[list[slice]]:
        """The CPUs of each socket, run by run of neighbours."""
        topology, known, groups = self._runs
        if topology is not self._topology or known != n_cpu:
            groups = [_neighbours(cpus) for cpus in self._socket_cpus(n_cpu)]
            self._runs = self._topology, n_cpu, groups
        return groups

    def _socket_cpus(self, n_cpu: int) -> list[IndexArray]:
        """The CPUs of each socket; a single group where the source cannot tell CPUs apart."""
        if n_cpu == 1:
            return [np.zeros(1, dtype=np.intp)]
        socket = np.zeros(n_cpu, dtype=np.intp)
        known = self._topology.socket_of_cpu[:n_cpu]
        socket[: len(known)] = known
        return [np.flatnonzero(socket == index) for index in range(self._topology.n_sockets)]

    def _over_sockets(self, counters: FloatArray) -> FloatArray:
        """Spread evenly over the sockets what is not told apart by CPU; shape (…, n_sockets, n_fields)."""
        n_sockets = self._topology.n_sockets
        if counters.shape[-2] == n_sockets:
            return counters
        return np.repeat(counters / n_sockets, n_sockets, axis=-2)


def _may_follow(before: CounterTotals, now: CounterTotals) -> bool:
    """Whether both can be of the same sockets: of none was less counted than before."""
    if before.dropped.shape != now.dropped.shape or (now.dropped < before.dropped).any():
        return False
    return not (now.values < _baseline(before, now)).any()


def _merged(totals: CounterTotals) -> CounterTotals:
    """The same, told apart by no socket."""
    return replace(
        totals,
        values=totals.values.sum(axis=1, keepdims=True),
        dropped=totals.dropped.sum(axis=0, keepdims=True),
    )


def _spread(counters: CounterArray, at: Sequence[int], n_sockets: int) -> CounterArray:
    """The sockets of shape (…, n, n_fields) at their places among more, with zeros for those that are new."""
    wider = np.zeros((*counters.shape[:-2], n_sockets, counters.shape[-1]), counters.dtype)
    wider[..., at, :] = counters
    return wider


def _neighbours(cpus: IndexArray) -> list[slice]:
    """Ascending CPUs as runs without a gap."""
    runs = np.split(cpus, np.flatnonzero(np.diff(cpus) != 1) + 1)
    return [slice(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)]


def _over_cpus(values: CounterArray, runs: Sequence[slice]) -> CounterArray:
    """The sum over runs of CPUs, shape (n, n_fields); nothing is copied for it."""
    sums: list[CounterArray] = [np.einsum("ncf->nf", values[:, run]) for run in runs]
    if len(sums) == 1:
        return sums[0]
    total = np.zeros((len(values), values.shape[2]), values.dtype)
    for each in sums:
        total += each
    return total


def _baseline(previous: CounterTotals, current: CounterTotals) -> CounterArray:
    """The previous values in the current rows; 0 for a key that is new."""
    if _are_alike(previous, current):
        return previous.values
    before, now = _matching(previous, current)
    baseline = np.zeros_like(current.values)
    baseline[now] = previous.values[before]
    return baseline


def _are_alike(previous: CounterTotals, current: CounterTotals) -> bool:
    """Whether nobody came or went: the rows are the same, as they are at most ticks."""
    return (
        previous.values.shape == current.values.shape
        and np.array_equal(previous.cgroup_id, current.cgroup_id)
        and np.array_equal(previous.tgid, current.tgid)
    )


def _matching(previous: CounterTotals, current: CounterTotals) -> tuple[IndexArray, IndexArray]:
    """The rows of previous and current that share a key: sorted together, equal keys lie side by side,
    the previous one first because the sort is stable."""
    n_previous = len(previous.cgroup_id)
    cgroup_id = np.concatenate([previous.cgroup_id, current.cgroup_id])
    tgid = np.concatenate([previous.tgid, current.tgid])
    order = np.lexsort((tgid, cgroup_id))
    cgroup_id, tgid = cgroup_id[order], tgid[order]
    same = (cgroup_id[1:] == cgroup_id[:-1]) & (tgid[1:] == tgid[:-1])
    return order[:-1][same], order[1:][same] - n_previous


def _growth(current: CounterArray, previous: CounterArray, measured: npt.NDArray[np.bool_]) -> FloatArray:
    """current - previous, or current alone in rows where a measured field went down; 0 where not measured."""
    less = current < previous
    if less.any():  # hardly ever, and all that follows is for every row
        went_down = (less & measured).any(axis=(1, 2), keepdims=True)
        previous = np.where(went_down, np.uint64(0), previous)
    growth: FloatArray = (current - previous).astype(np.float64)
    growth[..., ~measured] = 0.0
    return growth
