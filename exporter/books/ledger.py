"""The books: what every workload has used since the start, which never goes down while it is exported."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from ebpf.counters import CACHE_MISSES, CPU_NS, CYCLES, INSTRUCTIONS
from estimator.energy import FloatArray, Usage, ZoneShare
from exporter.books.node_totals import NodeTotals
from exporter.books.row_lifetimes import IndexArray, Lifetimes, Register
from exporter.books.row_table import KeptRows, RowTable
from exporter.names.accounts import Account, Rename, Resolver, unchanged
from exporter.names.workloads import Kind
from exporter.tariffs.tariffs import FREE, Tariff

IdArray = npt.NDArray[np.uint64]

_USAGE_FIELDS = (CPU_NS, CYCLES, INSTRUCTIONS, CACHE_MISSES)
_N_USAGE = len(_USAGE_FIELDS)
# To the right of the usage: grams of CO2e and money; and to the right of these every zone's three columns.
_GRAMS, _COST, _FIRST_ZONE = _N_USAGE, _N_USAGE + 1, _N_USAGE + 2
_JOULES, _IDLE_JOULES, _WATTS, _ZONE_WIDTH = range(4)


@dataclass(frozen=True, slots=True)
class Balances:
    """A copy of some rows; `accounts` is the same object for as long as no such row came or went.

    joules, idle_joules, watts: shape (n, n_zones), read-only; the others (n,). watts are of the last tick:
    NaN in a zone that gave no reading in it, 0 for a workload that has ended. running: whether it has not.
    grams, cost: of the active energy; money in the currency of the tariffs. since_seconds: the Unix time at
    which the row was 0; it stays for as long as the row is there.
    """

    accounts: tuple[Account, ...]
    zones: tuple[str, ...]
    joules: FloatArray
    idle_joules: FloatArray
    watts: FloatArray
    cpu_seconds: FloatArray
    cycles: FloatArray
    instructions: FloatArray
    cache_misses: FloatArray
    grams: FloatArray
    cost: FloatArray
    running: npt.NDArray[np.bool_]
    since_seconds: FloatArray


@dataclass(frozen=True, slots=True)
class _Posting:
    """Which amount goes to which row: what cgroup_id[source[i]] used is charged to rows[i].

    is_one_each: no row takes in more than one cgroup.
    """

    cgroup_id: IdArray
    source: IndexArray
    rows: IndexArray
    is_one_each: bool


class Ledger:
    """Cumulative joules and usage by workload; belongs to one thread, what it hands out is a copy.

    A pod's row takes in its containers' energy itself, so it does not drop when one of them goes.
    is_alive: whether the cgroup of an id is there. An id must be seen to end before it is another cgroup's;
    the kernel never gives one twice (kernfs, 64 bits). How long rows live, and `revision`: see Register.
    """

    def __init__(
        self,
        resolve: Resolver,
        is_alive: Callable[[int], bool],
        lifetimes: Lifetimes | None = None,
        rename: Rename = unchanged,
        revision: Callable[[], int] | None = None,
    ) -> None:
        self.node = NodeTotals()
        self._table = RowTable(_FIRST_ZONE)
        limits = lifetimes or Lifetimes()
        self._register = Register(self._table, resolve, is_alive, limits, rename, revision)
        self._zones: dict[str, int] = {}
        self._postings: dict[str, _Posting] = {}
        self._nobody: Balances | None = None  # most nodes have no virtual machines, many no pods

    @property
    def evicted(self) -> int:
        """Rows that had to go before their time."""
        return self._register.evicted

    def set_lifetimes(self, lifetimes: Lifetimes) -> None:
        """How long ended workloads stay, from now on."""
        self._register.lifetimes = lifetimes

    def count_from(self, unix_seconds: float) -> None:
        """Rows that are opened from now on were 0 at this time: when what is booked next began."""
        self._register.since_seconds = unix_seconds

    def begin_by(self, unix_seconds: float) -> None:
        """No row was 0 only after this time."""
        self._register.begin_by(unix_seconds)

    def add(self, usage: Usage, shares: Sequence[ZoneShare], tariff: Tariff = FREE) -> None:
        """Book one tick: what each cgroup used, its share of every zone summed over the sockets, its charge.

        shares: of this usage, row by row. Cgroups that have ended are closed after that, since the source
        counts them once more. Raises ValueError, and books nothing, for a negative or not finite amount.
        """
        zones = list(dict.fromkeys(share.energy.zone for share in shares))
        joules = _zone_amounts(len(usage.used), zones, shares)
        charges = _charges(zones, joules, tariff)
        columns = [*range(_FIRST_ZONE), *(self._column(zone, _JOULES) for zone in zones)]
        amounts = np.hstack([_usage_amounts(usage), charges, joules])
        grown = self._charge("active", usage.cgroup_id, columns, amounts)
        self._set_watts(zones, grown[:, _FIRST_ZONE:], shares)
        self.node.add(shares, tariff)
        self._close_ended()

    def add_idle(self, cgroup_id: IdArray, joules: Mapping[str, FloatArray], kind: str = "idle") -> None:
        """Book idle energy that a policy shares out, before `add` and under its rules.

        joules: shape (n,) by zone. kind: of policies that share out by rows of their own each has another.
        """
        if joules:
            columns = [self._column(zone, _IDLE_JOULES) for zone in joules]
            self._charge(kind, cgroup_id, columns, np.stack(list(joules.values()), axis=1))

    def ensure(self, cgroup_ids: Iterable[int], kinds: Sequence[Kind] = ("container", "pod", "vm")) -> None:
        """Open rows of zeros for those of these kinds that are alive, whether they have run or not.

        To be called every tick with all cgroups that are alive, so that a container whose busy child ended
        is not taken for ended.
        """
        self._register.ensure(cgroup_ids, kinds)

    def balances(self, *kinds: Kind) -> Balances:
        """The rows of these kinds, in the order they were opened."""
        accounts, rows = self._register.select(kinds)
        if accounts:
            return self._balances(accounts, rows)
        if self._nobody is None or len(self._nobody.zones) != len(self._zones):
            self._nobody = self._balances(accounts, rows)
        return self._nobody

    def _balances(self, accounts: tuple[Account, ...], rows: IndexArray) -> Balances:
        block = self._table.values[rows]
        block.flags.writeable = False
        joules, idle, watts = (block[:, _every(column)] for column in (_JOULES, _IDLE_JOULES, _WATTS))
        cpu_seconds, cycles, instructions, cache_misses = block.T[:_N_USAGE]
        return Balances(
            accounts=accounts,
            zones=tuple(self._zones),
            joules=joules,
            idle_joules=idle,
            watts=watts,
            cpu_seconds=cpu_seconds,
            cycles=cycles,
            instructions=instructions,
            cache_misses=cache_misses,
            grams=block[:, _GRAMS],
            cost=block[:, _COST],
            running=self._register.running(rows),
            since_seconds=self._register.since(rows),
        )

    def kept(self) -> KeptRows:
        """All rows, for the process after this one; the watts of the last tick are not kept."""
        accounts, rows, ended_seconds = self._register.everything()
        values = self._table.values[rows]
        values[:, _every(_WATTS)] = 0.0
        since_seconds = self._register.since(rows)
        return KeptRows(accounts, tuple(self._zones), values, ended_seconds, since_seconds)

    def restore(self, kept: KeptRows) -> None:
        """Go on from the rows of a process before this one; before anything is booked.

        kept.values: of kept_width(len(kept.zones)) columns.
        """
        for zone in kept.zones:
            self._column(zone, _JOULES)
        rows = self._register.restore(kept.accounts, kept.ended_seconds, kept.since_seconds)
        self._table.values[rows] = kept.values

    def _column(self, zone: str, which: int) -> int:
        if zone not in self._zones:
            self._zones[zone] = len(self._zones)
            self._table.widen(_ZONE_WIDTH)
        return _FIRST_ZONE + _ZONE_WIDTH * self._zones[zone] + which

    def _charge(self, kind: str, cgroup_id: IdArray, columns: list[int], amounts: FloatArray) -> FloatArray:
        """Add amounts, shape (n, n_columns), to their rows; what every row of the table grew by."""
        if not ((amounts >= 0) & (amounts < math.inf)).all():
            raise ValueError(f"{kind} amounts of a tick must be finite and ≥ 0, found {amounts.min()}")
        posting = self._post(kind, cgroup_id)
        grown = _by_row(posting, amounts, self._table.capacity)
        for i, column in enumerate(columns):
            self._table.values[:, column] += grown[:, i]
        return grown

    def _post(self, kind: str, cgroup_id: IdArray) -> _Posting:
        posting = self._postings.get(kind)
        if posting is None or not np.array_equal(posting.cgroup_id, cgroup_id):
            charged = self._register.rows_of(cgroup_id.tolist())
            source = np.repeat(np.arange(len(charged)), list(map(len, charged)))
            flat = np.fromiter(chain.from_iterable(charged), np.intp, len(source))
            is_one_each = len(set(flat.tolist())) == len(flat)  # np.unique would import numpy.ma, a megabyte
            posting = self._postings[kind] = _Posting(cgroup_id.copy(), source, flat, is_one_each)
        return posting

    def _set_watts(self, zones: list[str], grown: FloatArray, shares: Sequence[ZoneShare]) -> None:
        self._table.values[:, _every(_WATTS)] = math.nan
        for zone, joules in zip(zones, grown.T, strict=True):
            seconds = max(share.energy.interval_seconds for share in shares if share.energy.zone == zone)
            if seconds > 0:
                self._table.values[:, self._column(zone, _WATTS)] = joules / seconds

    def _close_ended(self) -> None:
        closed, rebound = self._register.close_ended(), self._register.settle()
        if closed or rebound:
            self._postings.clear()
        self._register.drop_expired()
        if ended := self._register.ended:
            self._table.values[ended, _every(_WATTS)] = 0.0


def kept_width(n_zones: int) -> int:
    """How many columns the rows of so many zones have."""
    return _FIRST_ZONE + _ZONE_WIDTH * n_zones


def without_cost(kept: KeptRows) -> KeptRows:
    """The same rows with no money in them: it was of another currency."""
    values = kept.values.copy()
    values[:, _COST] = 0.0
    return replace(kept, values=values)


def _by_row(posting: _Posting, amounts: FloatArray, capacity: int) -> FloatArray:
    """What each row of the table is charged; shape (capacity, n_columns)."""
    charged, n_columns = amounts[posting.source], amounts.shape[1]
    grown = np.zeros((capacity, n_columns), order="F")
    if posting.is_one_each:
        grown[posting.rows] = charged
        return grown
    for i in range(n_columns):
        # Several cgroups may be one row: `values[rows] += charged` would keep the last of them alone.
        grown[:, i] = np.bincount(posting.rows, charged[:, i], capacity)
    return grown


def _every(column: int) -> slice:
    """One of the three columns in every zone."""
    return slice(_FIRST_ZONE + column, None, _ZONE_WIDTH)


def _usage_amounts(usage: Usage) -> FloatArray:
    """CPU seconds, cycles, instructions and cache misses over all sockets; shape (n, _N_USAGE)."""
    amounts: FloatArray = usage.used.sum(axis=1)[:, _USAGE_FIELDS]
    amounts[:, 0] /= 1e9
    return amounts


def _zone_amounts(n: int, zones: list[str], shares: Sequence[ZoneShare]) -> FloatArray:
    """Joules by zone over all sockets; shape (n, n_zones)."""
    amounts = np.zeros((n, len(zones)))
    for share in shares:
        amounts[:, zones.index(share.energy.zone)] += share.cgroup_joules
    return amounts


def _charges(zones: list[str], joules: FloatArray, tariff: Tariff) -> FloatArray:
    """Grams and money for the joules of the zones that count; shape (n, 2)."""
    counted = [i for i, zone in enumerate(zones) if zone in tariff.zones]
    with np.errstate(invalid="ignore"):  # infinite joules times 0 is no number, and is refused as they are
        return np.outer(joules[:, counted].sum(axis=1), tariff.rates)
