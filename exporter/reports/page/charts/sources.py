"""How much was measured and how much a model said, as one bar."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.reports.page.charts.drawing import bar, drawing
from exporter.reports.page.charts.entries import Entry, entries
from exporter.reports.page.figures import kwh, percent
from exporter.reports.page.markup import Markup, joined
from exporter.reports.page.scales import Scale

_HEIGHT, _THIN = 28.0, 8.0
_MEASURED, _MODEL = "measured", "model"


def is_measured(source: str) -> bool:
    """Whether a meter said it."""
    return source.partition(":")[0] == _MEASURED


def in_words(source: str) -> tuple[str, str]:
    """`measured:rapl` as ("Measured, rapl", ""); `model:NAME@SHA256` as ("Model NAME", its hash)."""
    kind, _, detail = source.partition(":")
    if is_measured(source):
        return f"Measured, {detail}" if detail else "Measured", ""
    if kind != _MODEL:
        return f"Source {source}", ""
    name, _, sha = detail.partition("@")
    return f"Model {name}".rstrip(), sha


def sources_chart(joules_by_source: Mapping[str, float]) -> Markup:
    """The bar, measured first and models hatched, and each source below it."""
    ordered = sorted(joules_by_source.items(), key=lambda item: (not is_measured(item[0]), -item[1]))
    whole = sum(max(0.0, joules) for _, joules in ordered)
    if whole <= 0:
        return Markup()
    scale, shapes, below = Scale(0.0, whole), [], 0.0
    for source, joules in ordered:
        shapes.append(bar(*scale.span(below, below + max(0.0, joules)), 0, _HEIGHT, _css(source)))
        below += max(0.0, joules)
    measured = sum(joules for source, joules in ordered if is_measured(source)) / whole
    label = f"{percent(measured)} measured, {percent(1 - measured)} by models."
    return joined(
        (
            drawing(_HEIGHT, *shapes, label=label, class_="sources"),
            entries((_entry(source, joules, whole) for source, joules in ordered), _THIN, "thin"),
        )
    )


def _css(source: str) -> str:
    return _MEASURED if is_measured(source) else "modelled"


def _entry(source: str, joules: float, whole: float) -> Entry:
    name, sha = in_words(source)
    share = max(0.0, joules) / whole
    return Entry(name, bar(0, 100 * share, 0, _THIN, _css(source)), percent(share), sha[:12], kwh(joules))
