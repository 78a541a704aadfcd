"""The DeviceDirectory of a host with a kubelet: a thread that asks it, and answers that never wait."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Protocol

from exporter.names.devices.pod_resources import LIST, Holding, holdings
from exporter.names.kube.backoff import Backoff
from exporter.names.kube.failure import Failure
from exporter.names.kube.health import PodHealth
from exporter.names.pods import DirectoryStatus, PodDirectory

# The kubelet answers at most 10 calls at once and 100 a second, to all who ask: dcgm-exporter is another.
INTERVAL_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
# Devices of a pod that is over are told of for a while by some kubelets, until it is deleted by others.
_OVER = frozenset({"Succeeded", "Failed"})


class Call(Protocol):
    """A method of a service and a request, to its answer. `abort` ends it from another thread."""

    def __call__(self, method: str, request: bytes = b"") -> bytes:
        """The answer's message. Raises Failure."""

    def abort(self) -> None:
        """End the call that is under way."""


class FollowedDevices:
    """What the kubelet last said; asked in a daemon thread from `start` on.

    The kubelet tells pods by name: `pods` says which UID a name has now. While the kubelet is silent, what it
    last said holds, of pods that are still there.
    """

    def __init__(
        self,
        call: Call,
        pods: PodDirectory,
        health: PodHealth,
        interval_seconds: float = INTERVAL_SECONDS,
        backoff: Backoff | None = None,
    ) -> None:
        self._call, self._pods, self._health = call, pods, health
        self._interval_seconds, self._backoff = interval_seconds, backoff or Backoff()
        self._held: frozenset[Holding] = frozenset()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="devices", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def holders(self) -> Mapping[str, tuple[str, ...]]:
        """UIDs by device."""
        return _grouped((holding.device, uid) for holding, uid in self._living())

    def of(self, pod_uid: str) -> tuple[str, ...]:
        """Devices of one pod."""
        return tuple(sorted({holding.device for holding, uid in self._living() if uid == pod_uid}))

    def containers(self, pod_uid: str) -> tuple[str, ...]:
        """Containers of one pod that hold a device."""
        return tuple(sorted({holding.container for holding, uid in self._living() if uid == pod_uid}))

    def status(self) -> DirectoryStatus:
        """Errors by reason, all of them from the start on."""
        pods = len({(holding.namespace, holding.pod) for holding in self._held})
        return DirectoryStatus(dict(self._health.errors), self._health.is_current, pods)

    def close(self) -> None:
        """End the thread, also amid a call."""
        self._stopping.set()
        self._call.abort()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)

    def _living(self) -> list[tuple[Holding, str]]:
        found = ((holding, self._pods.named(holding.namespace, holding.pod)) for holding in self._held)
        return [(holding, info.uid) for holding, info in found if info and info.phase not in _OVER]

    def _follow(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self._ask())

    def _ask(self) -> float:
        """One call; how many seconds until the next."""
        try:
            self._held = self._list()
        except Failure as failure:
            return self._failed(failure)
        except Exception as error:  # noqa: BLE001  a mistake of ours costs an answer, not the thread
            mistake = Failure("internal", f"{type(error).__name__}: {error}")
            mistake.__cause__ = error
            return self._failed(mistake)
        self._health.answered()
        self._backoff.reset()
        return self._interval_seconds

    def _list(self) -> frozenset[Holding]:
        answer = self._call(LIST)
        try:
            return holdings(answer)
        except ValueError as error:
            raise Failure("malformed", f"the answer is no list of devices: {error}") from error

    def _failed(self, failure: Failure) -> float:
        if self._stopping.is_set():
            return 0.0
        delay = self._backoff.delay()
        self._health.failed(failure, delay)
        return delay


def _grouped(pairs: Iterable[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    """The second of each pair by the first, each once and in order."""
    found: dict[str, set[str]] = {}
    for device, uid in pairs:
        found.setdefault(device, set()).add(uid)
    return {device: tuple(sorted(uids)) for device, uids in found.items()}
