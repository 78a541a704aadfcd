"""Where the energy went: the largest groups as bars, with their intervals and the month before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.reports.page.charts.drawing import bar, line, lying_whisker
from exporter.reports.page.charts.entries import HEIGHT, MIDDLE, Entry, entries, legend
from exporter.reports.page.figures import DOT, change, kwh, kwh_between, percent, plural, span_before
from exporter.reports.page.kinds import kind_name, nobodys
from exporter.reports.page.markup import Markup, joined
from exporter.reports.page.scales import Scale
from exporter.reports.summary import Group, Summary

SHOWN = 12


@dataclass(frozen=True, slots=True)
class Bar:
    """One group, or all that are not shown, in joules. before: None where nothing is known of it."""

    name: str
    note: str
    joules: float
    low_joules: float
    high_joules: float
    before_joules: float | None
    css: str


def bars(groups: Sequence[Group], shown: int = SHOWN) -> tuple[Bar, ...]:
    """The largest first; what would be one more than is shown is put together in the last."""
    there = (group for group in groups if group.amount.joules or (group.before and group.before.joules))
    ordered = sorted(there, key=lambda group: -group.amount.joules)
    if len(ordered) <= shown:
        return tuple(map(_bar_of, ordered))
    return (*map(_bar_of, ordered[: shown - 1]), _others([*map(_bar_of, ordered[shown - 1 :])]))


def groups_chart(summary: Summary) -> Markup:
    """The bars and what their marks mean."""
    drawn = bars(summary.groups)
    longest = max((max(each.high_joules, each.before_joules or 0.0) for each in drawn), default=0.0)
    scale = Scale(0.0, longest or 1.0)
    whole = sum(group.amount.joules for group in summary.groups)
    return joined((entries((_entry(each, scale, whole) for each in drawn)), _legend(summary, drawn)))


def _bar_of(group: Group) -> Bar:
    kind, amount = nobodys(group.key), group.amount
    *above, last = group.key or ("",)
    if kind:
        above = [*(part for part in group.key if part not in ("", f"({kind})")), "nobody's"]
        last = kind_name(kind).name
    return Bar(
        last or "(none)",
        DOT.join(filter(None, above)),
        amount.joules,
        amount.low_joules,
        amount.high_joules,
        group.before.joules if group.before else None,
        kind_name(kind).css if kind else "somebodys",
    )


def _others(rest: list[Bar]) -> Bar:
    before = [each.before_joules for each in rest if each.before_joules is not None]
    return Bar(
        f"All others, {plural(len(rest), 'row')}",
        "",
        sum(each.joules for each in rest),
        sum(each.low_joules for each in rest),
        sum(each.high_joules for each in rest),
        sum(before) if before else None,
        "others",
    )


def _entry(each: Bar, scale: Scale, whole: float) -> Entry:
    x, width = scale.span(0.0, each.joules)
    shapes = [bar(x, width, 3, HEIGHT - 6, each.css)]
    if each.high_joules > each.low_joules:
        shapes.append(lying_whisker(scale.place(each.low_joules), scale.place(each.high_joules), MIDDLE))
    if each.before_joules is not None:
        place = scale.place(each.before_joules)
        shapes.append(line(place, 0, place, HEIGHT, "before"))
    more = [percent(each.joules / whole)] if whole > 0 else []
    if each.before_joules:
        more.append(change(each.joules, each.before_joules))
    bounds = kwh_between(each.low_joules, each.high_joules)
    return Entry(each.name, joined(shapes), kwh(each.joules), each.note, DOT.join((bounds, *more)))


def _legend(summary: Summary, drawn: Sequence[Bar]) -> Markup:
    if not drawn:
        return Markup()
    marks = [("somebodys", "Energy"), ("whisker", "Between which bounds it lies")]
    if any(each.before_joules is not None for each in drawn):
        before = span_before(summary.from_seconds, summary.to_seconds)
        marks.append(("before", before[0].upper() + before[1:]))
    return legend(marks)
