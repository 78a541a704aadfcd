"""A meter that may take long, read in a thread of its own: no tick waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence, Set

from estimator.meters.port import MeterError, PowerMeter, ZoneReading

log = logging.getLogger(__name__)

_LONGEST_RETRY_SECONDS = 300.0


class BackgroundMeter:
    """A PowerMeter over one that blocks: what it read last is handed out once, in the tick after.

    open_meter: makes the meter, in the thread; tried again, ever more rarely, while it raises. So is a read
    that raises; each tick says so until one has worked. period_seconds: between two reads. deadline_seconds:
    a read that takes longer is an error in each tick until it ends; nothing can end it. zones: those that it
    will have; others are known once read.
    The thread starts with the first read, by when the process has given up the capabilities that it does not
    need; what needs them opens before.
    """

    def __init__(
        self,
        name: str,
        open_meter: Callable[[], PowerMeter],
        period_seconds: float,
        deadline_seconds: float,
        *,
        zones: Set[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.errors: Sequence[MeterError] = ()
        self._open_meter, self._clock = open_meter, clock
        self._period_seconds, self._deadline_seconds = period_seconds, deadline_seconds
        self._zones = frozenset(zones)
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._readings: dict[str, ZoneReading] = {}
        self._failures: dict[str, MeterError] = {}
        self._trouble = ""
        self._busy_since: float | None = None

    @property
    def zones(self) -> Set[str]:
        """Those that were named, and those that were read."""
        return self._zones

    def read(self) -> list[ZoneReading]:
        """What has come since the last call; what failed since, and that it hangs, is in `errors`."""
        self._start()
        with self._lock:
            readings, self._readings = list(self._readings.values()), {}
            failures, self._failures = list(self._failures.values()), {}
            trouble = self._hangs() or self._trouble
        self.errors = [*failures, MeterError(self.name, trouble, False)] if trouble else failures
        return readings

    def close(self) -> None:
        """Let the thread end once it can; a meter that hangs is left to hang."""
        self._ended.set()

    def _hangs(self) -> str:
        busy_since = self._busy_since
        if busy_since is None or self._clock() - busy_since <= self._deadline_seconds:
            return ""
        return "does not answer: waiting for it, ticks go on"

    def _start(self) -> None:
        if self._thread is None and not self._ended.is_set():
            self._thread = threading.Thread(target=self._run, name=f"meter-{self.name}", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        meter: PowerMeter | None = None
        failed = 0
        while not self._ended.is_set():
            try:
                self._busy_since = self._clock()
                meter = meter or self._open_meter()
                self._keep(meter.read(), meter.errors)
                failed = 0
            except (
                Exception
            ) as error:  # a meter's library may raise anything, and a thread that ended is mute
                failed += 1
                log.debug("%s cannot be read", self.name, exc_info=True)
                self._trouble = f"cannot be read: {error}"
            finally:
                self._busy_since = None
            self._ended.wait(min(self._period_seconds * 2 ** min(failed, 16), self._rarest_seconds))
        if meter is not None:
            meter.close()

    @property
    def _rarest_seconds(self) -> float:
        return max(self._period_seconds, _LONGEST_RETRY_SECONDS)

    def _keep(self, readings: Sequence[ZoneReading], failures: Sequence[MeterError]) -> None:
        """A zone that failed since its last reading was handed out has its reading still."""
        with self._lock:
            self._trouble = ""
            self._readings.update((reading.path, reading) for reading in readings)
            self._failures.update((failure.path, failure) for failure in failures)
            self._zones |= {reading.zone for reading in readings}
