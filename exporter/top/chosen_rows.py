"""What the user has chosen to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exporter.top.frame import Row
from exporter.top.grouping import GROUPINGS, inside_of

SORTS = ("watts", "share", "joules", "cpu", "ipc", "mpki", "carbon", "cost", "name")
_TEXT_COLUMNS = ("name", "in", "kind", "pid")
_NO_PROCESSES = (
    "processes are not told apart here; podjoule run --metrics.level=process,container,pod,node does"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows, in which order. scopes: the rows that were entered, the outermost first."""

    by: str = "all"
    scopes: tuple[Row, ...] = ()
    sort: str = "watts"
    reverse: bool = False
    filter: str = ""

    @property
    def scope(self) -> Row | None:
        """The row that was entered last."""
        return self.scopes[-1] if self.scopes else None

    @property
    def showing(self) -> str:
        """The grouping of what is shown, also inside of something."""
        return inside_of(self.scopes[-1]) if self.scopes else self.by

    @property
    def ascending(self) -> bool:
        """Names from A, figures from the largest, unless reversed."""
        return (self.sort in _TEXT_COLUMNS) != self.reverse

    def sorted_by(self, column: str) -> Choice:
        """Another column in its own direction; the one that is sorted by already turns round."""
        return replace(self, sort=column, reverse=column == self.sort and not self.reverse)

    def sorted_beside(self, step: int, columns: Sequence[str]) -> Choice:
        """The column so many to the right of these; at the ends, the same."""
        if self.sort not in columns:
            return replace(self, sort=columns[0], reverse=False)
        to = columns.index(self.sort) + step
        return replace(self, sort=columns[to], reverse=False) if 0 <= to < len(columns) else self

    def grouped(self, step: int) -> Choice:
        """The next grouping, or the one before."""
        to = GROUPINGS[(GROUPINGS.index(self.by) + step) % len(GROUPINGS)]
        return replace(self, by=to, scopes=())

    def entered(self, row: Row) -> Choice:
        """What is inside of a row that `refusal` says nothing against."""
        return replace(self, scopes=(*self.scopes, row), filter="")

    def left(self) -> Choice:
        """Out of what was entered last."""
        return replace(self, scopes=self.scopes[:-1], filter="") if self.scopes else self


def refusal(row: Row, by_process: bool) -> str:
    """Why a row cannot be entered, "" if it can. by_process: whether processes are told apart."""
    inside = inside_of(row)
    if not inside:
        return "there is nothing smaller than a process"
    return _NO_PROCESSES if inside == "process" and not by_process else ""
