"""The view on a terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, Input, Static

from exporter.plain_text import printable
from exporter.top import header
from exporter.top.chosen_rows import SORTS, Choice, refusal
from exporter.top.frame import Key, Source
from exporter.top.header import Seen
from exporter.top.help import Help
from exporter.top.model import Model, make_model
from exporter.top.refresh import Feed, Read
from exporter.top.table import Table
from exporter.top.terminal import StdoutDriver, set_up_environment
from exporter.top.text import BAD, KEY, Line
from exporter.top.warning_line import LastWarning, last_warning

_BY_SIGNAL = 128  # as a shell reports signals
_CLOCK_SECONDS = 1.0  # how often the age of what is shown is brought up to date
_LONGEST_FILTER = 200
# In a low terminal the rows are given room first: from how many lines on each line above them is shown.
_LEAST_LINES = {"lacks": 11, "gpus": 10, "zones": 9, "title": 8, "node": 7, "shown": 6}
_IF_ANY = ("gpus", "lacks")  # lines that are there where there is something to say
_SORT_KEYS = dict(zip("wsjcimo$n", SORTS, strict=True))


def show(source: Source, interval_seconds: float, choice: Choice, where: str) -> int:
    """Show frames until the user or a signal ends it; the exit code."""
    set_up_environment()
    with last_warning() as warning:
        app = Top(source, interval_seconds, choice, where, warning)
        try:
            app.run(mouse=False)  # so that text can be selected as everywhere
        finally:
            # The terminal is given back by now: the source may take its time.
            app.feed.stop()
    if app.failure is not None:
        raise app.failure
    return app.return_code or 0


class Top(App[None]):
    """Draws what the feed tells, as the user has chosen. failure: what a bug raised in the feed."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #above Static, #trouble { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    #above { height: auto; }
    #editor { height: 1; Static { width: 1; } }
    #trouble, #editor { display: none; }
    FooterKey { margin-right: 2; .footer-key--key { color: $secondary; } }
    Input > .input--cursor { color: $foreground; background: $background; text-style: reverse; }
    Toast { width: auto; max-width: 100%; padding: 0 1; background: $background; }
    """
    BINDINGS: ClassVar = [
        Binding("q", "quit", "quit"),
        Binding("?,h", "help", "help"),
        Binding("/", "edit(True)", "filter", priority=True),  # first of all: what follows is for the filter
        Binding("enter,right", "enter", "in", key_display="Enter"),
        Binding("u,backspace,left", "leave", "out"),
        Binding("g", "group(1)", "by", key_display="Tab"),
        Binding("<", "beside(-1)", "sort", key_display="<>"),
        Binding(">", "beside(1)", show=False),
        *(Binding(key, f"sort('{column}')", show=False) for key, column in _SORT_KEYS.items()),
        Binding("r", "reverse", "reverse"),
        Binding("p,space", "pause", "pause"),
        Binding("enter", "edit(False)", show=False, priority=True),
        Binding("escape", "clear", show=False),
        Binding("ctrl+c", f"end({signal.SIGINT:d})", show=False, priority=True),
        Binding("ctrl+z", "stop", show=False, priority=True),
    ]

    class Told(Message):
        """Something came from the feed."""

        def __init__(self, what: Read | Exception) -> None:
            super().__init__()
            self.what = what

    def __init__(
        self, source: Source, interval_seconds: float, choice: Choice, where: str, warning: LastWarning
    ) -> None:
        super().__init__(driver_class=StdoutDriver, ansi_color=True)
        self.theme = "ansi-dark"  # the terminal's own colours, whichever they are
        self.feed = Feed(source, interval_seconds, lambda what: self.post_message(self.Told(what)))
        self.failure: Exception | None = None
        self.choice, self.is_paused = choice, False
        self._warning = warning
        self._now = self._held = Seen(where=where)
        self._tick_seconds = time.monotonic()
        self._model = self._modelled(80)
        self._table = Table(self._model)
        self._filter = Input(max_length=_LONGEST_FILTER, compact=True, select_on_focus=False)
        self._trouble, self._editor = Static(id="trouble"), Horizontal(id="editor")
        self._lines = {name: Static() for name in ("title", "node", "zones", *_IF_ANY, "shown")}
        self._footer = Footer(compact=True)

    def compose(self) -> ComposeResult:
        """Lines, table, and the last line: keys or the filter."""
        with Vertical(id="above"):
            yield from self._lines.values()
        yield self._table
        yield self._trouble
        with self._editor:
            yield Static(Content.styled("/", KEY))
            yield self._filter
        yield self._footer

    def on_mount(self) -> None:
        """Begin to read."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.action_end, number)
        self._table.focus()
        self.set_interval(_CLOCK_SECONDS, self._draw_age)
        self.feed.start()

    def on_resize(self) -> None:
        """Other columns may fit."""
        self.call_after_refresh(self._draw)

    def on_top_told(self, told: Told) -> None:
        """A frame, none, or a bug."""
        if isinstance(told.what, Exception):
            self.failure = told.what
            self.exit(return_code=1)
            return
        self._take(told.what)
        self._draw()

    def on_input_changed(self) -> None:
        """Filter as it is typed; by what stands there now, since Esc may have come in between."""
        self._choose(replace(self.choice, filter=self._filter.value))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Of the keys that come here first, which are ours now."""
        if action == "edit":
            return self.focused is (self._table if parameters[0] else self._filter)
        return super().check_action(action, parameters)

    def action_help(self) -> None:
        """Explain."""
        self.push_screen(Help(self._now.frame.node.zones if self._now.frame else ()))

    def action_edit(self, is_editing: bool) -> None:
        """Have the filter typed, or keep it as it is."""
        self._editor.display = is_editing
        self._footer.display = self._table.can_focus = not is_editing
        if is_editing:
            self._filter.value = self.choice.filter
        self.screen.set_focus(self._filter if is_editing else self._table)
        self._draw()

    def action_clear(self) -> None:
        """Show all rows."""
        self._filter.value = ""
        if self._editor.display:
            self.action_edit(False)
        self._choose(replace(self.choice, filter=""))

    def action_enter(self) -> None:
        """Into the row at the cursor."""
        row = self._table.row
        if row is None:
            return
        by_process = self._held.frame is None or self._held.frame.node.by_process
        if said := refusal(row, by_process):
            self.notify(said, markup=False)
            return
        self._choose(self.choice.entered(row))

    def action_leave(self) -> None:
        """Out again, with the cursor on what was left."""
        left = self.choice.scope
        if left is not None:
            self._choose(self.choice.left(), left.key)

    def action_group(self, step: int) -> None:
        """By something else."""
        self._choose(self.choice.grouped(step))

    def action_sort(self, column: str) -> None:
        """By a column."""
        self._sort(self.choice.sorted_by(column))

    def action_beside(self, step: int) -> None:
        """By the column beside."""
        self._sort(self.choice.sorted_beside(step, [column.key for column, _ in self._model.columns]))

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._sort(replace(self.choice, reverse=not self.choice.reverse))

    def action_pause(self) -> None:
        """Hold the screen, or go on."""
        self.is_paused = not self.is_paused
        self._draw()

    def action_end(self, number: int) -> None:
        """End as by this signal; textual takes Ctrl-C as a key."""
        self.exit(return_code=_BY_SIGNAL + number)

    def action_stop(self) -> None:
        """What Ctrl-Z does elsewhere: stop all that the shell started with us."""
        os.killpg(os.getpgrp(), signal.SIGTSTP)

    def _choose(self, choice: Choice, selected: Key | None = None) -> None:
        """Other rows: the cursor goes to the first one, or to this."""
        if choice != self.choice:
            self.choice = choice
            self._table.select(selected)
            self._draw()

    def _sort(self, choice: Choice) -> None:
        self.choice = choice
        self._draw()

    def _take(self, read: Read) -> None:
        if read.frame is None:
            self._now = replace(self._now, problem=read.problem)
            return
        self._warning.text = ""
        self._tick_seconds = read.seconds - read.frame.node.age_seconds
        # The first tick starts the counters: it has nothing to show.
        frame = None if read.frame.is_baseline else read.frame
        self._now = replace(self._now, frame=frame, problem="")

    def _seen(self) -> Seen:
        """What is shown now; while paused, what was shown then."""
        age = max(0.0, time.monotonic() - self._tick_seconds)
        if not self.is_paused or self._held.frame is None:
            problem = self._now.problem or self._warning.text
            self._held = replace(self._now, age_seconds=age, problem=problem)
        return self._held

    def _draw_age(self) -> None:
        if self._seen().trouble:
            self._draw()

    def _draw(self) -> None:
        seen = self._seen()
        self._model = self._modelled(self._table.room)
        shown = header.shown_line(self.choice, self._model, self.is_paused, bool(self._editor.display))
        lines = {"title": header.title(seen), "shown": shown}
        if seen.frame is not None:
            node = seen.frame.node
            lines |= {"node": header.node_line(node), "zones": header.zone_line(node)}
            lines |= {"gpus": header.gpu_line(node), "lacks": header.lacks_line(node)}
        for name, least in _LEAST_LINES.items():
            line = self._lines[name]
            line.update(_content(lines.get(name, ())), layout=False)
            is_wanted = name not in _IF_ANY or bool(lines.get(name))
            line.display = is_wanted and self.size.height >= least + bool(seen.trouble)
        self._trouble.display = bool(seen.trouble)
        self._trouble.update(_content(((seen.trouble, BAD),)), layout=False)
        self._table.fill(self._model, header.nothing(seen, self.choice))

    def _modelled(self, room: int) -> Model:
        return make_model(self._held.frame, self.choice, room)


def _content(line: Line) -> Content:
    return Content.assemble(*((printable(text), style) for text, style in line))
