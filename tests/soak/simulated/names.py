"""An API server without a network: what it tells is parsed and kept by the code that watches a real one."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from exporter.names.kube.backoff import Backoff
from exporter.names.kube.events import PodEvents
from exporter.names.kube.failure import Failure
from exporter.names.kube.follower import FollowedPods
from exporter.names.kube.health import PodHealth
from exporter.names.kube.listing import read_list
from exporter.names.kube.pod_store import PodStore
from tests.soak.simulated.clock import Clock

LABELS = ("app",)
_WAITED_SECONDS = 60.0


class ApiServer:
    """The pods that it knows, and what it has to tell since it was last asked.

    is_out: whoever asks gets no answer. Events of that time are told afterwards, or all is listed anew.
    """

    def __init__(self) -> None:
        self.is_out = False
        self._pods: dict[str, dict[str, Any]] = {}
        self._events: list[bytes] = []
        self._version = 1

    def put(self, pod: dict[str, Any]) -> None:
        """A pod is new, or has changed."""
        uid = pod["metadata"]["uid"]
        self._tell("MODIFIED" if uid in self._pods else "ADDED", pod)
        self._pods[uid] = pod

    def remove(self, uid: str) -> None:
        """A pod is gone, if it was known."""
        if uid in self._pods:
            self._tell("DELETED", self._pods.pop(uid))

    def events(self) -> Sequence[bytes]:
        """What has happened since the last call; nothing of it is told again."""
        told, self._events = self._events, []
        return told

    def list(self) -> bytes:
        """Every pod that there is; what happened before is in it."""
        self._events = []
        listed = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(self._version)}}
        return json.dumps({**listed, "items": list(self._pods.values())}).encode()

    def _tell(self, kind: str, pod: Mapping[str, Any]) -> None:
        self._version += 1
        first = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        metadata = {**first, "resourceVersion": str(self._version), **pod["metadata"]}
        metadata["resourceVersion"] = str(self._version)
        written = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata}
        event = {"type": kind, "object": {**written, "spec": pod["spec"], "status": pod["status"]}}
        self._events.append(json.dumps(event, separators=(",", ":")).encode())


class Watching:
    """A PodSource in the follower's own thread, which gets on when `look` lets it, and by one exchange."""

    looks_again = False

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._is_listed = self._ends = False
        self._waits, self._go = threading.Semaphore(0), threading.Semaphore(0)

    def step(self, store: PodStore, health: PodHealth) -> float:
        """See PodSource."""
        self._waits.release()
        self._go.acquire()
        if self._ends or self._server.is_out:
            raise Failure("connection", "no connection")
        if not self._is_listed:
            seen, _ = read_list([self._server.list()], store, LABELS, health)
            store.keep_only(seen)
            self._is_listed = True
        else:
            events = PodEvents(store, LABELS, "1")
            for line in self._server.events():
                events.take(line)
            events.flush()
            health.malformed(events.malformed)
        health.answered()
        return 0.0

    def look(self) -> None:
        """Have it exchange once, and wait until it has."""
        self._wait()
        self._go.release()
        self._wait()
        self._waits.release()

    def forget_version(self) -> None:
        """410 Gone: everything is listed anew."""
        self._is_listed = False

    def renew(self) -> bool:
        """See PodSource."""
        return False

    def close(self) -> None:
        """See PodSource."""

    def abort(self) -> None:
        """See PodSource."""
        self._ends = True
        self._go.release()

    def _wait(self) -> None:
        if not self._waits.acquire(timeout=_WAITED_SECONDS):
            raise TimeoutError("the thread that follows the pods has ended")


def followed(source: Watching, clock: Clock) -> FollowedPods:
    """A directory over it whose waiting takes no time."""
    health = PodHealth("the API server", clock.seconds)
    directory = FollowedPods(source, health, Backoff(0.0, 0.0), clock=clock.seconds)
    directory.start()
    return directory
