"""Which rows are shown: by pod, container, namespace, unit or process, and inside of what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from exporter.top.frame import Frame, Row, total

# "all": what is in no other row, so that the rows add up.
GROUPINGS = ("all", "pod", "container", "namespace", "unit", "process")
NO_NAMESPACE = "(no namespace)"
NAMESPACE = "namespace"  # the kind of a row that is a namespace's sum
REST = "rest"  # the kind of a row that is what no process has
_LEAST_PART = 1e-6  # of the whole: less is what adding up leaves

_KINDS = {
    "pod": ("pod",),
    "container": ("container",),
    "unit": ("unit", "user", "kernel", "root", "job", "other", "vm"),
    "process": ("process",),
}
_SUMMED = ("watts", "share", "joules", "cores", "grams_per_hour", "cost_per_hour")


def grouped(frame: Frame, by: str, scope: Row | None = None) -> list[Row]:
    """The rows by a grouping, or those inside of a row of any grouping."""
    if scope is not None:
        return [row for row in frame.rows if is_inside(row, scope)]
    if by == "all":
        return [row for row in frame.rows if row.is_top]
    if by == NAMESPACE:
        return _namespaces(row for row in frame.rows if row.is_top)
    found = [row for row in frame.rows if row.kind in _KINDS[by]]
    return [*found, *_rest(frame.rows, found)] if by == "process" and found else found


def inside_of(row: Row) -> str:
    """What drilling into a row shows: a grouping, "" for nothing."""
    if row.kind == NAMESPACE:
        return "pod" if row.id != NO_NAMESPACE else "all"
    return {"pod": "container", "process": "", REST: ""}.get(row.kind, "process")


def is_inside(row: Row, scope: Row) -> bool:
    """Whether a row is what drilling into `scope` shows."""
    if scope.kind == NAMESPACE:
        return row.is_top and (row.namespace or NO_NAMESPACE) == scope.id
    if scope.kind == "pod":
        return row.kind == "container" and row.pod == scope.id
    if row.kind != "process":
        return False
    if scope.kind == "container":
        return row.container == scope.id
    return not row.container and bool(scope.cgroup) and row.cgroup == scope.cgroup


def matcher(text: str) -> Callable[[Row], bool]:
    """Whether a row is found by a text: part of its name or place, or a regular expression that matches."""
    wanted = text.casefold()
    try:
        pattern = re.compile(text, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError):
        pattern = None

    def matches(row: Row) -> bool:
        texts = (row.name, row.namespace, row.within, row.kind, row.id, str(row.pid or ""))
        if any(wanted in each.casefold() for each in texts):
            return True
        return pattern is not None and any(pattern.search(each) for each in texts)

    return matches


def _rest(rows: Iterable[Row], processes: Sequence[Row]) -> list[Row]:
    """What was used by none of the processes: by those that ended, or where they are not told apart."""
    whole = _summed(REST, [row for row in rows if row.is_top])
    told = _summed(REST, processes)
    left = {key: _left(getattr(whole, key), getattr(told, key)) for key in _SUMMED}
    if any(row.cores is None for row in processes):  # as of those that are new: they may have used all of it
        left["cores"] = None
    if not any(left.values()):
        return []
    return [replace(Row(REST, REST, "(ended, or not told)"), **left)]  # type: ignore[arg-type]


def _left(whole: float | None, part: float | None) -> float | None:
    if whole is None:
        return None
    left = whole - (part or 0.0)
    return left if left > _LEAST_PART * whole else 0.0


def _namespaces(rows: Iterable[Row]) -> list[Row]:
    """Sums; what is a ratio of counters is not known of a sum."""
    members: dict[str, list[Row]] = {}
    for row in rows:
        members.setdefault(row.namespace or NO_NAMESPACE, []).append(row)
    return [_summed(name, found) for name, found in members.items()]


def _summed(name: str, rows: Sequence[Row]) -> Row:
    sums = {key: total(getattr(row, key) for row in rows) for key in _SUMMED}
    row = Row(NAMESPACE, name, name, running=any(row.running for row in rows))
    return replace(row, **sums)  # type: ignore[arg-type]
