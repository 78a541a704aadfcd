"""Who lives on a machine that is made up: pods, containers, units, guests, jobs, all of whom come and go."""

from __future__ import annotations

import heapq
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from tests.exporter.names.kube.kube_server import pod
from tests.soak.simulated.counts import Counts, Loads
from tests.soak.simulated.names import ApiServer

# How many of each stay all day, come a second on the average, and for how long those live: the median of the
# short ones, and of the tenth that stays longer.
_STAYING = {"pod": 20, "container": 15, "unit": 15, "vm": 2, "user": 2}
_COMING = {"pod": 0.12, "container": 0.05, "scope": 0.05, "vm": 0.0005, "user": 0.004, "job": 0.03}
_SHORT_SECONDS, _LONG_SECONDS, _IS_LONG = 40.0, 2_400.0, 0.04
_RESTARTS_A_SECOND = 0.01  # of units
_NEVER_NAMED, _NAMED_LATE_SECONDS = 0.02, 40.0
_LIKE_NO_OTHER = ("web", "db", "cache", "batch", "trainer", "proxy")


@dataclass
class Alive:
    """One workload. cgroups: by id; whoever has none in it has ended."""

    kind: str
    key: str
    cgroups: list[int]
    pod: dict[str, Any] | None = None
    paths: Sequence[str] = ()


@dataclass(order=True)
class _Due:
    seconds: float
    number: int
    do: Callable[[], None] = field(compare=False)


class Population:
    """All who live, by the clock of awake seconds. came: how many of each kind there ever were.

    ended: when each of the last ones did, and with how many cgroups, the earliest in front; whoever counts
    what is kept empties it.
    """

    def __init__(self, counts: Counts, server: ApiServer, rng: Random) -> None:
        self._counts, self._server, self._rng = counts, server, rng
        self._loads = np.random.default_rng(rng.getrandbits(64))
        self._due: list[_Due] = []
        self._numbers = 0
        self._now = 0.0
        self.alive: dict[str, Alive] = {}
        self.came: Counter[str] = Counter()
        self.ended: deque[tuple[float, int]] = deque()

    def begin(self) -> None:
        """Those that stay come; after a boot they are others."""
        for kind, many in _STAYING.items():
            for number in range(many):
                self._make(kind, number if kind == "unit" else None)

    def stop_all(self) -> None:
        """The machine goes down."""
        for each in list(self.alive.values()):
            self._forget(each)
        self._due.clear()

    def live(self, now_seconds: float, seconds: float) -> None:
        """Whoever comes and goes in this time does so now, at its end."""
        self._now = now_seconds
        while self._due and self._due[0].seconds <= now_seconds:
            heapq.heappop(self._due).do()
        for kind, rate in _COMING.items():
            for _ in range(self._loads.poisson(rate * seconds)):
                self._passing(kind)
        for _ in range(self._loads.poisson(_RESTARTS_A_SECOND * seconds)):
            self._restart_unit()

    def _passing(self, kind: str) -> None:
        rng = self._rng
        median = _LONG_SECONDS if rng.random() < _IS_LONG else _SHORT_SECONDS
        made = self._make(kind)
        self._later(median * rng.lognormvariate(0.0, 1.0), lambda: self._end(made))

    def _make(self, kind: str, number: int | None = None) -> Alive:
        self._numbers += 1
        made = _MAKERS[kind](self._numbers if number is None else number, self._rng)
        self.came[kind] += 1
        made.cgroups = [self._counts.add(path, self._load()) for path in made.paths]
        self.alive[made.key] = made
        if made.pod is not None:
            self._name(made, made.pod)
        return made

    def _name(self, made: Alive, described: dict[str, Any]) -> None:
        """The API server knows of it at once, some time after, or never."""
        chance = self._rng.random()
        if chance < _NEVER_NAMED:
            return
        late = self._rng.uniform(0.0, _NAMED_LATE_SECONDS) if chance > 0.4 else 0.0
        self._later(late, lambda: made.key in self.alive and self._server.put(described))

    def _end(self, made: Alive) -> None:
        if self.alive.get(made.key) is made:
            for cgroup_id in made.cgroups:
                self._counts.end(cgroup_id)
            self._forget(made)

    def _forget(self, made: Alive) -> None:
        del self.alive[made.key]
        self.ended.append((self._now, len(made.cgroups)))
        if made.pod is not None:
            self._server.remove(made.pod["metadata"]["uid"])

    def _restart_unit(self) -> None:
        """At once, or after a while: under the same name, and another cgroup."""
        units = [each for each in self.alive.values() if each.kind == "unit"]
        if units:
            unit = self._rng.choice(units)
            number = int(unit.key.rpartition("-")[2])
            self._end(unit)
            away_seconds = self._rng.choice((0.0, 0.0, 20.0, 900.0))
            self._later(away_seconds, lambda: self._make("unit", number))

    def _later(self, seconds: float, do: Callable[[], object]) -> None:
        self._numbers += 1
        heapq.heappush(self._due, _Due(self._now + seconds, self._numbers, lambda: _void(do())))

    def _load(self) -> Loads:
        """Half of them sleep; the others run on two CPUs, some much more than most."""
        loads = np.zeros(self._counts.n_cpu)
        if self._rng.random() > 0.5:
            for cpu in self._rng.sample(range(self._counts.n_cpu), 2):
                loads[cpu] = min(0.6, self._rng.paretovariate(1.2) * 0.001)
        return loads


