"""Reads a source in the background, so that keys are answered while it measures or waits for a network.

A thread of its own and no worker of textual's: asyncio waits for those, and a read of a network that hangs
would hold up who wants to leave.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from exporter.top.frame import Frame, Source, Unanswered


@dataclass(frozen=True, slots=True)
class Read:
    """How one read went: a frame, or why there is none. seconds: of the monotonic clock."""

    frame: Frame | None
    problem: str
    seconds: float


class Feed:
    """One read per interval, which `tell` is called with; the thread closes the source at the end.

    tell: called from that thread; with an exception, the last time, where a bug raised one.
    """

    def __init__(
        self, source: Source, interval_seconds: float, tell: Callable[[Read | Exception], object]
    ) -> None:
        self._source, self._interval, self._tell = source, interval_seconds, tell
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="top-feed", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End it; a read that may take long is left to end by itself, with the process."""
        self._stopping.set()
        if self._thread.ident is None:
            self._source.close()
        else:
            self._thread.join(timeout=None if self._source.waits else 0.0)

    def _run(self) -> None:
        try:
            due = time.monotonic()
            while not self._stopping.is_set():
                self._tell(self._read())
                due = max(due + self._interval, time.monotonic())
                self._stopping.wait(max(0.0, due - time.monotonic()))
        except Exception as error:  # noqa: BLE001  whoever is told raises it again
            self._tell(error)
        finally:
            self._source.close()

    def _read(self) -> Read:
        try:
            frame = self._source.read()
        except Unanswered as error:
            return Read(None, str(error), time.monotonic())
        return Read(frame, "", time.monotonic())
