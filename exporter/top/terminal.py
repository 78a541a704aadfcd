"""The terminal: taken over for a full-screen view, and given back as it was whatever happens."""

from __future__ import annotations

import contextlib
import os
import termios
import tty
from collections.abc import Sequence
from types import TracebackType

from exporter.top.view import Size

# xterm's alternate screen, cursor and line wrap: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE = "\x1b[m\x1b[?7h\x1b[?25h\x1b[?1049l"
_NO_SIZE = Size(80, 24)


class Terminal:
    """A context: inside, keys come one by one and unseen, and `show` draws on a screen of its own."""

    def __init__(self, input_fd: int, output_fd: int, encoding: str) -> None:
        self._input, self._output, self._encoding = input_fd, output_fd, encoding
        self._before = termios.tcgetattr(input_fd)
        self._drawn: Sequence[str] = ()
        self._drawn_size = _NO_SIZE

    def __enter__(self) -> Terminal:
        try:
            self.take()
        except BaseException:
            self.give_back()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.give_back()

    def take(self) -> None:
        """Take it over, also for a second time."""
        # Signals stay with the keys: Ctrl-C and Ctrl-Z do what they do.
        tty.setcbreak(self._input, termios.TCSADRAIN)
        self._drawn = ()
        self._write(_ENTER)

    def give_back(self) -> None:
        """As it was before; a terminal that is gone needs nothing."""
        with contextlib.suppress(OSError):
            self._write(_LEAVE)
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)

    def size(self) -> Size:
        """As it is now; 80 by 24 where nobody says."""
        try:
            found = os.get_terminal_size(self._output)
        except OSError:
            return _NO_SIZE
        return Size(found.columns or _NO_SIZE.columns, found.lines or _NO_SIZE.lines)

    def show(self, lines: Sequence[str], size: Size) -> None:
        """Draw what has changed; as many lines as the size has."""
        is_new = size != self._drawn_size or len(lines) != len(self._drawn)
        before = [None] * len(lines) if is_new else self._drawn
        changed = [
            f"\x1b[{i};1H\x1b[2K{line}"  # erased first: behind a full line the cursor is still in it
            for i, (line, old) in enumerate(zip(lines, before, strict=True), 1)
            if line != old
        ]
        self._drawn, self._drawn_size = tuple(lines), size
        if changed:
            self._write(("\x1b[2J" if is_new else "") + "".join(changed))

    def _write(self, text: str) -> None:
        data = text.encode(self._encoding, "replace")
        while data:
            data = data[os.write(self._output, data) :]