def _void(_: object) -> None:
    """What is due answers nothing."""


def _pod(number: int, rng: Random) -> Alive:
    """With its own cgroup, a sandbox that no list names, and one to three containers."""
    uid = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    containers = [rng.getrandbits(256) for _ in range(rng.choice((1, 1, 2, 3)))]
    described = pod(number, containers[0], name=f"{rng.choice(_LIKE_NO_OTHER)}-{number}", uid=uid)
    described["metadata"]["labels"] = {"app": rng.choice(_LIKE_NO_OTHER)}
    names = ("main", *(f"side-{n}" for n in range(1, len(containers))))
    described["status"]["containerStatuses"] = [
        {"name": name, "containerID": f"containerd://{each:064x}"}
        for name, each in zip(names, containers, strict=True)
    ]
    top = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid.replace('-', '_')}.slice"
    inner = [f"{top}/cri-containerd-{each:064x}.scope" for each in (rng.getrandbits(256), *containers)]
    return Alive("pod", uid, [], described, (top, *inner))


def _container(_number: int, rng: Random) -> Alive:
    key = f"{rng.getrandbits(256):064x}"
    return Alive("container", key, [], paths=(f"/system.slice/docker-{key}.scope",))


def _unit(number: int, _rng: Random) -> Alive:
    return Alive("unit", f"unit-{number}", [], paths=(f"/system.slice/daemon-{number}.service",))


def _scope(number: int, rng: Random) -> Alive:
    """Of systemd-run: each has another name, and all of them one series."""
    path = f"/system.slice/run-r{rng.getrandbits(128):032x}.scope"
    return Alive("scope", f"scope-{number}", [], paths=(path,))


def _vm(number: int, _rng: Random) -> Alive:
    path = rf"/machine.slice/machine-qemu\x2d{number}\x2dguest{number}.scope"
    return Alive("vm", f"vm-{number}", [], paths=(path, f"{path}/libvirt/emulator"))


def _user(number: int, _rng: Random) -> Alive:
    path = f"/user.slice/user-{1000 + number % 7}.slice/session-{number}.scope"
    return Alive("user", f"user-{number}", [], paths=(path,))


def _job(number: int, _rng: Random) -> Alive:
    path = f"/system.slice/slurmstepd.scope/job_{number}/step_0/user/task_0"
    return Alive("job", f"job-{number}", [], paths=(path,))


_MAKERS: dict[str, Callable[[int, Random], Alive]] = {
    "pod": _pod,
    "container": _container,
    "unit": _unit,
    "scope": _scope,
    "vm": _vm,
    "user": _user,
    "job": _job,
}
