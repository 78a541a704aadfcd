"""The whole screen as lines, for any size."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.top import header, table
from exporter.top.header import Seen
from exporter.top.model import Model
from exporter.top.state import State
from exporter.top.text import Line, Piece, clipped

_LEAST_ROWS = 3
_FOOTER = (
    *(("q", "quit"), ("?", "help"), ("/", "filter"), ("Enter", "in"), ("u", "out"), ("Tab", "by")),
    *(("<>", "sort"), ("r", "reverse"), ("p", "pause")),
)
_HELP = (
    ("arrows, Page, Home, End", "move"),
    ("Enter, Right", "into the row: its pods, containers, processes"),
    ("u, Backspace, Left", "out again"),
    ("Tab, g, Shift-Tab", "by all, pod, container, namespace, unit, process"),
    ("w s j c i m o $ n", "sort by that column; once more turns it round"),
    ("<, >, r", "sort by the column beside; turn round"),
    ("/, Esc", "only rows with a text or regular expression; all"),
    ("p, Space", "hold the screen; measuring goes on"),
    ("q, Ctrl-C", "quit"),
    ("", ""),
    ("WATTS, SHARE", "over the last tick; of the node's active power"),
    ("JOULES", "since the measurement began"),
    ("CPU", "how many CPUs it kept busy"),
    ("IPC, MPKI", "instructions a cycle; cache misses per 1000 of them"),
    ("CO2E/H", "carbon an hour at this power"),
    ("-", "not known, which is not 0"),
)
_HELP_KEYS = 24


@dataclass(frozen=True, slots=True)
class Size:
    """Of the terminal, in cells."""

    columns: int
    lines: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Which parts there is room for. above: the lines above the table's head. page: rows that fit."""

    above: tuple[str, ...]
    trouble: bool
    page: int


def lay_out(size: Size, has_trouble: bool) -> Layout:
    """The rows are given room first: of a low terminal they take all but the head and the last line."""
    above = ["title", "node", "zones", "shown"]
    taken = 2 + has_trouble
    for name in ("zones", "title", "node", "shown"):
        if size.lines - taken - len(above) < _LEAST_ROWS:
            above.remove(name)
    return Layout(tuple(above), has_trouble, max(1, size.lines - taken - len(above)))


def draw(seen: Seen, state: State, model: Model, size: Size) -> list[Line]:
    """Exactly as many lines as the terminal has, none wider than it; state: settled."""
    layout = lay_out(size, bool(seen.trouble))
    lines = [_above(name, seen, state, model) for name in layout.above]
    lines += _middle(seen, state, model, layout)
    missing = size.lines - len(lines) - layout.trouble - 1
    lines += [()] * missing
    if layout.trouble:
        lines.append((Piece(seen.trouble, "bad"),))
    lines.append(_last(state))
    # Of a terminal of one or two lines, the last ones.
    return [clipped(line, size.columns) for line in lines[-size.lines :]]


def _above(name: str, seen: Seen, state: State, model: Model) -> Line:
    if name == "title":
        return header.title(seen)
    if name == "shown":
        return header.shown_line(state, model)
    if seen.frame is None:
        return ()
    return header.node_line(seen.frame.node) if name == "node" else header.zone_line(seen.frame.node)


def _middle(seen: Seen, state: State, model: Model, layout: Layout) -> list[Line]:
    if state.is_helping:
        return _help()[: layout.page + 1]
    shown = model.rows[state.offset : state.offset + layout.page]
    if shown:
        return [table.head(model), *table.body(model, shown, state.position - state.offset)]
    return [table.head(model), (Piece(_nothing(seen, state), "dim"),)][: layout.page + 1]


def _nothing(seen: Seen, state: State) -> str:
    if seen.frame is None:
        return "" if seen.trouble else "waiting for the first measurement"
    if state.filter:
        return "no row is found by this filter; Esc shows all"
    return "nothing has used any CPU here yet" if state.scopes else f"there is no {state.by} here yet"


def _last(state: State) -> Line:
    if state.is_editing:
        return (Piece("/", "key"), Piece(state.filter), Piece(" ", "selected"))
    if state.message:
        return (Piece(state.message, "warn"),)
    pieces: list[Piece] = []
    for key, what in _FOOTER:
        pieces += [Piece("  ")] if pieces else []
        pieces += [Piece(key, "key"), Piece(f" {what}")]
    return tuple(pieces)


def _help() -> list[Line]:
    return [(Piece(f"{keys:<{_HELP_KEYS}}", "key"), Piece(f" {what}")) for keys, what in _HELP]
