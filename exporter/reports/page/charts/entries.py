"""A list of names, each with a drawing and a figure beside it: how all charts but the days' are laid out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exporter.reports.page.charts.drawing import drawing
from exporter.reports.page.markup import Markup, element

HEIGHT = 20.0
MIDDLE = HEIGHT / 2


@dataclass(frozen=True, slots=True)
class Entry:
    """note: small, below the name. more: small, below the figure."""

    name: str
    shapes: Markup
    figure: str
    note: str = ""
    more: str = ""


def entries(of: Iterable[Entry], drawn_height: float = HEIGHT, class_: str = "") -> Markup:
    """The list; drawings are hidden from screen readers, which hear name and figures."""
    return element("ul", *(_item(each, drawn_height) for each in of), class_=f"entries {class_}".rstrip())


def legend(items: Sequence[tuple[str, str]]) -> Markup:
    """What the marks mean: class of a swatch and its words."""
    return element(
        "ul",
        *(element("li", _swatch(class_), element("span", words)) for class_, words in items),
        class_="legend",
    )


def _swatch(class_: str) -> Markup:
    return element("svg", _sample(class_), width=16, height=12, aria_hidden="true", focusable="false")


def _sample(class_: str) -> Markup:
    if class_ == "whisker":
        return element("path", d="M1 6H15M1 3V9M15 3V9", class_="whisker")
    if class_ == "before":
        return element("path", d="M8 0V12", class_="before")
    return element("rect", x=2, width=12, height=12, rx=2, class_=class_)


def _item(entry: Entry, height: float) -> Markup:
    name = element("span", element("span", entry.name, class_="name"), _small(entry.note), class_="who")
    figure = element("span", element("b", entry.figure), _small(entry.more), class_="figure")
    return element("li", name, drawing(height, entry.shapes), figure)


def _small(words: str) -> Markup:
    return element("span", words, class_="of") if words else Markup()
