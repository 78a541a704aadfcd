"""Which cgroup is charged to which rows, and how long a row lives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count, filterfalse

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray
from exporter.books.row_table import RowTable
from exporter.names.accounts import Account, Rename, Resolver, unchanged
from exporter.names.workloads import Kind

IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long the row of an ended workload stays, in seconds of `clock`, and how many such rows may be.

    naming_seconds: how long a row waits for its names before it is shown with what is known, from when
    somebody can answer; silence_seconds: from when it was opened, whether anybody can or not. max_waiting:
    rows of ended workloads that may wait.
    """

    terminated_ttl_seconds: float = 300.0
    max_terminated: int = 5_000
    clock: Callable[[], float] = time.monotonic
    naming_seconds: float = 30.0
    silence_seconds: float = 600.0
    max_waiting: int = 1_000


class Register:
    """Opens a row when the first cgroup of an account is seen, drops it some time after the last has ended.

    An account that comes back before that goes on in its row. More than max_terminated ended rows go before
    their time, the oldest first, and are counted in `evicted`: no churn makes the register grow.
    The row of an account that is not settled is booked and not selected until it is; its time after the end
    of its workload begins then.
    since_seconds: Unix time at which rows that are opened from now on were 0. revision: another number
    whenever what is alive may be others; without it that is asked each time.
    """

    def __init__(
        self,
        table: RowTable,
        resolve: Resolver,
        is_alive: Callable[[int], bool],
        lifetimes: Lifetimes,
        rename: Rename = unchanged,
        revision: Callable[[], int] | None = None,
    ) -> None:
        self.evicted = 0
        self.lifetimes = lifetimes
        self.since_seconds = 0.0
        self._table, self._resolve, self._is_alive, self._rename = table, resolve, is_alive, rename
        self._revision = revision or count().__next__
        self._changes = 0
        self._ensured: tuple[int, int, Sequence[Kind]] | None = None
        self._closed: tuple[int, int] | None = None
        self._bound: dict[int, tuple[int, ...]] = {}
        self._row_of: dict[tuple[Kind, str], int] = {}
        self._account_of: dict[int, Account] = {}
        self._live: dict[int, int] = {}
        self._since: FloatArray = np.zeros(table.capacity)
        self._ended: dict[int, float] = {}
        self._opened_unsettled: dict[int, float] = {}
        self._last_silent: dict[int, float] = {}
        self._selections: dict[tuple[Kind, ...], tuple[tuple[Account, ...], IndexArray]] = {}
        self._all: tuple[tuple[Account, ...], IndexArray] | None = None

    def rows_of(self, cgroup_ids: Sequence[int]) -> list[tuple[int, ...]]:
        """The rows that each cgroup is charged to; opened if need be."""
        for cgroup_id in dict.fromkeys(filterfalse(self._bound.__contains__, cgroup_ids)):
            self._bind(cgroup_id, self._resolve(cgroup_id))
        return list(map(self._bound.__getitem__, cgroup_ids))

    def ensure(self, cgroup_ids: Iterable[int], kinds: Sequence[Kind]) -> None:
        """Bind those of the cgroups that are of these kinds, and those that have a row already."""
        revision = self._revision()
        if self._ensured == (revision, self._changes, kinds):
            return
        for cgroup_id in list(filterfalse(self._bound.__contains__, cgroup_ids)):
            accounts = self._resolve(cgroup_id)
            if accounts[0].workload.kind in kinds or accounts[0].key in self._row_of:
                self._bind(cgroup_id, accounts)
        self._ensured = revision, self._changes, kinds

    def everything(self) -> tuple[tuple[Account, ...], IndexArray, FloatArray]:
        """All rows, shown or not: accounts, rows, and the seconds since the end, -1 for what has not ended.

        The accounts are the same object until one comes, goes or gets its names.
        """
        if self._all is None:
            accounts = tuple(self._account_of.values())
            self._all = accounts, np.fromiter(self._account_of, np.intp, len(accounts))
        accounts, rows = self._all
        now = self.lifetimes.clock()
        since = (now - self._ended[row] if row in self._ended else -1.0 for row in rows.tolist())
        return accounts, rows, np.fromiter(since, np.float64, len(rows))

    def since(self, rows: IndexArray) -> FloatArray:
        """Unix times at which these rows were 0: it never changes while a row is selected."""
        return self._since[rows]

    def begin_by(self, unix_seconds: float) -> None:
        """No row was 0 only after this: the clock that said so was ahead."""
        np.minimum(self._since, unix_seconds, out=self._since)

    def restore(
        self, accounts: Sequence[Account], ended_seconds: FloatArray, since_seconds: FloatArray
    ) -> IndexArray:
        """Open the rows of a process before this one, and say which; before any other.

        One whose workload has not ended counts as ended just now, until a cgroup of it is seen.
        """
        rows = np.fromiter(map(self._open, accounts), np.intp, len(accounts))
        self._since[rows] = since_seconds
        seconds, now = np.maximum(ended_seconds, 0.0), self.lifetimes.clock()
        for i in np.argsort(-seconds, kind="stable").tolist():
            if int(rows[i]) not in self._opened_unsettled:
                self._ended[int(rows[i])] = now - float(seconds[i])
        return rows

    def select(self, kinds: tuple[Kind, ...]) -> tuple[tuple[Account, ...], IndexArray]:
        """The accounts of these kinds and their rows, as opened; the same objects until one comes or goes."""
        if kinds not in self._selections:
            shown = ((row, a) for row, a in self._account_of.items() if row not in self._opened_unsettled)
            chosen = {row: account for row, account in shown if account.workload.kind in kinds}
            self._selections[kinds] = tuple(chosen.values()), np.fromiter(chosen, np.intp, len(chosen))
        return self._selections[kinds]

    @property
    def ended(self) -> Sequence[int]:
        """The rows whose workload has ended, the one that ended first in front."""
        return list(self._ended)

    def running(self, rows: IndexArray) -> npt.NDArray[np.bool_]:
        """Whether the workload of each of these rows has a cgroup that is alive."""
        if not self._ended:
            return np.ones(len(rows), np.bool_)
        alive = np.ones(self._table.capacity, np.bool_)
        alive[self.ended] = False
        return alive[rows]

    def settle(self) -> bool:
        """Show the rows whose names are known by now, or that have waited for them long enough.

        More than max_waiting that wait though they have ended go on without, the oldest first.

        Whether cgroups are charged to more rows than before.
        """
        now, rebound = self.lifetimes.clock(), False
        too_many = sum(not self._live[row] for row in self._opened_unsettled) - self.lifetimes.max_waiting
        for row, opened in list(self._opened_unsettled.items()):
            found = self._rename(self._account_of[row])
            if not found:
                self._last_silent[row] = now
            account, *pods = found or (self._account_of[row],)
            waited = now - self._last_silent.get(row, opened) >= self.lifetimes.naming_seconds
            is_too_old = too_many > 0 and not self._live[row]
            too_many -= is_too_old
            waited |= is_too_old or now - opened >= self.lifetimes.silence_seconds
            if account.is_settled or waited:
                self._show(row, account, now)
                self._charge_also(row, pods, now)
                rebound |= bool(pods)
        return rebound

    def close_ended(self) -> bool:
        """Let go of the cgroups that are no longer alive; whether there were any."""
        looked_at, self._closed = self._closed, (self._revision(), self._changes)
        if looked_at == self._closed:
            return False
        closed = list(filterfalse(self._is_alive, self._bound))
        now = self.lifetimes.clock()
        for cgroup_id in closed:
            for row in self._bound.pop(cgroup_id):
                self._live[row] -= 1
                if not self._live[row] and row not in self._opened_unsettled:
                    self._ended[row] = now
        return bool(closed)

    def drop_expired(self) -> None:
        """Rows end in the order of `_ended`, so the first that may stay is the last that is looked at."""
        expired, before = self.lifetimes.clock() - self.lifetimes.terminated_ttl_seconds, len(self._ended)
        while self._ended:
            row, ended = next(iter(self._ended.items()))
            if ended > expired:
                if len(self._ended) <= self.lifetimes.max_terminated:
                    break
                self.evicted += 1
            self._drop(row)
        if len(self._ended) < before and self._table.shrink():
            self._shrink()

    def _bind(self, cgroup_id: int, accounts: tuple[Account, ...]) -> tuple[int, ...]:
        self._changes += 1
        row = self._row_of.get(accounts[0].key)
        if row is not None and not self._account_of[row].workload.pod_uid:
            accounts = accounts[:1]  # opened, or restored, before its pod was known: `settle` charges the pod
        rows = self._bound[cgroup_id] = tuple(map(self._open, accounts))
        for row in rows:
            self._live[row] += 1
            self._ended.pop(row, None)
        return rows

    def _open(self, account: Account) -> int:
        row = self._row_of.get(account.key)
        if row is None:
            self._changes += 1
            row = self._row_of[account.key] = self._table.take()
            self._account_of[row] = account
            self._live[row] = 0
            self._begin(row)
            if not account.is_settled:
                self._opened_unsettled[row] = self.lifetimes.clock()
            self._unselect(account)
        return row

    def _begin(self, row: int) -> None:
        if len(self._since) < self._table.capacity:
            self._since = np.concatenate([self._since, np.zeros(self._table.capacity - len(self._since))])
        self._since[row] = self.since_seconds

    def _show(self, row: int, account: Account, now: float) -> None:
        del self._opened_unsettled[row]
        self._last_silent.pop(row, None)
        self._account_of[row] = account
        self._unselect(account)
        if not self._live[row]:
            self._ended[row] = now

    def _charge_also(self, row: int, accounts: Iterable[Account], now: float) -> None:
        """What a row's cgroups used is these accounts' as well, from the start: its pod became known."""
        for account in accounts:
            is_shown = account.key in self._row_of and self._row_of[account.key] not in self._opened_unsettled
            pod = self._open(account)
            self._table.values[pod] += self._table.values[row]
            if not is_shown:  # another start of a series that is exported would read as a reset
                self._since[pod] = min(self._since[pod], self._since[row])
            mine = [cgroup_id for cgroup_id, rows in self._bound.items() if row in rows]
            for cgroup_id in mine:
                self._bound[cgroup_id] += (pod,)
            self._live[pod] += len(mine)
            if mine:
                self._ended.pop(pod, None)
            elif not self._live[pod] and pod not in self._opened_unsettled:
                self._ended.setdefault(pod, now)

    def _drop(self, row: int) -> None:
        account = self._account_of.pop(row)
        del self._ended[row], self._live[row], self._row_of[account.key]
        self._table.release(row)
        self._unselect(account)

    def _shrink(self) -> None:
        """Make the dictionaries anew, which stay as large as their fullest moment."""
        self._bound, self._row_of, self._account_of = (
            dict(self._bound),
            dict(self._row_of),
            dict(self._account_of),
        )
        self._live, self._ended = dict(self._live), dict(self._ended)
        self._opened_unsettled, self._last_silent = dict(self._opened_unsettled), dict(self._last_silent)
        self._since = self._since[: self._table.capacity].copy()

    def _unselect(self, account: Account) -> None:
        self._all = None
        for kinds in [kinds for kinds in self._selections if account.workload.kind in kinds]:
            del self._selections[kinds]
