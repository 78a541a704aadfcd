"""What the user has chosen, and what each key makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from exporter.top import keys
from exporter.top.frame import Key, Row
from exporter.top.grouping import GROUPINGS, inside_of

SORT_KEYS = {
    "w": "watts",
    "s": "share",
    "j": "joules",
    "c": "cpu",
    "i": "ipc",
    "m": "mpki",
    "o": "carbon",
    "$": "cost",
    "n": "name",
}
_TEXT_COLUMNS = ("name", "in", "kind", "pid")
_NO_PROCESSES = (
    "processes are not told apart here; podjoule run --metrics.level=process,container,pod,node does"
)
_LONGEST_FILTER = 200


@dataclass(frozen=True, slots=True)
class State:
    """What is looked at. scopes: the rows that were entered, the outermost first.

    selected: the row that the cursor stays on, None for whichever comes first. position: where the cursor
    was, for when that row is gone. offset: the first row on the screen. message: shown until the next key.
    """

    by: str = "all"
    scopes: tuple[Row, ...] = ()
    sort: str = "watts"
    reverse: bool = False
    filter: str = ""
    is_editing: bool = False
    is_paused: bool = False
    is_helping: bool = False
    is_done: bool = False
    selected: Key | None = None
    position: int = 0
    offset: int = 0
    message: str = ""

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


@dataclass(frozen=True, slots=True)
class Shown:
    """What is on the screen when a key is pressed: the rows in their order, how many fit, which columns."""

    rows: Sequence[Row]
    page: int
    columns: Sequence[str]
    by_process: bool = True


def press(state: State, key: str, shown: Shown) -> State:
    """The state after a key."""
    state = replace(state, message="")
    if state.is_editing:
        return _edit(state, key)
    if state.is_helping:
        return replace(state, is_helping=False, is_done=key == "q")
    if key in SORT_KEYS:
        return _sort(state, SORT_KEYS[key])
    if key in _ACTIONS:
        return _ACTIONS[key](state)
    if key in _MOVES:
        return _move(state, _moved(key, _cursor(state, shown.rows), shown), shown)
    if key in ("<", ">"):
        return _sort_beside(state, 1 if key == ">" else -1, shown.columns)
    if key in (keys.ENTER, keys.RIGHT):
        return _enter(state, shown)
    return state


def settled(state: State, rows: Sequence[Row], page: int) -> State:
    """The same with cursor and scrolling where they can be, now that these are the rows."""
    cursor = _cursor(state, rows)
    most = max(0, len(rows) - page)
    offset = min(max(state.offset, cursor - page + 1), cursor, most)
    return replace(state, position=cursor, offset=max(0, offset))


def _cursor(state: State, rows: Sequence[Row]) -> int:
    if state.selected is None:
        return 0
    found = next((i for i, row in enumerate(rows) if row.key == state.selected), state.position)
    return max(0, min(found, len(rows) - 1))


def _move(state: State, to: int, shown: Shown) -> State:
    if not shown.rows:
        return state
    to = max(0, min(to, len(shown.rows) - 1))
    # At the very top the cursor stays with the first place, not with the row that happens to be there.
    return replace(state, selected=shown.rows[to].key if to else None, position=to)


def _moved(key: str, cursor: int, shown: Shown) -> int:
    """Where a key takes the cursor, perhaps beyond the ends."""
    page = max(1, shown.page - 1)
    steps = {keys.UP: -1, keys.DOWN: 1, keys.PAGE_UP: -page, keys.PAGE_DOWN: page}
    if key in steps:
        return cursor + steps[key]
    return 0 if key == keys.HOME else len(shown.rows) - 1


_MOVES = (keys.UP, keys.DOWN, keys.PAGE_UP, keys.PAGE_DOWN, keys.HOME, keys.END)


def _sort(state: State, column: str) -> State:
    """Another column in its own direction; the one that is sorted by already turns round."""
    return replace(state, sort=column, reverse=column == state.sort and not state.reverse)


def _sort_beside(state: State, step: int, columns: Sequence[str]) -> State:
    if state.sort not in columns:
        return replace(state, sort=columns[0], reverse=False)
    to = columns.index(state.sort) + step
    return replace(state, sort=columns[to], reverse=False) if 0 <= to < len(columns) else state


def _enter(state: State, shown: Shown) -> State:
    if not shown.rows:
        return state
    row = shown.rows[_cursor(state, shown.rows)]
    inside = inside_of(row)
    if not inside:
        return replace(state, message="there is nothing smaller than a process")
    if inside == "process" and not shown.by_process:
        return replace(state, message=_NO_PROCESSES)
    return replace(_at_the_top(state), scopes=(*state.scopes, row), filter="")


def _leave(state: State) -> State:
    """Out of what was entered last, with the cursor on it."""
    if not state.scopes:
        return state
    left = state.scopes[-1]
    return replace(_at_the_top(state), scopes=state.scopes[:-1], filter="", selected=left.key)


def _group(state: State, step: int) -> State:
    to = GROUPINGS[(GROUPINGS.index(state.by) + step) % len(GROUPINGS)]
    return replace(_at_the_top(state), by=to, scopes=())


def _at_the_top(state: State) -> State:
    return replace(state, selected=None, position=0, offset=0)


def _edit(state: State, key: str) -> State:
    if key == keys.ENTER:
        return replace(state, is_editing=False)
    if key == keys.ESCAPE:
        return replace(_at_the_top(state), is_editing=False, filter="")
    if key == keys.BACKSPACE:
        return replace(_at_the_top(state), filter=state.filter[:-1])
    if len(key) == 1 and len(state.filter) < _LONGEST_FILTER:
        return replace(_at_the_top(state), filter=state.filter + key)
    return state


_ACTIONS: dict[str, Callable[[State], State]] = {
    "q": lambda state: replace(state, is_done=True),
    "?": lambda state: replace(state, is_helping=True),
    "h": lambda state: replace(state, is_helping=True),
    "/": lambda state: replace(state, is_editing=True),
    "p": lambda state: replace(state, is_paused=not state.is_paused),
    " ": lambda state: replace(state, is_paused=not state.is_paused),
    "r": lambda state: replace(state, reverse=not state.reverse),
    "g": lambda state: _group(state, 1),
    keys.TAB: lambda state: _group(state, 1),
    keys.BACK_TAB: lambda state: _group(state, -1),
    "u": _leave,
    keys.BACKSPACE: _leave,
    keys.LEFT: _leave,
    keys.ESCAPE: lambda state: replace(_at_the_top(state), filter="") if state.filter else state,
}
