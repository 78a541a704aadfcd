"""The columns: what each shows, how it is sorted, and which of them fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

from exporter.top.frame import Row
from exporter.top.units import GRAMS, JOULES, UNKNOWN, WATTS, digits, hundredths, money, percent, scaled

NAME = "name"
_GAP, _LEAST_NAME, _TEXT = 2, 20, 15
_LAST = 100  # the rank of what says nothing


@dataclass(frozen=True, slots=True)
class Column:
    """One column. rank: the lower, the longer it stays when room is short. value: what it is sorted by."""

    key: str
    title: str
    width: int
    rank: int
    show: Callable[[Row], str]
    value: Callable[[Row], float | str | None]
    is_text: bool = False


def columns(by: str, rows: Sequence[Row], currency: str) -> list[Column]:
    """All there are for a grouping, in their order; those without a known value give way first."""
    made = [_name(), *_places(by), *_figures()]
    if currency:
        made.append(_figure("cost", f"{currency}/H", 8, 9, money, "cost_per_hour"))
    return [column if _says_something(column, rows) else _last(column) for column in made]


def fitting(found: Sequence[Column], room: int | None) -> list[tuple[Column, int]]:
    """The columns that fit into so many cells, each with its width; the name takes what is left.

    room: None for no bound.
    """
    kept, taken = [found[0]], _LEAST_NAME
    for column in sorted(found[1:], key=lambda each: each.rank):
        if room is None or taken + _GAP + column.width <= room:
            kept.append(column)
            taken += _GAP + column.width
    name = _LEAST_NAME if room is None else max(1, room - taken + _LEAST_NAME)
    return [(each, name if each.key == NAME else each.width) for each in found if each in kept]


def ordered(rows: Sequence[Row], column: Column, ascending: bool) -> list[Row]:
    """Sorted by a column; what is not known comes last in both directions, equals by their names."""
    by_name = sorted(rows, key=lambda row: (row.name.casefold(), row.name, row.id))
    known = [row for row in by_name if column.value(row) is not None]
    known.sort(key=column.value, reverse=not ascending)  # type: ignore[arg-type]
    return known + [row for row in by_name if column.value(row) is None]


def _name() -> Column:
    return Column(NAME, "NAME", _LEAST_NAME, 0, shown_name, lambda row: row.name.casefold(), is_text=True)


def shown_name(row: Row) -> str:
    """The name, and where it has ended that word, since not every terminal can dim."""
    name = row.kind if row.kind == "kernel" else row.name
    return name if row.running else f"{name} (ended)"


def _places(by: str) -> list[Column]:
    if by == "process":
        pid = Column("pid", "PID", 7, 1, lambda row: str(row.pid or UNKNOWN), lambda row: row.pid)
        return [pid, _text("in", "IN", lambda row: row.within)]
    if by == "container":
        return [_text("in", "POD OR RUNTIME", lambda row: row.within)]
    if by == "pod":
        return [_text("in", "NAMESPACE", lambda row: row.namespace)]
    if by in ("all", "unit"):
        kind = Column("kind", "KIND", 9, 8, lambda row: row.kind, lambda row: row.kind, is_text=True)
        return [kind, _text("in", "NAMESPACE", lambda row: row.namespace)] if by == "all" else [kind]
    return []


def _text(key: str, title: str, text: Callable[[Row], str]) -> Column:
    return Column(key, title, _TEXT, 8, lambda row: text(row) or UNKNOWN, lambda row: text(row) or None, True)


def _figures() -> list[Column]:
    watts, joules, grams = (partial(scaled, scale=scale) for scale in (WATTS, JOULES, GRAMS))
    return [
        _figure("watts", "WATTS", 7, 1, watts, "watts"),
        _figure("share", "SHARE", 6, 2, percent, "share"),
        _figure("joules", "JOULES", 7, 3, joules, "joules"),
        _figure("cpu", "CPU", 6, 4, hundredths, "cores"),
        _figure("ipc", "IPC", 5, 6, hundredths, "instructions_per_cycle"),
        _figure("mpki", "MPKI", 6, 7, digits, "misses_per_1000_instructions"),
        _figure("carbon", "CO2E/H", 7, 5, grams, "grams_per_hour"),
    ]


def _figure(
    key: str, title: str, width: int, rank: int, show: Callable[[float | None], str], field: str
) -> Column:
    return Column(key, title, width, rank, lambda row: show(getattr(row, field)), attrgetter(field))


def _says_something(column: Column, rows: Sequence[Row]) -> bool:
    return not rows or any(column.value(row) is not None for row in rows)


def _last(column: Column) -> Column:
    rank = column.rank if column.key in ("watts", "share", "joules") else _LAST + column.rank
    return replace(column, rank=rank)
