"""A provider that is asked in the background: the last good value stays in force, whatever it does."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ebpf.state_log import StateLog
from exporter.errors import GridError
from exporter.tariffs.http import REASONS
from exporter.tariffs.intensity import FeedStatus, GridIntensity, Intensity
from exporter.tariffs.providers import Provider, Reading

log = logging.getLogger("exporter.grid")

FIRST_RETRY_SECONDS = 60.0
_JITTER = 0.1  # so that a thousand nodes that began together do not ask together
_MAX_STEPS = 64


@dataclass(frozen=True, slots=True)
class Step:
    """A value and since when it is in force, in seconds of the monotonic clock."""

    since: float
    grams_per_kwh: float


@dataclass(frozen=True, slots=True)
class _State:
    """What the tick reads; replaced as a whole by the thread that asks."""

    steps: tuple[Step, ...] = ()
    unix_seconds: float | None = None  # what the last good value holds from


class GridFeed:
    """A GridIntensity from a provider. Until its first good value the fallback's counts, under its own name.

    A value is in force from the moment it came; before the first, and for that time, it is the fallback's.
    refresh_seconds: how long after an answer it is asked again; sooner after a failure, but not within a
    minute or before the provider's Retry-After. clock and unix_clock: seconds, monotonic and since 1970.
    """

    def __init__(
        self,
        provider: Provider,
        fallback: GridIntensity,
        refresh_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self._provider, self._fallback, self._refresh = provider, fallback, refresh_seconds
        self._clock, self._unix_clock = clock, unix_clock
        self._state = _State()
        self._errors = dict.fromkeys(REASONS, 0)
        self._failures = 0
        self._told = StateLog(
            log,
            f"{provider.name}: the last value stays in force",
            f"{provider.name} answers again",
            logging.WARNING,
        )
        self._began = unix_clock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="grid", daemon=True)

    def start(self) -> GridFeed:
        """Begin to ask; returns itself."""
        self._thread.start()
        return self

    def mean(self, seconds: float) -> float:
        """See GridIntensity."""
        steps, now = self._state.steps, self._clock()
        if not steps or seconds <= 0:
            return steps[-1].grams_per_kwh if steps else self._fallback.mean(seconds)
        return _mean(steps, now - seconds, now, self._fallback.mean(seconds))

    def now(self) -> Intensity:
        """See GridIntensity."""
        steps = self._state.steps
        if not steps:
            return self._fallback.now()
        return Intensity(steps[-1].grams_per_kwh, self._provider.zone, self._provider.name)

    def status(self) -> FeedStatus:
        """See GridIntensity."""
        since = self._state.unix_seconds
        age = self._unix_clock() - (self._began if since is None else since)
        return FeedStatus(self._provider.name, max(0.0, age), dict(self._errors))

    def close(self) -> None:
        """Stop asking. A request under way is not waited for: it ends with its time limit, or the process."""
        self._stop.set()

    def ask(self) -> float:
        """Ask once; after how many seconds to ask again. Never raises."""
        try:
            self._take(self._provider.fetch())
            self._failures = 0
            self._told.enter("")
            return self._refresh
        except GridError as error:
            self._count(error.reason, str(error))
            return max(self._back_off(), error.retry_after_seconds)
        except Exception as error:
            # What nobody thought of must not end the thread; its text could hold what must not be logged.
            self._count("internal", type(error).__name__)
            log.debug("asking %s failed", self._provider.name, exc_info=True)
            return self._back_off()

    def _run(self) -> None:
        delay = 0.0
        while not self._stop.wait(delay):
            delay = self.ask() * random.uniform(1.0, 1.0 + _JITTER)  # noqa: S311  spreads load, keeps no secret

    def _take(self, reading: Reading) -> None:
        steps, now = self._state.steps, self._clock()
        if not steps or steps[-1].grams_per_kwh != reading.grams_per_kwh:
            steps = _trimmed((*steps, Step(now, reading.grams_per_kwh)))
        unix = self._unix_clock()
        self._state = _State(steps, unix if reading.unix_seconds is None else min(unix, reading.unix_seconds))

    def _back_off(self) -> float:
        """A minute, then twice as long each time, up to the refresh."""
        return min(self._refresh, FIRST_RETRY_SECONDS * 2.0 ** min(self._failures - 1, 20))

    def _count(self, reason: str, message: str) -> None:
        self._errors[reason] += 1
        self._failures += 1
        self._told.enter(reason, message)


def _mean(steps: tuple[Step, ...], begin: float, end: float, before: float) -> float:
    """The mean of the steps from begin to end; `before` holds ahead of the first."""
    edges = [step.since for step in steps]
    values = [before, *(step.grams_per_kwh for step in steps)]
    weighted = 0.0
    for value, since, until in zip(values, [begin, *edges], [*edges, end], strict=True):
        weighted += value * max(0.0, min(until, end) - max(since, begin))
    return weighted / (end - begin)


def _trimmed(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """At most _MAX_STEPS, the newest; the oldest of them reaches back to where the first began."""
    if len(steps) <= _MAX_STEPS:
        return steps
    oldest, *rest = steps[-_MAX_STEPS:]
    return (Step(steps[0].since, oldest.grams_per_kwh), *rest)
