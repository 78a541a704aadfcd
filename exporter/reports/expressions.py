"""What is asked of an account's rows, as Ibis expressions: the same for every engine that can run them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ebpf.errors import UsageError

if TYPE_CHECKING:
    from ibis.expr.types import BooleanValue, StringValue, Table

DIMENSIONS: Final = ("namespace", "workload", "owner", "node_group", "cluster")
LABEL: Final = "label:"
OF_NODES: Final = frozenset({"cluster", "node_group"})
"""What energy that is nobody's has, too."""
SUMMED: Final = ("joules", "low_joules", "high_joules", "grams", "market_grams", "cost", "cpu_seconds")
OPTIONAL: Final = ("grams", "market_grams", "cost")
"""Sums that hold only where every row had them: their count is asked for, too."""
WORK: Final = ("active", "idle_share")


def dimensions(text: str) -> tuple[str, ...]:
    """What to group by, from a comma-separated list. Raises UsageError for what rows do not have."""
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in DIMENSIONS and not (name.startswith(LABEL) and name != LABEL):
            raise UsageError(f"--by: wanted {', '.join(DIMENSIONS)} or label:NAME, found {name!r}")
    if len(set(names)) < len(names):
        raise UsageError(f"--by: {text} names one of them twice")
    return names


def within(rows: Table, from_seconds: int, to_seconds: int) -> Table:
    """The rows of a span of time."""
    return rows.filter(rows.hour_seconds >= from_seconds, rows.hour_seconds < to_seconds)


def of_namespaces(rows: Table, names: Sequence[str]) -> Table:
    """The rows of these namespaces; all where none are named."""
    return rows.filter(rows.namespace.isin(list(names))) if names else rows


def amounts(rows: Table, by: Sequence[str], since_seconds: int) -> Table:
    """Sums by `by` (key_0, key_1, …), kind, source and is_now: whether hours are of `since_seconds` or later.

    worked_joules: of rows whose CPU time is known.
    n_rows: how many rows there are; n_grams and so on: how many of them have such a value. covered_seconds
    and n_hours: of the rows that were counted while somebody asked.
    """
    is_timely = ~rows.late
    keys = {f"key_{i}": _key(rows, name) for i, name in enumerate(by)}
    same = {name: rows[name] for name in ("kind", "source", "currency")}
    return rows.group_by(**keys, **same, is_now=rows.hour_seconds >= since_seconds).aggregate(
        worked_joules=rows.joules.sum(where=rows.cpu_seconds.notnull()),
        **{name: rows[name].sum() for name in SUMMED},
        **{f"n_{name}": rows[name].count() for name in OPTIONAL},
        n_rows=rows.count(),
        requested_cpu_seconds=rows.requested_cpu_seconds.sum(),
        covered_seconds=rows.covered_seconds.sum(where=is_timely),
        n_hours=rows.count(where=is_timely),
    )


def hours(rows: Table) -> Table:
    """Sums by cluster, hour, node group and kind.

    covered_seconds: of the row that is covered least, without what was counted while nobody asked; None where
    there is nothing else.
    """
    return rows.group_by("cluster", "hour_seconds", "node_group", "kind").aggregate(
        **{name: rows[name].sum() for name in ("joules", "low_joules", "high_joules", "grams")},
        n_grams=rows.grams.count(),
        n_rows=rows.count(),
        covered_seconds=rows.covered_seconds.min(where=~rows.late),
    )


def reserved(rows: Table) -> Table:
    """CPU time and what was reserved, of each workload that reserves, with its idle energy."""
    asked = rows.filter(_is_work(rows))
    sums = asked.group_by("cluster", "node_group", "namespace", "workload").aggregate(
        requested_cpu_seconds=asked.requested_cpu_seconds.sum(),
        cpu_seconds=asked.cpu_seconds.sum(where=asked.requested_cpu_seconds.notnull()),
        idle_share_joules=asked.joules.sum(where=asked.kind == "idle_share"),
    )
    return sums.filter(sums.requested_cpu_seconds > 0)


def nobodys_idle(rows: Table) -> Table:
    """Idle energy that nobody was given, by cluster and node group."""
    idle = rows.filter(rows.kind == "idle")
    return idle.group_by("cluster", "node_group").aggregate(joules=idle.joules.sum())


def _is_work(rows: Table) -> BooleanValue:
    return rows.kind.isin(WORK)


def _key(rows: Table, name: str) -> StringValue:
    if name.startswith(LABEL):
        return rows.labels.get(name.removeprefix(LABEL), "")
    if name == "workload":
        return rows.namespace + "/" + rows.workload
    if name == "owner":
        return rows.namespace + "/" + rows.workload_kind + "/" + rows.workload
    found: StringValue = rows[name]
    return found
