"""The accounts of an hour's nodes, one after the other, as rows."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from estimator.energy import FloatArray
from exporter.reports.accounting import NOBODY, Account, Key, Part
from exporter.reports.charges import Columns
from exporter.reports.rows import KEY, Kind, Row
from exporter.tariffs.tariffs import JOULES_PER_KWH


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes whose whole name the pattern matches."""

    name: str
    pattern: re.Pattern[str]


class _At(NamedTuple):
    group: str
    key: Key


@dataclass(slots=True)
class _Sum:
    """A row that is being added up. lacks: what one of its nodes does not tell."""

    charges: FloatArray = field(default_factory=lambda: np.zeros(len(Columns)))
    cpu_seconds: float | None = None
    requested_cpu_seconds: float | None = None
    pods: int = 0
    covered_seconds: float = np.inf
    lacks: frozenset[str] = frozenset()
    currencies: frozenset[str] = frozenset()

    def add(self, part: Part, account: Account) -> None:
        """One node's part of the row."""
        self.charges = self.charges + part.charges
        self.cpu_seconds = _plus(self.cpu_seconds, part.cpu_seconds)
        self.requested_cpu_seconds = _plus(self.requested_cpu_seconds, part.requested_cpu_seconds)
        self.pods += len(part.pods)
        self.covered_seconds = min(self.covered_seconds, account.covered_seconds)
        self.lacks |= account.lacks
        self.currencies |= {account.currency}

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is lost without it."""
        return not (self.charges.any() or self.cpu_seconds or self.requested_cpu_seconds)


class HourOfRows:
    """Adds up one hour.

    groups: the first whose pattern matches a node has it. market_intensity: g/kWh, or None.

    Nodes must come in one order, so that the sums have the same bits however they were asked for.
    """

    def __init__(
        self, hour: int, groups: Sequence[NodeGroup] = (), market_intensity: float | None = None
    ) -> None:
        self._hour, self._groups, self._market = hour, groups, market_intensity
        self._sums: dict[_At, _Sum] = defaultdict(_Sum)
        self._whole: dict[_At, _Sum] = defaultdict(_Sum)
        self.nodes = 0
        self.lacking: dict[str, list[str]] = defaultdict(list)

    def add(self, account: Account) -> None:
        """One node, whose name comes after those of the nodes before."""
        group = self._group(account.node)
        for key, part in account.parts.items():
            self._sums[_At(group, key)].add(part, account)
        for (late, source), charges in account.whole.items():
            self._whole[_At(group, _of_node("difference", late, source))].add(Part(charges), account)
        for (late, source), charges in account.overhead.items():
            self._sums[_At(group, _of_node("overhead", late, source))].add(Part(charges), account)
        for what in account.lacks:
            self.lacking[what].append(account.node)
        self.nodes += 1

    def rows(self) -> list[Row]:
        """In the order of exporter.reports.rows.KEY; those that say nothing left out."""
        sums = [(at, each) for at, each in self._sums.items() if at.key.kind == "idle" or not each.is_nothing]
        return sorted((self._row(*each) for each in (*sums, *self._differences())), key=_order)

    def _differences(self) -> Iterator[tuple[_At, _Sum]]:
        """What the meters counted beyond all rows of the group."""
        counted: dict[_At, FloatArray] = defaultdict(lambda: np.zeros(len(Columns)))
        for at, each in self._sums.items():
            if at.key.kind != "overhead":
                counted[_At(at.group, _of_node("difference", at.key.late, at.key.source))] += each.charges
        for at, whole in self._whole.items():
            whole.charges = whole.charges - counted[at]
            whole.charges[[Columns.LOW, Columns.HIGH]] = whole.charges[Columns.JOULES]
            yield at, whole

    def _row(self, at: _At, each: _Sum) -> Row:
        joules, low, high, grams, cost = map(float, each.charges)
        who, one_currency = at.key.workload, len(each.currencies) == 1
        return Row(
            hour_seconds=self._hour,
            node_group=at.group,
            namespace=who.namespace,
            workload_kind=who.kind,
            workload=who.name,
            labels=who.labels,
            kind=at.key.kind,
            detail=at.key.detail,
            late=at.key.late,
            joules=joules,
            low_joules=low,
            high_joules=high,
            grams=None if "grams" in each.lacks else grams,
            market_grams=None if self._market is None else joules * self._market / JOULES_PER_KWH,
            cost=None if "cost" in each.lacks or not one_currency else cost,
            currency=min(each.currencies) if one_currency else "",
            cpu_seconds=each.cpu_seconds,
            requested_cpu_seconds=each.requested_cpu_seconds,
            pods=each.pods,
            source=at.key.source,
            covered_seconds=0.0 if at.key.late else min(each.covered_seconds, 3600.0),
        )

    def _group(self, node: str) -> str:
        return next((group.name for group in self._groups if group.pattern.fullmatch(node)), "")


def difference_ratio(rows: Sequence[Row]) -> float:
    """By how much rows and meters differ, of what the meters counted; 0 where they counted nothing."""
    whole = sum(row.joules for row in rows if row.kind != "overhead")
    apart = sum(abs(row.joules) for row in rows if row.kind == "difference")
    return apart / abs(whole) if whole else float(apart > 0)


def _of_node(kind: Kind, late: bool, source: str) -> Key:
    return Key(NOBODY, kind, "", late, source)


def _order(row: Row) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in KEY)


def _plus(one: float | None, other: float | None) -> float | None:
    return one if other is None else (one or 0.0) + other
