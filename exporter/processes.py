"""Joules by process: off by default, since it makes series of everything that runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ebpf.cpus import running_processes
from estimator.energy import Usage, ZoneShare
from exporter.accounts import Account, Resolver
from exporter.ledger import Ledger
from exporter.register import Lifetimes
from exporter.workloads import Workload


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


def read_process(procfs: Path, pid: int, workload: Workload) -> ProcessInfo:
    """Look a process up once. What cannot be read (a sandbox, hidepid) costs its own detail alone."""
    comm = exe = ""
    with suppress(OSError):
        comm = (procfs / str(pid) / "comm").read_text(errors="replace").rstrip("\n")
    with suppress(OSError):
        exe = str((procfs / str(pid) / "exe").readlink())
    kind = workload.kind if workload.kind in ("container", "vm") else "regular"
    return ProcessInfo(
        pid,
        comm,
        exe,
        kind,
        workload.id if kind == "container" else "",
        workload.id if kind == "vm" else "",
    )


class ProcessLedger:
    """The ledger's second set of books, by thread group instead of cgroup."""

    def __init__(self, procfs: Path, resolve_cgroup: Resolver, lifetimes: Lifetimes) -> None:
        self._procfs = procfs
        self._resolve_cgroup = resolve_cgroup
        self._cgroup_of: dict[int, int] = {}
        self._alive: frozenset[int] = frozenset()
        self._info: dict[str, ProcessInfo] = {}
        self.ledger = Ledger(self._account, self._alive_pid, lifetimes)

    def add(self, usage: Usage, shares: Sequence[ZoneShare]) -> None:
        """Book one tick of a source that tells processes apart; another's is left alone."""
        if not usage.tgid.any():
            return
        self._cgroup_of = dict(zip(usage.tgid.tolist(), usage.cgroup_id.tolist(), strict=True))
        self._alive = frozenset(running_processes(self._procfs))
        self.ledger.add(replace(usage, cgroup_id=usage.tgid.astype(np.uint64)), shares)
        kept = {account.workload.id for account in self.ledger.balances("process").accounts}
        self._info = {key: info for key, info in self._info.items() if key in kept}

    def info(self, account: Account) -> ProcessInfo:
        """What was found out when the process's row was opened."""
        return self._info[account.workload.id]

    def _account(self, tgid: int) -> tuple[Account, ...]:
        workload = self._resolve_cgroup(self._cgroup_of[tgid])[0].workload
        info = read_process(self._procfs, tgid, workload)
        key = f"{tgid}/{self._started(tgid)}"
        self._info[key] = info
        return (Account(Workload("process", key, workload.cgroup), info.comm),)

    def _started(self, pid: int) -> str:
        """The start time in clock ticks: a PID that is used again is another process."""
        with suppress(OSError, IndexError):
            stat = (self._procfs / str(pid) / "stat").read_text(errors="replace")
            return stat.rpartition(")")[2].split()[19]
        return "ended"

    def _alive_pid(self, pid: int) -> bool:
        return pid in self._alive
