"""From rows to a Summary: sums, the span before, what explains the change, and who wastes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ebpf.errors import UsageError
from exporter.reports import expressions
from exporter.reports.change import change_between
from exporter.reports.expressions import LABEL, OF_NODES, OPTIONAL, WORK
from exporter.reports.hours import HOUR_SECONDS
from exporter.reports.months import Span
from exporter.reports.rows import MEASURED
from exporter.reports.summary import Amount, Group, Summary, Waster

if TYPE_CHECKING:
    from ibis.expr.types import Table

    from exporter.reports.engine import Engine

OVERHEAD, DIFFERENCE, IDLE = "overhead", "difference", "idle"
MOST_WASTERS: Final = 20
_DAY_SECONDS = 86400
K = TypeVar("K")
Sums = Mapping[str, Any]
"""A row of expressions.amounts."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a summary is of. before: what it is compared with, None for nothing. hours_missing: of `span`.
    namespaces: these alone; () for all."""

    span: Span
    clusters: tuple[str, ...]
    by: tuple[str, ...]
    before: Span | None = None
    hours_missing: int = 0
    closed: str = ""
    namespaces: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The clusters, whose part of them, and when."""
        whose = f", {', '.join(self.namespaces)}" if self.namespaces else ""
        return f"{', '.join(self.clusters)}{whose}: {self.span.name}"


def summarize(engine: Engine, rows: Table, asked: Asked) -> Summary:
    """The summary of a span. rows: those of the span and of the one before. Raises UsageError for two
    currencies."""
    span = asked.span
    begin = asked.before.from_seconds if asked.before else span.from_seconds
    whole = expressions.within(rows, span.from_seconds, span.to_seconds)
    rows = expressions.of_namespaces(rows, asked.namespaces)
    wanted = expressions.within(rows, begin, span.to_seconds)
    now = expressions.within(rows, span.from_seconds, span.to_seconds)
    sums = engine.run(expressions.amounts(wanted, asked.by, span.from_seconds)).to_pylist()
    summary = _summary(asked, [each for each in sums if each["is_now"]])
    of_nodes = engine.run(expressions.hours(whole)).to_pylist()
    hours = engine.run(expressions.hours(now)).to_pylist() if asked.namespaces else of_nodes
    covered = _covered_ratio(of_nodes)
    wasters = _wasters(
        *(engine.run(of(now)).to_pylist() for of in (expressions.reserved, expressions.nobodys_idle))
    )
    return replace(
        _compared(summary, asked, sums),
        total=replace(summary.total, covered_ratio=covered),
        nodes=replace(summary.nodes, covered_ratio=covered),
        difference_ratio=_difference_ratio(of_nodes),
        wasters=wasters,
        **_by_day(hours, span),
    )


def amount(rows: Iterable[Sums]) -> Amount:
    """The sum of sums."""
    found = list(rows)
    n = sum(each["n_rows"] for each in found)
    optional: dict[str, Any] = {
        name: _total(found, name) if n and sum(each[f"n_{name}"] for each in found) == n else None
        for name in OPTIONAL
    }
    requested = [each["requested_cpu_seconds"] for each in found if each["requested_cpu_seconds"] is not None]
    n_seconds = sum(each["n_hours"] for each in found) * HOUR_SECONDS
    return Amount(
        **{name: _total(found, name) for name in ("joules", "low_joules", "high_joules", "cpu_seconds")},
        **optional,
        requested_cpu_seconds=math.fsum(requested) if requested else None,
        measured_joules=_total([each for each in found if each["source"].startswith(MEASURED)], "joules"),
        covered_ratio=min(1.0, _total(found, "covered_seconds") / n_seconds) if n_seconds else 0.0,
    )


def key_of(row: Sums, by: Sequence[str]) -> tuple[str, ...]:
    """The values of what rows are grouped by; of what is nobody's, the kind in the place of who it is."""
    values = [row[f"key_{i}"] for i in range(len(by))]
    if row["kind"] in WORK:
        return tuple(
            value.strip("/") or f"(no {_spoken(name)})" for value, name in zip(values, by, strict=True)
        )
    whose = f"({row['kind']})"
    return tuple(
        (value or f"(no {_spoken(name)})") if name in OF_NODES else whose
        for value, name in zip(values, by, strict=True)
    )


def _summary(asked: Asked, sums: Sequence[Sums]) -> Summary:
    by_kind = _grouped(sums, lambda row: str(row["kind"]))
    by_source = _grouped(sums, lambda row: str(row["source"]))
    by_key = _grouped(sums, lambda row: key_of(row, asked.by))
    groups = (_group(key, rows) for key, rows in by_key.items())
    return Summary(
        title=asked.title,
        clusters=asked.clusters,
        from_seconds=asked.span.from_seconds,
        to_seconds=asked.span.to_seconds,
        by=asked.by,
        groups=tuple(sorted(groups, key=lambda group: (-group.amount.joules, group.key))),
        total=amount(sums),
        nodes=amount(_of_nodes(sums)),
        kinds={kind: amount(rows) for kind, rows in sorted(by_kind.items())},
        difference_ratio=0.0,
        joules_by_source={source: _total(rows, "joules") for source, rows in sorted(by_source.items())},
        currency=_currency(sums),
        hours_missing=asked.hours_missing,
        closed=asked.closed,
        namespaces=asked.namespaces,
    )


def _group(key: tuple[str, ...], rows: Sequence[Sums]) -> Group:
    active, share = (_total([row for row in rows if row["kind"] == kind], "joules") for kind in WORK)
    return Group(key, amount(rows), active, share)


