"""The parts of the page, each a card that is left out where there is nothing to tell."""

from __future__ import annotations

import math

from exporter.reports.page.charts.changes import carbon_waterfall, energy_waterfall
from exporter.reports.page.charts.days import days_chart, has_bounds
from exporter.reports.page.charts.groups import SHOWN, groups_chart
from exporter.reports.page.charts.sources import sources_chart
from exporter.reports.page.charts.wasters import wasters_chart
from exporter.reports.page.figures import (
    change,
    kilograms,
    kwh,
    number,
    percent,
    plural,
    signed,
)
from exporter.reports.page.group_table import group_table, title_of
from exporter.reports.page.headline import badge, facts, sentences
from exporter.reports.page.kinds import in_order, kind_name
from exporter.reports.page.markup import Markup, element, joined
from exporter.reports.page.tables import known, numbers, scrolling, spelt, table, texts
from exporter.reports.summary import Sci, Summary
from exporter.tariffs.tariffs import JOULES_PER_KWH


def card(title: str, *inside: str, name: str, note: str = "") -> Markup:
    """A titled part of the page; nothing where nothing is inside."""
    if not any(inside):
        return Markup()
    head = element("h2", title, id=f"{name}-title")
    beside = element("p", note, class_="note") if note else ""
    return element(
        "section",
        element("div", head, beside, class_="card-head"),
        *inside,
        class_=f"card {name}",
        aria_labelledby=f"{name}-title",
    )


def headline(summary: Summary) -> Markup:
    """The one figure, what it is worth, and the whole in plain words."""
    figure, _, unit = kwh(summary.total.joules).rpartition("\u202f")
    words, css = badge(summary)
    big = element(
        "div",
        element("p", "Energy", class_="label"),
        element("p", figure, " ", element("small", unit), class_="watts"),
        element("p", element("span", words, class_=f"badge {css}")),
    )
    small = (
        element("div", element("dt", name), element("dd", value, " ", element("small", beside)))
        for name, value, beside in facts(summary)
    )
    said = element("p", " ".join(sentences(summary)), class_="said")
    return element(
        "section", big, element("dl", *small, class_="facts"), said, class_="now", aria_label="In short"
    )


def where_it_went(summary: Summary) -> Markup:
    """The largest groups."""
    note = f"the largest {SHOWN - 1} and all others" if len(summary.groups) > SHOWN else ""
    return card("Where the energy went", groups_chart(summary), name="went", note=note)


def by_day(summary: Summary) -> Markup:
    """The days, and the kinds of energy, whose colours the table explains."""
    chart = days_chart(summary)
    note = "UTC; the line on each bar spans its bounds" if has_bounds(summary) else "UTC"
    title = "Energy by day" if chart else "Energy by kind"
    return card(title, chart, _kinds(summary), name="by-day", note=note if chart else "")


def how_sure(summary: Summary) -> Markup:
    """Measured against modelled."""
    total = summary.total
    parts = [
        ("Covered by samples", percent(total.covered_ratio, 2)),
        ("Hours missing", f"{summary.hours_missing:,}"),
        ("Rows against the nodes' meters", _difference(summary.difference_ratio)),
    ]
    if total.joules > 0 and total.high_joules > total.low_joules:
        off = (signed(percent(bound / total.joules - 1.0)) for bound in (total.low_joules, total.high_joules))
        parts.insert(0, ("Bounds of the whole", " to ".join(off)))
    return card("How sure it is", sources_chart(summary.joules_by_source), _pairs(parts), name="sure")


def what_changed(summary: Summary) -> Markup:
    """The change from the month before."""
    if summary.change is None:
        return Markup()
    now, by = summary.total.joules, summary.change.joules
    ratio = f" ({change(now, now - by)})" if now > by else ""
    note = f"{kwh(now - by)} to {kwh(now)}{ratio}"
    carbon = carbon_waterfall(summary.change)
    heading = element("h3", "CO\u2082e") if carbon else ""
    return card(
        "What explains the change",
        energy_waterfall(summary.change),
        heading,
        carbon,
        name="change",
        note=note,
    )


def reserved(summary: Summary) -> Markup:
    """Those that reserve and do not use."""
    return card("Reserved and not used", wasters_chart(summary.wasters), name="wasters", note="CPU time")


