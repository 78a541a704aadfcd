"""Logging: one line an entry, to stderr."""

from __future__ import annotations

import json
import logging
import sys
import time


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ours, so that a second set-up replaces the first and leaves the handlers of others alone."""


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002
        return _timestamp(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        copied = logging.makeLogRecord(record.__dict__)  # other handlers see the record, too
        copied.levelname = record.levelname.lower()
        return super().formatMessage(copied)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "component": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up_logging(level: str, log_format: str) -> None:
    """Log to stderr from this level (debug, info, warning, error) on; log_format: text or json.

    A second call replaces what the first set up.
    """
    handler = _Handler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    root = logging.getLogger()
    for other in [found for found in root.handlers if isinstance(found, _Handler)]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level.upper())


def _timestamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"
