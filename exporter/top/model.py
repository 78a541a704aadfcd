"""What is shown: the rows of a frame that were asked for, in their order, and the columns that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.top.chosen_rows import Choice
from exporter.top.columns import Column, columns, fitting, ordered
from exporter.top.frame import Frame, Row
from exporter.top.grouping import grouped, matcher


@dataclass(frozen=True, slots=True)
class Model:
    """A table, but for its text. columns: each with its width in cells. sort: the column it is sorted by.

    total: the rows there would be without the filter.
    """

    rows: Sequence[Row]
    total: int
    columns: Sequence[tuple[Column, int]]
    sort: str
    ascending: bool


def make_model(frame: Frame | None, choice: Choice, room: int | None) -> Model:
    """The table of a frame in so many cells, None for no bound; without a frame there are no rows."""
    found = grouped(frame, choice.by, choice.scope) if frame else []
    matches = matcher(choice.filter)
    kept = [row for row in found if matches(row)] if choice.filter else found
    known = columns(choice.showing, kept, frame.node.currency if frame else "")
    # What another grouping was sorted by may be no column of this one.
    sort = next((column for column in known if column.key == choice.sort), None)
    ascending = choice.ascending if sort else False
    sort = sort or next(column for column in known if column.key == "watts")
    return Model(ordered(kept, sort, ascending), len(found), fitting(known, room), sort.key, ascending)
