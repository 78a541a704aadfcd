"""The thread that pushes: what the last tick published, at each interval, whatever the endpoint does."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from ebpf.state_log import StateLog
from exporter.metrics import families as f
from exporter.metrics.exposition import Family
from exporter.otlp.outcome import PushCounts, PushFailed
from exporter.otlp.snapshot import Snapshot, snapshot_of

log = logging.getLogger("exporter.otlp")

FLUSH_SECONDS = 3.0
_JITTER = 0.1  # so that a thousand nodes that began together do not push together


class Sends(Protocol):
    """What pushes one snapshot, and can be told to give up."""

    def push(self, requests_: Iterable[Any]) -> None:
        """Raises PushFailed."""

    def close(self) -> None:
        """End what is under way."""


class Pusher:
    """Shows ticks (see serving.publisher.Outlet) to an endpoint, in a thread of its own.

    Only the newest snapshot is held: sums are cumulative, so one that was never pushed is made up for by the
    next, as long as its rows are there (monitor.terminatedTTL). requests: maps a snapshot to what is sent.
    """

    def __init__(
        self,
        sender: Sends,
        requests: Callable[[Snapshot], Iterable[Any]],
        interval_seconds: float,
        node_name: str,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.counts = PushCounts()
        self._sender, self._requests, self._interval = sender, requests, interval_seconds
        self._node, self._clock_ns = node_name, clock_ns
        self._snapshot: Snapshot | None = None
        self._pushed: Snapshot | None = None
        self._told = StateLog(
            log,
            "counters are not pushed, the next push makes up for it",
            "counters are pushed again",
            logging.WARNING,
        )
        self._first, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)

    def start(self) -> None:
        """Begin to push, with the first tick that is shown."""
        self._thread.start()

    def show(self, families: Sequence[Family]) -> None:
        """Have the next push take these."""
        self._snapshot = snapshot_of(families, self._clock_ns())
        self._first.set()

    def families(self) -> list[Family]:
        """What it says of itself."""
        errors = self.counts.errors
        return [
            f.OTLP_PUSHES.family([(self._node,)], [float(self.counts.pushed)]),
            f.OTLP_ERRORS.family(
                [(self._node, reason) for reason in errors], list(map(float, errors.values()))
            ),
        ]

    def push(self) -> None:
        """Push what was shown last, unless it has been; never raises."""
        snapshot = self._snapshot
        if snapshot is None or snapshot is self._pushed:
            return
        try:
            self._sender.push(self._requests(snapshot))
        except PushFailed as failed:
            if failed.reason == "rejected":  # it has what it takes: by the protocol none is sent it again
                self._pushed = snapshot
            self._count(failed.reason, str(failed))
        except Exception as error:
            # What nobody thought of must not end the thread; its text could hold what must not be logged.
            self._count("internal", type(error).__name__)
            log.debug("the push failed", exc_info=True)
        else:
            self._pushed = snapshot
            self.counts.pushed += 1
            self._told.enter("")

    def close(self) -> None:
        """Push what is left; what takes longer than FLUSH_SECONDS is given up."""
        self._stop.set()
        self._first.set()
        if self._thread.is_alive():
            self._thread.join(FLUSH_SECONDS)
        if self._thread.is_alive():
            log.warning("the last push does not end within %.0f s: stopping without it", FLUSH_SECONDS)
        self._sender.close()

    def _run(self) -> None:
        self._first.wait()
        self.push()
        while not self._stop.wait(self._interval * random.uniform(1.0 - _JITTER, 1.0)):  # noqa: S311  no secret
            self.push()
        self.push()

    def _count(self, reason: str, message: str) -> None:
        self.counts.errors[reason] += 1
        self._told.enter(reason, message)
