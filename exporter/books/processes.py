"""Joules by process: off by default, since it makes series of everything that runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebpf.counters import CPU_NS
from ebpf.cpus import running_processes, shows_every_process
from ebpf.process_times import STARTED, read_stat
from estimator.energy import Usage, ZoneShare
from exporter.books.ledger import IdArray, Ledger
from exporter.books.row_lifetimes import Lifetimes
from exporter.books.row_table import KeptRows
from exporter.names.accounts import Account, Resolver
from exporter.names.workloads import ROOT, Workload, as_label

log = logging.getLogger("exporter.processes")

_UNSEEN = (
    "%s does not show the kernel's processes: they have no names here, and end after a minute of rest;"
    " name the host's /proc with --host.procfs, or run in the host's PID namespace (hostPID, --pid=host)"
)
_PID_BITS = 22  # PID_MAX_LIMIT is 2^22 (include/linux/threads.h)


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """What /proc says of a process; empty where it could not be read, as for one that has already ended.

    type: "container", "vm" or "regular", with the container's or VM's id beside it.
    """

    pid: int
    comm: str
    exe: str
    type: str = "regular"
    container_id: str = ""
    vm_id: str = ""

    @property
    def key(self) -> str:
        """The same for two processes whose series would have the same labels, and for no others."""
        return "\0".join((str(self.pid), self.comm, self.exe, self.type, self.container_id, self.vm_id))


def read_process(procfs: Path | None, pid: int, workload: Workload) -> ProcessInfo:
    """Look a process up once. What cannot be read (a sandbox, hidepid) costs its own detail alone.

    procfs: None where it shows other processes under the same PIDs.
    """
    comm = exe = ""
    if procfs is not None:
        with suppress(OSError):
            comm = as_label(os.fsdecode((procfs / str(pid) / "comm").read_bytes()).rstrip("\n"))
        with suppress(OSError):
            exe = as_label(str((procfs / str(pid) / "exe").readlink()))
    kind = workload.kind if workload.kind in ("container", "vm") else "regular"
    return ProcessInfo(
        pid,
        comm,
        exe,
        kind,
        workload.id if kind == "container" else "",
        workload.id if kind == "vm" else "",
    )


@dataclass(frozen=True, slots=True, eq=False)
class KeptProcesses:
    """The books by process as they outlive ours. ids: the ledger's, whose row is rows.accounts[row_of[i]]."""

    rows: KeptRows
    ids: IdArray
    row_of: npt.NDArray[np.int64]


