"""The PodDirectory of a host with Kubernetes: a thread that follows a source, and answers that never wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from exporter.names.kube.backoff import Backoff
from exporter.names.kube.failure import Failure
from exporter.names.kube.health import PodHealth
from exporter.names.kube.pod_store import PodStore
from exporter.names.kube.source import PodSource
from exporter.names.pods import CONTAINER_ID_DIGITS, DirectoryStatus, PodInfo

# So long does a row wait for its names (Lifetimes.naming_seconds): nobody needs an answer after that. Some
# keys are in no list, as a pod's sandbox, and would be asked for again and again.
ASK_SECONDS, _MAX_ASKED = 30.0, 10_000


@dataclass(frozen=True, slots=True)
class FollowTimes:
    """In seconds. gap: between two looks for the sake of an unknown pod. worked: an exchange that lasted as
    long as this did work, whatever ended it: waiting begins anew with the shortest time. close: how long
    close() waits for the thread.
    """

    gap: float = 1.0
    worked: float = 10.0
    close: float = 2.0


class FollowedPods:
    """A PodDirectory over a source, which is asked in a daemon thread from `start` on.

    The thread outlives every failure: it is counted, told by `health`, and tried again after a while.
    """

    def __init__(
        self,
        source: PodSource,
        health: PodHealth,
        backoff: Backoff | None = None,
        times: FollowTimes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._health = source, health
        self._backoff, self._times, self._clock = backoff or Backoff(), times or FollowTimes(), clock
        self._store = PodStore(clock)
        self._asked: dict[str, float] = {}
        self._wanted, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="pods", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def lookup(self, key: str) -> PodInfo | None:
        """What is known now; where it is nothing, the source is asked again soon."""
        info = self._store.find(key)
        if info or len(key) != CONTAINER_ID_DIGITS:  # containers may well be in no pod
            self._health.looked_up(is_known=info is not None, pods=len(self._store))
        if info is None and self._source.looks_again and self._is_worth_asking(key):
            self._wanted.set()
        return info

    def named(self, namespace: str, name: str) -> PodInfo | None:
        """What is known now; nobody is asked."""
        return self._store.named(namespace, name)

    def status(self) -> DirectoryStatus:
        """Errors by reason, all of them from the start on."""
        return DirectoryStatus(dict(self._health.errors), self._health.is_current, len(self._store))

    def close(self) -> None:
        """End the thread, also amid a request."""
        self._stopping.set()
        self._wanted.set()
        self._source.abort()
        if self._thread.is_alive():
            self._thread.join(self._times.close)

    def _is_worth_asking(self, key: str) -> bool:
        now = self._clock()
        first = self._asked.setdefault(key, now)
        if len(self._asked) > _MAX_ASKED:
            del self._asked[next(iter(self._asked))]
        return now - first < ASK_SECONDS

    def _run(self) -> None:
        try:
            self._follow()
        finally:
            self._source.close()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            began = self._clock()
            try:
                self._exchange(began)
            except Exception as error:  # noqa: BLE001  a mistake of ours costs names, not the thread
                mistake = Failure("internal", f"{type(error).__name__}: {error}")
                mistake.__cause__ = error
                self._failed(mistake, began)

    def _exchange(self, began: float) -> None:
        try:
            seconds = self._source.step(self._store, self._health)
        except Failure as failure:
            is_renewed = failure.reason == "unauthorized" and self._source.renew()
            self._failed(failure, began, is_renewed=is_renewed)
        else:
            self._backoff.reset()
            self._wait(seconds, began)

    def _wait(self, seconds: float, began: float) -> None:
        """Until the next look is due, or wanted."""
        if seconds > 0:
            self._stopping.wait(max(0.0, began + self._times.gap - self._clock()))
            if not self._stopping.is_set():
                self._wanted.wait(max(0.0, began + seconds - self._clock()))
            self._wanted.clear()

    def _failed(self, failure: Failure, began: float, *, is_renewed: bool = False) -> None:
        if self._stopping.is_set():
            return
        if self._clock() - began >= self._times.worked:
            self._backoff.reset()
        delay = 0.0 if is_renewed else self._backoff.delay(failure.retry_after_seconds)
        self._health.failed(failure, delay)
        self._stopping.wait(delay)
