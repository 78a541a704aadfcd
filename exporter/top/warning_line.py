"""What is logged while the terminal is a screen: it would be written across it."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

# Who says at the start what cannot be had: lacking.py has one line for all of it.
_TOLD_IN_ONE = ("ebpf", "exporter.power", "exporter.processes")


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


@contextlib.contextmanager
def without_preliminaries() -> Iterator[None]:
    """Log neither what is chosen at the start nor what cannot be had; errors, and with debug everything."""
    root = logging.getLogger()
    handlers = [] if root.isEnabledFor(logging.DEBUG) else root.handlers[:]
    for handler in handlers:
        handler.addFilter(_is_worth_a_line)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_is_worth_a_line)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or record.name not in _TOLD_IN_ONE