class ProcessLedger:
    """The ledger's second set of books, by process instead of cgroup.

    A PID that is used again is another process: the ledger knows each by its PID and start time.
    counts_by_procfs: whether the PIDs that are counted are those of this procfs, whichever it shows.
    """

    def __init__(
        self, procfs: Path, resolve_cgroup: Resolver, lifetimes: Lifetimes, *, counts_by_procfs: bool = False
    ) -> None:
        self._procfs = procfs
        self._is_seen = counts_by_procfs or shows_every_process(procfs)
        if not self._is_seen:
            log.warning(_UNSEEN, procfs)
        self._resolve_cgroup = resolve_cgroup
        self._alive: frozenset[int] = frozenset()
        self._started: dict[int, int] = {}
        self._cgroup_of: dict[int, int] = {}
        self._accounts: dict[int, Account] = {}
        self._info: dict[str, ProcessInfo] = {}
        self.ledger = Ledger(self._account, self._is_alive, lifetimes)

    def add(self, usage: Usage, shares: Sequence[ZoneShare]) -> None:
        """Book one tick of a source that tells processes apart; of another's there is nothing to book."""
        ran = (usage.tgid != 0) & (usage.used.any(axis=(1, 2)) | _has_energy(usage, shares))
        self._alive = self._running(usage.tgid.tolist())
        self.ledger.add(
            replace(usage, cgroup_id=self._identify(usage, ran), tgid=usage.tgid[ran], used=usage.used[ran]),
            [replace(share, cgroup_joules=share.cgroup_joules[ran]) for share in shares],
        )
        self._forget()

    def seen(self) -> dict[int, ProcessInfo]:
        """By PID, what runs now as far as it can be seen; where it runs is not among it."""
        running = running_processes(self._procfs) if self._is_seen else []
        return {pid: read_process(self._procfs, pid, ROOT) for pid in running}

    def info(self, account: Account) -> ProcessInfo:
        """What was found out when the process's row was opened."""
        return self._info[account.workload.id]

    def kept(self) -> KeptProcesses:
        """All of it, for the process after this one."""
        rows = self.ledger.kept()
        row_of = {account.key: row for row, account in enumerate(rows.accounts)}
        known = {i: row_of[a.key] for i, a in self._accounts.items() if a.key in row_of}
        return KeptProcesses(rows, np.array(list(known), np.uint64), np.array(list(known.values()), np.int64))

    def restore(self, kept: KeptProcesses) -> None:
        """Go on from the books of a process before this one; what still runs keeps its row and labels."""
        self.ledger.restore(kept.rows)
        self._info = {a.workload.id: process_info(a.workload.id) for a in kept.rows.accounts}
        accounts = (kept.rows.accounts[row] for row in kept.row_of.tolist())
        self._accounts = dict(zip(kept.ids.tolist(), accounts, strict=True))
        self._alive = self._running(map(_pid, self._accounts))
        pids = {_pid(process_id) for process_id in self._accounts} & self._alive
        self._started = {pid: self._start_ticks(pid) for pid in pids}
        self.ledger.ensure((i for i in self._accounts if self._is_alive(i)), ("process",))

    def _running(self, counted: Iterable[int]) -> frozenset[int]:
        """The PIDs that run; where nobody can see, those that are counted: the source lets them go."""
        return frozenset(running_processes(self._procfs) if self._is_seen else counted)

    def _identify(self, usage: Usage, ran: npt.NDArray[np.bool_]) -> IdArray:
        """The ledger's ids of those that ran; one in several cgroups belongs to where it ran the longest."""
        pids = usage.tgid[ran].tolist()
        order = np.argsort(usage.used[ran, :, CPU_NS].sum(axis=1), kind="stable").tolist()
        cgroups = usage.cgroup_id[ran].tolist()
        self._started |= {pid: self._start_ticks(pid) for pid in set(pids)}
        ids = [self._started[pid] << _PID_BITS | pid for pid in pids]
        self._cgroup_of = {ids[i]: cgroups[i] for i in order}
        return np.array(ids, np.uint64)

    def _account(self, process_id: int) -> tuple[Account, ...]:
        # A process that has ended may be counted once more, when /proc has forgotten it.
        account = self._accounts.get(process_id)
        if account is None:
            workload = self._resolve_cgroup(self._cgroup_of[process_id])[0].workload
            info = read_process(self._procfs if self._is_seen else None, _pid(process_id), workload)
            self._info[info.key] = info
            account = Account(Workload("process", info.key, workload.cgroup), info.comm)
            self._accounts[process_id] = account
        return (account,)

    def _start_ticks(self, pid: int) -> int:
        """Ticks since boot, field 22 of /proc/PID/stat; of an ended process what was last read, or 0."""
        if not self._is_seen:
            return 0
        with suppress(OSError, IndexError, ValueError):
            return int(read_stat(self._procfs / str(pid))[STARTED])
        return self._started.get(pid, 0)

    def _is_alive(self, process_id: int) -> bool:
        pid = _pid(process_id)
        return pid in self._alive and self._started.get(pid) == process_id >> _PID_BITS

    def _forget(self) -> None:
        """Let go of what has ended, but for what this tick counted and for rows that are still there."""
        known = self._alive.union(map(_pid, self._cgroup_of))
        kept = {account.workload.id for account in self.ledger.balances("process").accounts}
        self._started = {pid: ticks for pid, ticks in self._started.items() if pid in known}
        self._accounts = {i: one for i, one in self._accounts.items() if one.workload.id in kept}
        self._info = {key: info for key, info in self._info.items() if key in kept}


def _has_energy(usage: Usage, shares: Sequence[ZoneShare]) -> npt.NDArray[np.bool_]:
    """Which rows some zone gives energy to: of a GPU also those that were on no CPU."""
    energy = np.zeros(len(usage.tgid), np.bool_)
    for share in shares:
        energy |= share.cgroup_joules > 0
    return energy


def process_info(key: str) -> ProcessInfo:
    """The other way of ProcessInfo.key. Raises ValueError for what is none."""
    pid, comm, exe, kind, container_id, vm_id = key.split("\0")
    return ProcessInfo(int(pid), comm, exe, kind, container_id, vm_id)


def _pid(process_id: int) -> int:
    return process_id & ((1 << _PID_BITS) - 1)
