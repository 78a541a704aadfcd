"""Pods that come and go, in the cgroup tree and at an API server that is not always there."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import uuid
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.exporter.names.kube.kube_server import KubeServer, hang, hang_amid, pod, status, stream
from tests.live.sandbox import Cgroup
from tests.soak.cgroups import end, work

MOST_ALIVE = 12
_FAULTS = {
    "401": status(401), "403": status(403), "410": status(410), "500": status(500),
    "429": status(429, Retry_After="1"), "200 and nonsense": status(200, b"<html>"),
    "a broken line": stream(b'{"type":"ADDED","obj\n'), "cut off": stream(b'{"type":', is_cut=True),
    "hangs": hang, "hangs amid": hang_amid,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunningPod:
    """uid: of the pod. described: as the API server writes it."""

    uid: str
    group: Cgroup
    process: subprocess.Popen[bytes]
    described: dict[str, Any]


class Pods:
    """A kubelet's work: cgroups of pods, and what the API server says of them before, meanwhile or never."""

    name, pause = "pods", (0.2, 2.0)

    def __init__(self, parent: Cgroup, server: KubeServer) -> None:
        self._parent, self._server = parent, server
        self._alive: list[RunningPod] = []
        self._known: set[str] = set()
        self._n = 0

    @property
    def named(self) -> set[str]:
        """Uids of pods that run and that the API server knows."""
        return {each.uid for each in self._alive if each.uid in self._known}

    def step(self, rng: Random, stopping: threading.Event) -> str:
        if len(self._alive) >= MOST_ALIVE or (self._alive and rng.random() < 0.4):
            self._remove(self._alive.pop(rng.randrange(len(self._alive))), rng)
            return "removed"
        if self._alive and rng.random() < 0.3:
            self._tell("MODIFIED", rng.choice(self._alive))
            return "changed"
        self._add(rng)
        return "made"

    def settle(self) -> None:
        """Those that run stay; all are known."""
        for each in self._alive:
            self._tell("MODIFIED", each)

    def close(self) -> None:
        for each in self._alive:
            end(each.process)
            each.group.remove()

    def _add(self, rng: Random) -> None:
        self._n += 1
        container = rng.getrandbits(256)
        uid = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        described = pod(self._n, container, name=f"pod-{self._n}", uid=uid)
        known = rng.choice(("before", "after", "after", "never"))
        if known == "before":
            self._server.change("ADDED", described)
            self._known.add(uid)
        top = self._parent.child(f"pod{uid}").make()
        group = top.child(f"{container:064x}").make()
        made = RunningPod(uid, top, work(group, loops=rng.randrange(20_000)), described)
        self._alive.append(made)
        if known == "after":
            self._tell("ADDED", made)

    def _tell(self, kind: str, made: RunningPod) -> None:
        self._server.change(kind, made.described)
        self._known.add(made.uid)

    def _remove(self, made: RunningPod, rng: Random) -> None:
        told_first = rng.random() < 0.5
        if told_first and made.uid in self._known:
            self._server.change("DELETED", made.described)
        end(made.process)
        made.group.remove()
        if not told_first and made.uid in self._known:
            self._server.change("DELETED", made.described)
        self._known.discard(made.uid)


class Outages:
    """The API server refuses, errs, stammers, says nothing, or is gone for a while."""

    name, pause = "api server", (4.0, 15.0)

    def __init__(self, server: KubeServer) -> None:
        self._server = server

    def step(self, rng: Random, stopping: threading.Event) -> str:
        if rng.random() < 0.4:
            self._server.stop()
            stopping.wait(rng.uniform(0.5, 10.0))
            self._server.start()
            return "gone"
        name = rng.choice(sorted(_FAULTS))
        for _ in range(rng.randrange(1, 3)):
            self._server.faults[rng.choice(("list", "watch"))].append(_FAULTS[name])
        self._cut()  # so that it asks again
        return name

    def settle(self) -> None:
        for faults in self._server.faults.values():
            faults.clear()
        self._cut()

    def _cut(self) -> None:
        with contextlib.suppress(OSError):
            self._server.stop()
        self._server.start()
