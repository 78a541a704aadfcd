"""The shapes that charts are made of. x: percent of the width; y, heights: pixels."""

from __future__ import annotations

from exporter.reports.page.markup import Markup, element, joined

WHISKER_HALF = 3.0
HATCH = "hatch"


def at(x: float) -> str:
    """A place along."""
    return f"{x:.5g}%"


def bar(x: float, width: float, y: float, height: float, class_: str) -> Markup:
    """A filled box."""
    return element("rect", x=at(x), y=y, width=at(width), height=height, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=at(x1), y1=y1, x2=at(x2), y2=y2, class_=class_)


def lying_whisker(low: float, high: float, y: float) -> Markup:
    """An interval along, with caps, on a halo that lifts it off what is below."""
    ends = [(x, y - WHISKER_HALF, x, y + WHISKER_HALF) for x in (low, high)]
    return _on_halo([(low, y, high, y), *ends])


def standing_whisker(x: float, top: float, bottom: float) -> Markup:
    """An interval upwards; without caps, since bars may be narrow."""
    return _on_halo([(x, top, x, bottom)])


def drawing(height: float, *shapes: str, label: str = "", class_: str | None = None) -> Markup:
    """A drawing as wide as its place. label: what one sees at a glance; "" where text beside it says it."""
    told = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    return element("svg", *shapes, width="100%", height=height, class_=class_, focusable="false", **told)


def patterns() -> Markup:
    """The hatching of what is estimated; stands once in the page."""
    stripe = element("path", d="M-2 2 2 -2M0 8 8 0M6 10 10 6")
    pattern = element("pattern", stripe, id=HATCH, width=8, height=8, patternUnits="userSpaceOnUse")
    return element(
        "svg", pattern, width=0, height=0, class_="patterns", aria_hidden="true", focusable="false"
    )


def _on_halo(lines: list[tuple[float, float, float, float]]) -> Markup:
    return joined(line(*each, class_) for class_ in ("halo", "whisker") for each in lines)
