"""A board's meter that is slow: read in a thread, it answers when let, hangs, errs, or gives watts alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from estimator.meters.background import BackgroundMeter
from estimator.meters.integrated import IntegratedCounter
from estimator.meters.port import MeterError, ZoneReading

PATH = "board"
PERIOD_SECONDS, DEADLINE_SECONDS = 60.0, 90.0
_WAITED_SECONDS = 30.0
_LONGEST_NS = 5 * PERIOD_SECONDS * 1e9  # a hole in watts


class Board:
    """What the whole machine draws. gives_watts: the mean since the last answer rather than a counter, which
    this process integrates. hanging, failing: how many of the next answers do not come, or are errors.

    drawn_joules: since the world began; answered_joules: by the last answer. is_in_doubt: since all was calm
    something befell it that costs energy.
    """

    def __init__(self, *, gives_watts: bool) -> None:
        self.gives_watts = gives_watts
        self.drawn_joules = self.answered_joules = 0.0
        self.hanging = self.failing = 0
        self._answered_ns: int | None = None
        self.is_in_doubt = True
        self._inner: _Inner | None = None
        self._meter: BackgroundMeter | None = None

    def draw(self, joules: float) -> None:
        self.drawn_joules += joules

    def meter(self, clock: Callable[[], float]) -> BackgroundMeter:
        """A new process's."""
        counter = IntegratedCounter("platform", None, PATH, PERIOD_SECONDS, is_mean=True)
        inner = self._inner = _Inner(counter if self.gives_watts else None)
        self._meter = BackgroundMeter("redfish", lambda: inner, 1e-4, DEADLINE_SECONDS, clock=clock)
        return self._meter

    def stop(self) -> None:
        """The process ends, and its thread with it."""
        if self._inner is not None:
            self._inner.stop()

    def answer(self, boottime_ns: int, *, at_once: bool = False) -> None:
        """Let the thread read, where its time has come, and wait until what it read is there to be taken."""
        inner, meter = self._inner, self._meter
        since_ns = boottime_ns - (self._answered_ns or 0)
        if inner is None or meter is None or meter._thread is None:
            return
        if since_ns < PERIOD_SECONDS * 1e9 and not at_once:
            return
        if self.hanging:
            self.hanging -= 1
            return
        if self.failing:
            self.failing -= 1
            inner.let(OSError(110, "Connection timed out"))
            return
        self.is_in_doubt |= self.gives_watts and since_ns > _LONGEST_NS
        watts = 1e9 * (self.drawn_joules - self.answered_joules) / max(since_ns, 1)
        self._answered_ns, self.answered_joules = boottime_ns, self.drawn_joules
        inner.let((self.drawn_joules, watts, boottime_ns))


class _Inner:
    """Waits in the thread for what it is to answer."""

    name = "redfish"
    zones = frozenset({"platform"})

    def __init__(self, counter: IntegratedCounter | None) -> None:
        self.errors: Sequence[MeterError] = ()
        self._counter = counter
        self._waits, self._go = threading.Semaphore(0), threading.Semaphore(0)
        self._answer: OSError | tuple[float, float, int] = OSError()

    def read(self) -> list[ZoneReading]:
        self._waits.release()
        self._go.acquire()
        if isinstance(self._answer, OSError):
            raise self._answer
        joules, watts, boottime_ns = self._answer
        if self._counter is None:
            return [ZoneReading("platform", None, PATH, round(joules * 1e6), 2**62, boottime_ns)]
        failure = self._counter.take(watts, boottime_ns)
        self.errors = [failure] if failure else []
        reading = self._counter.reading()
        return [reading] if reading else []

    def let(self, answer: OSError | tuple[float, float, int]) -> None:
        """Have it answer; what it read is kept once it waits again."""
        assert self._waits.acquire(timeout=_WAITED_SECONDS)
        self._answer = answer
        self._go.release()
        assert self._waits.acquire(timeout=_WAITED_SECONDS)
        self._waits.release()

    def stop(self) -> None:
        self._answer = OSError("the process ended")
        self._go.release()

    def close(self) -> None:
        """There is nothing to let go of."""
