"""The table on the screen: rows in their columns, and a cursor that stays on its row.

Drawn line by line, as textual has it for much data: its DataTable measures each cell of each row anew, which
takes 0.2 CPU seconds a tick for 200 rows and 2.5 for 5,000.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.strip import Strip
from textual.widget import Widget

from exporter.plain_text import printable
from exporter.top.frame import Key, Row
from exporter.top.model import Model

ELLIPSIS = "…"
_NO_WIDTH = 80  # before it is laid out


class Table(Widget, can_focus=True):
    """Head and rows of a model. nothing: what is said where there are no rows."""

    BINDINGS: ClassVar = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "first", show=False),
        Binding("end", "last", show=False),
        # Here, before a screen moves the focus with them.
        Binding("tab", "app.group(1)", show=False),
        Binding("shift+tab", "app.group(-1)", show=False),
    ]
    COMPONENT_CLASSES: ClassVar = {
        "table--head",
        "table--sorted",
        "table--cursor",
        "table--ended",
        "table--watts",
    }
    DEFAULT_CSS = """
    Table {
        height: 1fr;
        .table--head { text-style: bold; }
        .table--sorted { text-style: bold underline; }
        .table--cursor { text-style: reverse; }
        .table--ended { text-style: dim; }
        .table--watts { color: $secondary; }
    }
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model, self._nothing = model, ""
        self._selected: Key | None = None
        self._cursor = self._offset = 0

    @property
    def room(self) -> int:
        """Cells for the columns and what is between them."""
        return self.size.width or _NO_WIDTH

    @property
    def row(self) -> Row | None:
        """The one that the cursor is on."""
        return self._model.rows[self._cursor] if self._model.rows else None

    def fill(self, model: Model, nothing: str) -> None:
        """Show this model, with the cursor where it was: on its row, else on its place."""
        self._model, self._nothing = model, nothing
        self._settle(self._found())

    def select(self, key: Key | None) -> None:
        """Put the cursor on a row, also one that comes with the next model; None: on whichever is first."""
        self._selected, self._cursor = key, 0

    def action_move(self, step: int) -> None:
        """Move the cursor by so many rows."""
        self._move(self._cursor + step)

    def action_page(self, step: int) -> None:
        """Move it by so many screens."""
        self._move(self._cursor + step * max(1, self._page - 1))

    def action_first(self) -> None:
        """Move it to the first row."""
        self._move(0)

    def action_last(self) -> None:
        """Move it to the last one."""
        self._move(len(self._model.rows) - 1)

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        y -= self._has_head
        if y < 0:
            return self._line(self._head())
        index = self._offset + y
        if index < len(self._model.rows):
            return self._line(self._cells(index))
        text = self._nothing if index == 0 else ""
        return self._line([Segment(text, self.get_component_rich_style("table--ended"))])

    @property
    def _has_head(self) -> bool:
        return self.size.height > 1

    @property
    def _page(self) -> int:
        return max(1, self.size.height - self._has_head)

    def _found(self) -> int:
        if self._selected is None:
            return 0
        keys = (i for i, row in enumerate(self._model.rows) if row.key == self._selected)
        return next(keys, self._cursor)

    def _move(self, to: int) -> None:
        self._settle(to)
        # At the very top the cursor stays with the first place, not with the row that happens to be there.
        self._selected = self.row.key if self.row and self._cursor else None

    def _settle(self, cursor: int) -> None:
        last = max(0, len(self._model.rows) - 1)
        self._cursor = max(0, min(cursor, last))
        most = max(0, len(self._model.rows) - self._page)
        self._offset = max(0, min(max(self._offset, self._cursor - self._page + 1), self._cursor, most))
        self.refresh()

    def _line(self, segments: list[Segment]) -> Strip:
        strip = Strip(segments).adjust_cell_length(self.size.width)
        return strip.apply_style(self.rich_style)

    def _head(self) -> list[Segment]:
        head, by = (
            self.get_component_rich_style(f"table--{name}", partial=True) for name in ("head", "sorted")
        )
        segments: list[Segment] = []
        for column, width in self._model.columns:
            before, title, behind = padded(column.title, width, column.is_text).partition(column.title)
            style = by if column.key == self._model.sort else head
            segments += [Segment(_gap(segments) + before), Segment(title, style), Segment(behind)]
        return segments

    def _cells(self, index: int) -> list[Segment]:
        row = self._model.rows[index]
        style = self._style(row, index)
        watts = style or self.get_component_rich_style("table--watts", partial=True)
        segments: list[Segment] = []
        for column, width in self._model.columns:
            text = _gap(segments) + padded(printable(column.show(row)), width, column.is_text)
            segments.append(Segment(text, watts if column.key == "watts" else style))
        return segments

    def _style(self, row: Row, index: int) -> Style | None:
        if index == self._cursor:
            return self.get_component_rich_style("table--cursor", partial=True)
        return None if row.running else self.get_component_rich_style("table--ended", partial=True)


def _gap(before: Sized) -> str:
    return "  " if before else ""


def padded(text: str, room: int, left: bool) -> str:
    """The text cut or filled to exactly so many cells."""
    cut = shortened(text, room)
    fill = " " * (room - cell_len(cut))
    return cut + fill if left else fill + cut


def shortened(text: str, room: int) -> str:
    """The two ends of what is too long: they tell paths and ids apart best."""
    if cell_len(text) <= room:
        return text
    if room < 2:
        return ELLIPSIS[:room]
    front, back = _front(text, room // 2), ""
    for each in reversed(text):
        if cell_len(f"{front}{ELLIPSIS}{each}{back}") > room:
            break
        back = each + back
    return f"{front}{ELLIPSIS}{back}"


def _front(text: str, room: int) -> str:
    front = text[:room]
    while cell_len(front) > room:
        front = front[:-1]
    return front
