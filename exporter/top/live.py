"""The view on a terminal: draws, waits for keys, ticks and signals, and draws again."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from exporter.top.feed import Feed, Read
from exporter.top.frame import Source
from exporter.top.header import Seen
from exporter.top.keys import KeyReader
from exporter.top.model import Model, make_model
from exporter.top.signals import Signals
from exporter.top.state import Shown, State, press, settled
from exporter.top.terminal import Terminal
from exporter.top.text import painted
from exporter.top.view import draw, lay_out

_DONE, _BY_SIGNAL = 0, 128  # as a shell reports signals
_ESCAPE_SECONDS = 0.05
_CLOCK_SECONDS = 1.0  # how often the age of what is shown is brought up to date


def show(source: Source, interval_seconds: float, state: State, coloured: bool, where: str) -> int:
    """Show frames until the user or a signal ends it; the exit code."""
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(Signals())
        feed = Feed(source, interval_seconds, signals.wake)
        stack.callback(feed.stop)
        # The terminal is given back first, then the source may take its time.
        warnings = stack.enter_context(_warnings())
        encoding = sys.stdout.encoding or "utf-8"
        terminal = stack.enter_context(Terminal(sys.stdin.fileno(), sys.stdout.fileno(), encoding))
        feed.start()
        return _Live(terminal, feed, signals, warnings, state, coloured, where).run()


class _Live:
    def __init__(
        self,
        terminal: Terminal,
        feed: Feed,
        signals: Signals,
        warnings: _LastWarning,
        state: State,
        coloured: bool,
        where: str,
    ) -> None:
        self._terminal, self._feed, self._signals, self._warnings = terminal, feed, signals, warnings
        self._state, self._coloured = state, coloured
        self._keys = KeyReader()
        self._input = sys.stdin.fileno()
        self._is_open = True
        self._now = self._held = Seen(where=where)
        self._tick_seconds = time.monotonic()

    def run(self) -> int:
        """Until it ends; the exit code."""
        while self._is_open and not self._state.is_done:
            shown = self._draw()
            self._wait()
            if self._signals.ending:
                return _BY_SIGNAL + self._signals.ending
            self._stop_and_go_on()
            self._take_reads()
            self._take_keys(shown)
        return _DONE

    def _draw(self) -> Shown:
        size = self._terminal.size()
        seen = self._seen()
        model = make_model(seen.frame, self._state, size.columns)
        layout = lay_out(size, bool(seen.trouble))
        self._state = settled(self._state, model.rows, layout.page)
        lines = draw(seen, self._state, model, size)
        self._terminal.show([painted(line, self._coloured) for line in lines], size)
        return _shown(model, layout.page, seen)

    def _seen(self) -> Seen:
        """What is shown now; while paused, what was shown then."""
        age = max(0.0, time.monotonic() - self._tick_seconds)
        if not self._state.is_paused or self._held.frame is None:
            problem = self._now.problem or self._warnings.text
            self._held = replace(self._now, age_seconds=age, problem=problem)
        return self._held

    def _wait(self) -> None:
        seconds = _ESCAPE_SECONDS if self._keys.is_pending else _CLOCK_SECONDS
        select.select([self._input, self._signals.fd], [], [], seconds)
        self._signals.drain()

    def _stop_and_go_on(self) -> None:
        if self._signals.take(signal.SIGTSTP):
            self._terminal.give_back()
            self._signals.stop_here()
            self._terminal.take()
        # The shell may have set the terminal up for itself in between.
        if self._signals.take(signal.SIGCONT):
            self._terminal.take()

    def _take_reads(self) -> None:
        while (read := self._feed.take()) is not None:
            self._take_read(read)

    def _take_read(self, read: Read) -> None:
        if read.frame is None:
            self._now = replace(self._now, problem=read.problem)
            return
        self._warnings.text = ""
        self._tick_seconds = read.seconds - read.frame.node.age_seconds
        # The first tick starts the counters: it has nothing to show.
        frame = None if read.frame.is_baseline else read.frame
        self._now = replace(self._now, frame=frame, problem="")

    def _take_keys(self, shown: Shown) -> None:
        readable, _, _ = select.select([self._input], [], [], 0)
        if readable:
            data = self._read_input()
            self._is_open = bool(data)
            keys = self._keys.feed(data)
        else:
            keys = self._keys.flush()
        for key in keys:
            self._state = press(self._state, key, shown)
            # The next key of the same breath finds the rows that this one made.
            model = make_model(self._held.frame, self._state, self._terminal.size().columns)
            self._state = settled(self._state, model.rows, shown.page)
            shown = Shown(model.rows, shown.page, [c.key for c, _ in model.columns], shown.by_process)

    def _read_input(self) -> bytes:
        """Nothing where the terminal is gone."""
        try:
            return os.read(self._input, 4096)
        except OSError:
            return b""


def _shown(model: Model, page: int, seen: Seen) -> Shown:
    by_process = seen.frame is None or seen.frame.node.by_process
    return Shown(model.rows, page, [column.key for column, _ in model.columns], by_process)


class _LastWarning(logging.Handler):
    """Keeps the last warning, for a line of the screen: written to it, it would be in the way."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


@contextlib.contextmanager
def _warnings() -> Iterator[_LastWarning]:
    """Log to the screen's line, and to stderr only where that is not the terminal."""
    root, handler = logging.getLogger(), _LastWarning()
    before = root.handlers[:]
    root.handlers = [*([] if sys.stderr.isatty() else before), handler]
    try:
        yield handler
    finally:
        root.handlers = before
