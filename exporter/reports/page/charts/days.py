"""Energy by day: bars stacked by kind, with the bounds of each day's whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from exporter.reports.page.charts.drawing import at, bar, drawing, line, standing_whisker
from exporter.reports.page.figures import day, decimal, kwh, kwh_between
from exporter.reports.page.kinds import in_order, kind_name
from exporter.reports.page.markup import Markup, element, joined
from exporter.reports.page.scales import Scale, decimals_of, ticks
from exporter.reports.summary import Summary
from exporter.tariffs.tariffs import JOULES_PER_KWH

HEIGHT, TOP, BOTTOM = 260.0, 12.0, 26.0
_FILLED = 0.72
_CROWDED = 62
_LABELS, _LABELS_NARROW = 12, 4


@dataclass(frozen=True, slots=True)
class Column:
    """One day in kWh: parts by kind from the bottom up, and its bounds where they are known."""

    unix_seconds: int
    parts: tuple[tuple[str, float], ...]
    bounds: tuple[float, float] | None

    @property
    def whole(self) -> float:
        """The height of the bar."""
        return sum(kilowatt_hours for _, kilowatt_hours in self.parts)


def columns(summary: Summary) -> tuple[Column, ...]:
    """The days. What is below zero, as a difference may be, has no height."""
    kinds = in_order(summary.joules_by_day)
    known = len(summary.low_joules_by_day) == len(summary.high_joules_by_day) == len(summary.days)
    return tuple(
        Column(
            begin,
            tuple((kind, max(0.0, summary.joules_by_day[kind][i]) / JOULES_PER_KWH) for kind in kinds),
            (summary.low_joules_by_day[i] / JOULES_PER_KWH, summary.high_joules_by_day[i] / JOULES_PER_KWH)
            if known
            else None,
        )
        for i, begin in enumerate(summary.days)
    )


def has_bounds(summary: Summary) -> bool:
    """Whether bars have their bounds drawn: there must be room."""
    return 0 < len(summary.low_joules_by_day) == len(summary.days) <= _CROWDED


def labelled(days: Sequence[int], at_most: int) -> set[int]:
    """Which days have their date written: evenly apart from the first on; of many, firsts of months."""
    places = list(range(len(days)))
    if len(days) > _CROWDED:
        places = [i for i in places if datetime.fromtimestamp(days[i], UTC).day == 1]
    return set(places[:: max(1, -(-len(places) // at_most))])


def days_chart(summary: Summary) -> Markup:
    """The drawing, or nothing where there are no days."""
    days = columns(summary)
    if not days:
        return Markup()
    marks = ticks(0.0, max(max(each.whole, (each.bounds or (0, 0))[1]) for each in days))
    scale = Scale(marks[0], marks[-1])
    slot = 100.0 / len(days)
    bars = joined(_bar(each, i * slot, slot, scale, len(days)) for i, each in enumerate(days))
    return drawing(HEIGHT, _grid(marks, scale), bars, _dates(days, slot), label=_label(days), class_="days")


def height_of(kilowatt_hours: float, scale: Scale) -> float:
    """In pixels."""
    return (HEIGHT - TOP - BOTTOM) * scale.place(kilowatt_hours) / 100.0


def _bar(column: Column, x: float, slot: float, scale: Scale, count: int) -> Markup:
    width = slot if count > _CROWDED else slot * _FILLED
    left, ground = x + (slot - width) / 2, HEIGHT - BOTTOM
    shapes, below = [element("title", _told(column))], 0.0
    for kind, kilowatt_hours in column.parts:
        low, high = height_of(below, scale), height_of(below + kilowatt_hours, scale)
        below += kilowatt_hours
        if high - low >= 0.05:
            shapes.append(bar(left, width, ground - high, high - low, kind_name(kind).css))
    if column.bounds and column.whole and count <= _CROWDED:
        low, high = (height_of(each, scale) for each in column.bounds)
        shapes.append(standing_whisker(x + slot / 2, ground - high, ground - low))
    return element("g", *shapes)


def _told(column: Column) -> str:
    low, high = column.bounds or (column.whole, column.whole)
    between = f" ({kwh_between(low * JOULES_PER_KWH, high * JOULES_PER_KWH)})" if low < high else ""
    parts = ", ".join(
        f"{kind_name(kind).name} {kwh(part * JOULES_PER_KWH)}"
        for kind, part in reversed(column.parts)
        if part
    )
    return f"{day(column.unix_seconds)}: {kwh(column.whole * JOULES_PER_KWH)}{between}. {parts}"


def _grid(marks: tuple[float, ...], scale: Scale) -> Markup:
    decimals, shapes = decimals_of(marks[1] - marks[0]), []
    for mark in marks:
        y = HEIGHT - BOTTOM - height_of(mark, scale)
        unit = "\u202fkWh" if mark == marks[-1] else ""
        shapes.append(line(0, y, 100, y, "grid"))
        words = f"{decimal(mark, decimals)}{unit}"
        shapes.append(element("text", words, x=-8, y=y + 4, text_anchor="end"))
    return joined(shapes)


def _dates(days: tuple[Column, ...], slot: float) -> Markup:
    wide, narrow = (
        labelled([each.unix_seconds for each in days], most) for most in (_LABELS, _LABELS_NARROW)
    )
    return joined(
        element(
            "text",
            day(each.unix_seconds),
            x=at((i + 0.5) * slot),
            y=HEIGHT - 6,
            text_anchor="middle",
            class_=" ".join(name for name, chosen in (("wide", wide), ("narrow", narrow)) if i in chosen),
        )
        for i, each in enumerate(days)
        if i in wide | narrow
    )


def _label(days: tuple[Column, ...]) -> str:
    least, most = min(days, key=lambda each: each.whole), max(days, key=lambda each: each.whole)
    least_told, most_told = (
        f"{kwh(each.whole * JOULES_PER_KWH)} on {day(each.unix_seconds)}" for each in (least, most)
    )
    return f"Energy by day, from {least_told} to {most_told}."