def _compared(summary: Summary, asked: Asked, sums: Sequence[Sums]) -> Summary:
    """With the span before: groups that are no longer there stand last, with nothing."""
    now, before = ([row for row in sums if row["is_now"] is is_now] for is_now in (True, False))
    if not before:
        return summary
    found = {key: amount(rows) for key, rows in _grouped(before, lambda row: key_of(row, asked.by)).items()}
    groups = [replace(group, before=found.pop(group.key, None)) for group in summary.groups]
    gone = [Group(key, amount(()), 0.0, 0.0, past) for key, past in sorted(found.items())]
    change = change_between(before, now, amount(before), summary.total)
    return replace(summary, groups=(*groups, *gone), change=change)


def _wasters(reserved: Sequence[Sums], idle: Sequence[Sums]) -> tuple[Waster, ...]:
    """Those that reserve and use the least of it, by the idle energy of what they do not use."""
    pool = {(row["cluster"], row["node_group"]): row["joules"] for row in idle}
    asked: dict[tuple[str, str], float] = defaultdict(float)
    for row in reserved:
        asked[row["cluster"], row["node_group"]] += row["requested_cpu_seconds"]
    found: dict[tuple[str, str], list[Waster]] = defaultdict(list)
    for row in reserved:
        place, requested = (row["cluster"], row["node_group"]), row["requested_cpu_seconds"]
        joules = (row["idle_share_joules"] or 0.0) + pool.get(place, 0.0) * requested / asked[place]
        key = (row["namespace"], row["workload"])
        found[key].append(Waster(key, requested, row["cpu_seconds"] or 0.0, joules))
    wasters = [_together(key, parts) for key, parts in found.items()]
    worst = sorted(wasters, key=lambda each: (-_wasted(each), each.key))
    return tuple(each for each in worst if each.used_ratio < 1)[:MOST_WASTERS]


def _together(key: tuple[str, str], parts: Sequence[Waster]) -> Waster:
    requested, used, idle = zip(
        *((p.requested_cpu_seconds, p.cpu_seconds, p.idle_joules) for p in parts), strict=True
    )
    return Waster(key, math.fsum(requested), math.fsum(used), math.fsum(idle))


def _wasted(waster: Waster) -> float:
    return waster.idle_joules * (1 - waster.used_ratio)


def _by_day(hours: Sequence[Sums], span: Span) -> dict[str, Any]:
    days = tuple(range(span.from_seconds, span.to_seconds, _DAY_SECONDS))
    kinds = _grouped(hours, lambda row: str(row["kind"]))
    joules = {kind: tuple(_on(rows, days, "joules")) for kind, rows in sorted(kinds.items())}
    by_day = _grouped(hours, lambda row: int(row["hour_seconds"]) // _DAY_SECONDS)
    grams = tuple(_grams(by_day.get(day // _DAY_SECONDS, [])) for day in days)
    bounds = {f"{name}_by_day": tuple(_on(hours, days, name)) for name in ("low_joules", "high_joules")}
    return {"days": days, "joules_by_day": joules, "grams_by_day": grams, **bounds}


def _on(rows: Sequence[Sums], days: Sequence[int], name: str) -> list[float]:
    by_day = _grouped(rows, lambda row: int(row["hour_seconds"]) // _DAY_SECONDS)
    return [_total(by_day.get(day // _DAY_SECONDS, []), name) for day in days]


def _grams(rows: Sequence[Sums]) -> float | None:
    known = rows and all(row["n_grams"] == row["n_rows"] for row in rows)
    return _total(rows, "grams") if known else None


def _difference_ratio(hours: Sequence[Sums]) -> float:
    """The worst hour's difference by what its nodes counted; those of node groups do not make up for each
    other."""
    worst = 0.0
    for rows in _grouped(hours, lambda row: (row["cluster"], row["hour_seconds"])).values():
        differences = _grouped(
            (r for r in rows if r["kind"] == DIFFERENCE), lambda row: str(row["node_group"])
        )
        off = math.fsum(abs(_total(found, "joules")) for found in differences.values())
        nodes = _total(list(_of_nodes(rows)), "joules")
        if off:
            worst = max(worst, off / abs(nodes) if nodes else math.inf)
    return worst


def _covered_ratio(hours: Sequence[Sums]) -> float:
    """Covered time of the hours that files hold, each node group by what is covered least in it."""
    places = _grouped(hours, lambda row: (row["cluster"], row["node_group"], row["hour_seconds"])).values()
    covered = (
        min((row["covered_seconds"] for row in rows if row["covered_seconds"] is not None), default=0.0)
        for rows in places
    )
    return min(1.0, math.fsum(covered) / (len(places) * HOUR_SECONDS)) if places else 0.0


def _currency(sums: Sequence[Sums]) -> str:
    found = sorted({row["currency"] for row in sums} - {""})
    if len(found) > 1:
        raise UsageError(
            f"costs are in {' and '.join(found)}, which do not add up; --cluster shows one cluster"
        )
    return found[0] if found else ""


def _of_nodes(rows: Iterable[Sums]) -> Iterable[Sums]:
    return (row for row in rows if row["kind"] != OVERHEAD)


def _total(rows: Iterable[Sums], name: str) -> float:
    return math.fsum(row[name] or 0.0 for row in rows)


def _spoken(name: str) -> str:
    return name.removeprefix(LABEL).replace("_", " ")


def _grouped(rows: Iterable[Sums], key: Callable[[Sums], K]) -> dict[K, list[Sums]]:
    found: dict[K, list[Sums]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found
