"""From cumulative counters to what each cgroup used in one interval, by socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ebpf.counters import FIELDS, CounterArray, CounterSnapshot
from estimator.energy import FloatArray, Usage

IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class CounterTotals:
    """A snapshot summed by socket: what the next one is differenced against.

    values: shape (n, n_groups, n_fields); dropped: (n_groups, n_fields).
    """

    cgroup_id: npt.NDArray[np.uint64]
    tgid: npt.NDArray[np.uint32]
    values: CounterArray
    dropped: CounterArray
    monotonic_ns: int


class UsageTracker:
    """Remembers the last snapshot, summed by socket, and differences the next one against it.

    cpu_socket: the dense socket index of each CPU; a CPU beyond its end is taken to be on socket 0.
    Sums stay in uint64 until the difference is taken: cycles pass 2^53, where float64 loses units, in weeks.
    """

    def __init__(self, cpu_socket: Sequence[int]) -> None:
        self._cpu_socket = np.asarray(cpu_socket, dtype=np.intp)
        self._n_sockets = int(self._cpu_socket.max(initial=0)) + 1
        self._previous: CounterTotals | None = None

    @property
    def last(self) -> CounterTotals | None:
        """The last snapshot; None before the first."""
        return self._previous

    def resume(self, last: CounterTotals) -> None:
        """Go on from the last snapshot of a process before this one, whose counters the kernel kept.

        Raises ValueError where it has other sockets than this machine.
        """
        n_groups = last.values.shape[1]
        if n_groups not in (1, self._n_sockets) or last.dropped.shape != last.values.shape[1:]:
            raise ValueError(f"counters of {n_groups} sockets, this machine has {self._n_sockets}")
        self._previous = last

    def update(self, snapshot: CounterSnapshot, n_cpu_online: int) -> Usage | None:
        """What was used since the last snapshot; None for the first, which is the baseline.

        The rows are the snapshot's, whose keys (cgroup_id, tgid) are unique. A key that is new, or any of
        whose counters went down (it was removed and made again), counts from 0. A field that is not
        available is 0 throughout.
        """
        current, previous = self._totals(snapshot), self._previous
        self._previous = current
        if previous is None:
            return None
        measured = np.array([name in snapshot.available for name in FIELDS])
        used = _growth(current.values, _baseline(previous, current), measured)
        dropped = _growth(current.dropped[np.newaxis], previous.dropped[np.newaxis], measured)[0]
        return Usage(
            cgroup_id=snapshot.cgroup_id,
            tgid=snapshot.tgid,
            used=self._over_sockets(used),
            dropped=self._over_sockets(dropped),
            available=snapshot.available,
            interval_seconds=(current.monotonic_ns - previous.monotonic_ns) / 1e9,
            n_cpu=n_cpu_online,
        )

    def _totals(self, snapshot: CounterSnapshot) -> CounterTotals:
        groups = self._socket_cpus(snapshot.values.shape[1])
        return CounterTotals(
            snapshot.cgroup_id,
            snapshot.tgid,
            np.stack([_over_cpus(snapshot.values, cpus) for cpus in groups], axis=1),
            np.stack([snapshot.dropped[cpus].sum(axis=0) for cpus in groups]),
            snapshot.monotonic_ns,
        )

    def _socket_cpus(self, n_cpu: int) -> list[IndexArray]:
        """The CPUs of each socket; a single group where the source cannot tell CPUs apart."""
        if n_cpu == 1:
            return [np.zeros(1, dtype=np.intp)]
        socket = np.zeros(n_cpu, dtype=np.intp)
        known = self._cpu_socket[:n_cpu]
        socket[: len(known)] = known
        return [np.flatnonzero(socket == index) for index in range(self._n_sockets)]

    def _over_sockets(self, counters: FloatArray) -> FloatArray:
        """Spread evenly over the sockets what is not told apart by CPU; shape (…, n_sockets, n_fields)."""
        if counters.shape[-2] == self._n_sockets:
            return counters
        return np.repeat(counters / self._n_sockets, self._n_sockets, axis=-2)


def _over_cpus(values: CounterArray, cpus: IndexArray) -> CounterArray:
    """The sum over some CPUs, shape (n, n_fields); run by run of neighbours, so that nothing is copied."""
    runs = np.split(cpus, np.flatnonzero(np.diff(cpus) != 1) + 1)
    total = np.zeros((len(values), values.shape[2]), values.dtype)
    for run in runs:
        if len(run):
            total += np.einsum("ncf->nf", values[:, run[0] : run[-1] + 1])
    return total


def _baseline(previous: CounterTotals, current: CounterTotals) -> CounterArray:
    """The previous values in the current rows; 0 for a key that is new."""
    before, now = _matching(previous, current)
    baseline = np.zeros_like(current.values)
    baseline[now] = previous.values[before]
    return baseline


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
    went_down = ((current < previous) & measured).any(axis=(1, 2), keepdims=True)
    growth = current - np.where(went_down, np.uint64(0), previous)
    return np.where(measured, growth, np.uint64(0)).astype(np.float64)