def sci(summary: Summary) -> Markup:
    """The score of ISO/IEC 21031 and how it is worked out."""
    if summary.sci is None:
        return Markup()
    of: Sci = summary.sci
    parts = (
        ("Energy, E", kwh(of.energy_kwh * JOULES_PER_KWH)),
        ("Emitted in use, E \u00d7 I", f"{kilograms(of.operational_grams)} CO\u2082e"),
        ("Making the hardware, M", f"{kilograms(of.embodied_grams)} CO\u2082e"),
        (f"Functional units, R ({of.unit})", number(of.units)),
    )
    score = element(
        "p", _grams(of.grams_per_unit), " ", element("small", f"CO\u2082e per {of.unit}"), class_="score"
    )
    query = element("p", "R counts ", element("code", of.query), class_="note")
    note = "(E \u00d7 I + M) per R, ISO/IEC 21031"
    return card("Software carbon intensity", score, _pairs(parts), query, name="sci", note=note)


def embodied(summary: Summary) -> Markup:
    """What making the hardware emitted, the part of this time."""
    if summary.embodied_grams is None:
        return Markup()
    parts = [("This period's part", f"{kilograms(summary.embodied_grams)} CO\u2082e")]
    if summary.total.grams is not None:
        parts.append(("Emitted in use", f"{kilograms(summary.total.grams)} CO\u2082e"))
        together = summary.total.grams + summary.embodied_grams
        parts.append(("Together", f"{kilograms(together)} CO\u2082e"))
    return card("Making the hardware", _pairs(parts), name="embodied", note="by specification and lifetime")


def every_group(summary: Summary) -> Markup:
    """The table of all groups, which scripts let filter."""
    if not summary.groups:
        return Markup()
    by = " and ".join(map(title_of, summary.by)).lower()
    heading = element("h2", f"By {by}", id="all-title")
    box = element(
        "input", id="find", type="search", placeholder="Find", autocomplete="off", aria_label=f"Find by {by}"
    )
    filters = element("p", box, class_="filters", hidden=True)
    return element(
        "section",
        element("div", heading, filters, class_="card-head"),
        scrolling(f"Table by {by}", group_table(summary)),
        element("p", plural(len(summary.groups), "row"), id="count", class_="note", role="status"),
        class_="card all",
        aria_labelledby="all-title",
    )


def _kinds(summary: Summary) -> Markup:
    kinds = in_order(summary.kinds)[::-1]
    amounts = [summary.kinds[kind] for kind in kinds]
    whole = sum(amount.joules for amount in amounts)
    shares = [amount.joules / whole if whole else None for amount in amounts]
    names = [joined((_swatch(kind_name(kind).css), kind_name(kind).name)) for kind in kinds]
    columns = [
        texts("Kind", names),
        numbers("Energy, kWh", [amount.joules / JOULES_PER_KWH for amount in amounts]),
        spelt("Share", (percent(share) for share in shares), shares),
        numbers(
            "CO\u2082e, kg", [None if amount.grams is None else amount.grams / 1e3 for amount in amounts]
        ),
        numbers(f"Cost, {summary.currency}".rstrip(", "), [amount.cost for amount in amounts]),
        texts("What it is", (kind_name(kind).meaning for kind in kinds)),
    ]
    return scrolling("Energy by kind", table("kinds", "Energy by kind", known(columns)))


def _swatch(css: str) -> Markup:
    box = element("rect", width=12, height=12, rx=2, class_=css)
    return element("svg", box, width=12, height=12, class_="swatch", aria_hidden="true", focusable="false")


def _pairs(parts: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Markup:
    inside = joined(joined((element("dt", name), element("dd", value))) for name, value in parts)
    return element("dl", inside, class_="pairs")


def _difference(ratio: float) -> str:
    apart = abs(ratio)
    if math.isinf(apart):
        return "the meters counted nothing"
    if apart < 1e-6:
        return "less than a millionth apart"
    return f"{apart * 1e6:.2g} millionths apart" if apart < 1e-4 else f"{percent(apart, 3)} apart"


def _grams(grams: float) -> str:
    return f"{number(grams)}\u202fg" if grams >= 0.1 or grams == 0 else f"{grams * 1e3:.3g}\u202fmg"
