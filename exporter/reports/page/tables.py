"""Tables that are there without scripts, and that ui/report.js sorts by what stands in data-v."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exporter.reports.page.figures import DASH, decimal, decimals_for
from exporter.reports.page.markup import Markup, element


@dataclass(frozen=True, slots=True)
class Cell:
    """sorts_by: a number; None where what is shown is a name, or not known."""

    shown: str
    sorts_by: float | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column; its cells one a row. is_text: names, to the left and sorted as such."""

    title: str
    cells: tuple[Cell, ...]
    is_text: bool = False


def texts(title: str, values: Iterable[str]) -> Column:
    """A column of names."""
    return Column(title, tuple(map(Cell, values)), is_text=True)


def numbers(title: str, values: Sequence[float | None]) -> Column:
    """A column of figures, all in the same decimals."""
    decimals = decimals_for(values)
    return Column(title, tuple(Cell(decimal(value, decimals), value) for value in values))


def spelt(title: str, shown: Iterable[str], values: Iterable[float | None]) -> Column:
    """A column of figures that are written already."""
    return Column(title, tuple(map(Cell, shown, values)))


def known(columns: Iterable[Column]) -> list[Column]:
    """Without those in which nothing stands."""
    return [column for column in columns if any(cell.shown not in ("", DASH) for cell in column.cells)]


def table(name: str, caption: str, columns: Sequence[Column], descending: int | None = None) -> Markup:
    """The table, its first column the names of the rows. descending: by which column the rows stand."""
    heads = (
        element(
            "th",
            column.title,
            scope="col",
            class_="text" if column.is_text else None,
            aria_sort="descending" if i == descending else None,
        )
        for i, column in enumerate(columns)
    )
    rows = zip(*(column.cells for column in columns), strict=True)
    body = (element("tr", *map(_cell, range(len(columns)), cells, columns)) for cells in rows)
    return element(
        "table",
        element("caption", caption, class_="visually-hidden"),
        element("thead", element("tr", *heads)),
        element("tbody", *body),
        id=name,
        class_="sortable",
    )


def scrolling(label: str, inside: Markup) -> Markup:
    """A place in which what is too wide is moved, by keyboard too."""
    return element("div", inside, class_="scroll", role="region", aria_label=label, tabindex=0)


def _cell(place: int, cell: Cell, column: Column) -> Markup:
    sorts_by = None if cell.sorts_by is None or not math.isfinite(cell.sorts_by) else float(cell.sorts_by)
    if place == 0:
        return element("th", cell.shown, scope="row", data_v=sorts_by)
    return element("td", cell.shown, class_="text" if column.is_text else None, data_v=sorts_by)
