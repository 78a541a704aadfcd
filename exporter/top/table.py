"""The table as lines."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.top.columns import Column
from exporter.top.frame import Row
from exporter.top.model import Model
from exporter.top.text import Line, Piece, padded, printable

_GAP = "  "


def head(model: Model) -> Line:
    """The titles, the one that is sorted by marked."""
    pieces: list[Piece] = []
    for column, width in model.columns:
        cell = padded(column.title, width, right=not column.is_text)
        filling = cell[: len(cell) - len(cell.lstrip())]
        pieces += [Piece(_GAP + filling, "head")] if pieces else []
        pieces.append(Piece(cell.strip(), "sorted" if column.key == model.sort else "head"))
        pieces.append(Piece(" " * (len(cell) - len(cell.rstrip()))))
    return tuple(pieces)


def body(model: Model, rows: Sequence[Row], cursor: int | None = None) -> list[Line]:
    """The rows; cursor: which of them is the selected one."""
    return [_line(model.columns, row, i == cursor) for i, row in enumerate(rows)]


def text_lines(model: Model) -> list[str]:
    """The whole table for a pipe: nothing is cut, the columns are as wide as what is in them."""
    cells = [[column.title for column, _ in model.columns]]
    cells += [[printable(column.show(row)) for column, _ in model.columns] for row in model.rows]
    widths = [max(map(len, each)) for each in zip(*cells, strict=True)]
    texts = [column.is_text for column, _ in model.columns]
    return [
        _GAP.join(
            cell.ljust(width) if is_text else cell.rjust(width)
            for cell, width, is_text in zip(line, widths, texts, strict=True)
        ).rstrip()
        for line in cells
    ]


def _line(columns: Sequence[tuple[Column, int]], row: Row, is_selected: bool) -> Line:
    cells = [
        (column.key, padded(printable(column.show(row)), width, not column.is_text))
        for column, width in columns
    ]
    if is_selected or not row.running:
        return (Piece(_GAP.join(cell for _, cell in cells), "selected" if is_selected else "dim"),)
    pieces: list[Piece] = []
    for key, cell in cells:
        pieces += [Piece(_GAP)] if pieces else []
        pieces.append(Piece(cell, "watts" if key == "watts" else ""))
    return tuple(pieces)
