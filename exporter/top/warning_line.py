"""What is logged while the terminal is a screen: it would be written across it."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator


class LastWarning(logging.Handler):
    """Keeps the last warning, for a line of the screen."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.text = record.getMessage()


@contextlib.contextmanager
def last_warning() -> Iterator[LastWarning]:
    """Log to the screen's line, and to stderr only where that is not the terminal."""
    root, handler = logging.getLogger(), LastWarning()
    before = root.handlers[:]
    root.handlers = [*([] if sys.stderr.isatty() else before), handler]
    try:
        yield handler
    finally:
        root.handlers = before
