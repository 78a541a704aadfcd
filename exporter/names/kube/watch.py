"""The pods of a node as the API server tells them: listed once, then watched."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from exporter.names.kube.client import Client, Timeouts
from exporter.names.kube.events import PodEvents
from exporter.names.kube.failure import Failure
from exporter.names.kube.health import PodHealth
from exporter.names.kube.lines import LineSplitter
from exporter.names.kube.listing import read_list
from exporter.names.kube.pod_store import PodStore

_PATH = "/api/v1/pods"


@dataclass(frozen=True, slots=True)
class WatchTimes:
    """In seconds. watch: for how long the server is asked to watch, up to a quarter less at random.

    silence: longer than a watch without an event may last, so that a server which no longer answers is
    noticed and one with nothing to tell is left in peace. rest: after each wait for events, so that they come
    in batches: 100 pods a second cost a wake-up a second. shortest: a watch that ends sooner, and without a
    word, is a failure.
    """

    watch: float = 120.0
    silence: float = 135.0
    rest: float = 1.0
    shortest: float = 1.0


class WatchedPods:
    """A PodSource. node: whose pods; labels: the pod labels that are wanted; page: pods a request lists.

    Lists again only where it must: at the start, after 410 Gone, and after an answer that made no sense.
    """

    looks_again = False

    def __init__(
        self,
        client: Client,
        node: str,
        labels: Sequence[str],
        times: WatchTimes | None = None,
        page: int = 250,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._labels, self._page, self._clock = client, labels, page, clock
        self._times = times or WatchTimes()
        self._selector = {"fieldSelector": f"spec.nodeName={node}"}
        self._version: str | None = None
        self._stopping = threading.Event()

    def step(self, store: PodStore, health: PodHealth) -> float:
        """List if need be, then watch until the server has had enough; it is asked again at once."""
        try:
            if self._version is None:
                self._version = self._list(store, health)
            self._watch(store, health, self._version)
        except Failure as failure:
            if failure.reason in ("gone", "malformed"):
                self._version = None
            raise
        return 0.0

    def renew(self) -> bool:
        """Whether the token is another by now."""
        return self._client.renew()

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def abort(self) -> None:
        """End the watch."""
        self._stopping.set()
        self._client.abort()

    def _list(self, store: PodStore, health: PodHealth) -> str:
        every: set[str] = set()
        token = ""
        while True:
            query = {**self._selector, "limit": str(self._page)} | ({"continue": token} if token else {})
            with self._client.get(_PATH, query, Timeouts()) as chunks:
                seen, metadata = read_list(chunks, store, self._labels, health)
            every |= seen
            version, token = metadata.get("resourceVersion"), str(metadata.get("continue") or "")
            if not isinstance(version, str) or not version:
                raise Failure("malformed", "the list of pods has no resource version")
            if not token:
                break
        store.keep_only(every)
        health.answered()
        return version

    def _watch(self, store: PodStore, health: PodHealth, version: str) -> None:
        began, events = self._clock(), PodEvents(store, self._labels, version)
        query = {
            **self._selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(self._times.watch * random.uniform(0.75, 1)))),  # noqa: S311
        }
        try:
            with self._client.get(_PATH, query, Timeouts(read=self._times.silence)) as chunks:
                health.answered()
                self._follow(chunks, events)
        finally:
            events.flush()
            health.malformed(events.malformed)
            self._version = events.version
        if events.version == version and self._clock() - began < self._times.shortest:
            raise Failure("connection", "the watch ended at once")

    def _follow(self, chunks: Iterator[bytes], events: PodEvents) -> None:
        lines, has_waited = LineSplitter(), False
        for chunk in chunks:
            if not chunk:
                events.flush()
                has_waited = True
                continue
            for line in filter(None, lines.feed(chunk)):
                events.take(line)
            if has_waited:
                self._stopping.wait(self._times.rest)
                has_waited = False
        lines.finish()
