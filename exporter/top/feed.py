"""Reads a source in the background, so that keys are answered while it measures or waits for a network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from exporter.top.frame import Frame, Source, Unanswered


@dataclass(frozen=True, slots=True)
class Read:
    """How one read went: a frame, or why there is none. seconds: of the monotonic clock."""

    frame: Frame | None
    problem: str
    seconds: float


class Feed:
    """One read per interval in a thread of its own, which closes the source at the end.

    told: called from that thread whenever there is something to take.
    """

    def __init__(self, source: Source, interval_seconds: float, told: Callable[[], None]) -> None:
        self._source, self._interval, self._told = source, interval_seconds, told
        self._reads: SimpleQueue[Read | Exception] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="top-feed", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def take(self) -> Read | None:
        """The oldest read that was not taken. Raises what a bug raised in the thread."""
        try:
            found = self._reads.get_nowait()
        except Empty:
            return None
        if isinstance(found, Exception):
            raise found
        return found

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
                self._reads.put(self._read())
                self._told()
                due = max(due + self._interval, time.monotonic())
                self._stopping.wait(max(0.0, due - time.monotonic()))
        except Exception as error:  # noqa: BLE001  take raises it again
            self._reads.put(error)
            self._told()
        finally:
            self._source.close()

    def _read(self) -> Read:
        try:
            frame = self._source.read()
        except Unanswered as error:
            return Read(None, str(error), time.monotonic())
        return Read(frame, "", time.monotonic())
