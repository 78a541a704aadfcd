"""A simulated fleet whose every joule is known: nodes, and what used energy on them, from a seed.

What the meters count is the truth: nothing is counted while a machine is off, or while an exporter that keeps
no state is being replaced. Times are unix seconds.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tests.exporter.reports.curves import Curve, Window, steady, wandering

HOUR, DAY = 3600, 86400
TTL = 300  # monitor.terminatedTTL
LEAD, TAIL = 900, 900  # how long all is there before the first hour and after the last
OCTOBER = int(datetime.datetime(2026, 10, 1, tzinfo=datetime.UTC).timestamp())


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a fleet is and what befalls it. pods_a_day: three in four of CronJobs, for 90 s each.

    outage: hours from the start between which Prometheus is down. restarts: how often a node is booted anew,
    and how often its exporter is replaced with and without its state.
    """

    nodes: int = 30
    pods_a_day: int = 2000
    hours: int = 31 * 24
    interval_seconds: float = 30.0
    outage: tuple[float, float] | None = None
    restarts: int = 1
    replicas_a_node: int = 3
    seed: int = 17
    start: int = OCTOBER

    @property
    def end(self) -> int:
        """Of the last hour."""
        return self.start + self.hours * HOUR

    @property
    def down(self) -> Window | None:
        """When Prometheus is down."""
        if self.outage is None:
            return None
        return self.start + self.outage[0] * HOUR, self.start + self.outage[1] * HOUR


@dataclass(frozen=True, slots=True)
class Restart:
    """From at to back no exporter answers. keeps: counters go on, and the kernel counted meanwhile."""

    at: float
    back: float
    keeps: bool


@dataclass(frozen=True, slots=True)
class Node:
    """A machine. first: when it joined. measured: by RAPL, else estimated by a model."""

    name: str
    group: str
    phase: float
    first: float
    cores: int
    idle_watts: float
    measured: bool
    restarts: tuple[Restart, ...]

    @property
    def off(self) -> tuple[Window, ...]:
        """When nothing is counted."""
        return tuple((restart.at, restart.back) for restart in self.restarts if not restart.keeps)

    @property
    def resets(self) -> tuple[float, ...]:
        """When counters begin at 0 again."""
        return tuple(restart.back for restart in self.restarts if not restart.keeps)


@dataclass(frozen=True, slots=True)
class Load:
    """What uses energy on one node: a pod, a container, a machine, a cgroup, idling, or nobody.

    kind: as in the rows' workload_kind; "idle" and "unattributed" for those. memory: the part of its energy
    that is memory's. watts_per_core: its CPU seconds are joules by that. share: idle energy that the policy
    gives it.
    """

    node: Node
    kind: str
    workload: str
    begin: float
    end: float
    curve: Curve
    namespace: str = ""
    name: str = ""
    uid: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    memory: float = 0.1
    watts_per_core: float = 4.0
    request_cores: float = 0.0
    share: Curve | None = None
    owner: tuple[str, str] = ("", "")

    @property
    def is_pod(self) -> bool:
        """Whether it is one."""
        return bool(self.uid)


@dataclass(frozen=True, slots=True)
class Workload:
    """What pods are of."""

    namespace: str
    kind: str
    name: str
    watts: float
    request_cores: float
    labels: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Fleet:
    """All nodes and loads."""

    plan: Plan
    nodes: list[Node] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)

    def of_nodes(self) -> dict[str, list[Load]]:
        """The loads by the name of their node."""
        found: dict[str, list[Load]] = {node.name: [] for node in self.nodes}
        for load in self.loads:
            found[load.node.name].append(load)
        return found


def make(plan: Plan) -> Fleet:
    """The fleet of a plan; the same plan makes the same fleet."""
    random = np.random.default_rng(plan.seed)
    fleet = Fleet(plan)
    fleet.nodes = [_node(plan, random, number) for number in range(plan.nodes)]
    maker = _Maker(fleet, random)
    for node in fleet.nodes:
        fleet.loads += maker.of_node(node)
        fleet.loads += maker.just_before_resets(node)
    for number in range(plan.nodes * plan.replicas_a_node):
        fleet.loads += maker.replica(number)
    for number in range(max(2, round(plan.pods_a_day * 0.75 / 24))):
        fleet.loads += maker.jobs(number)
    return fleet


def _node(plan: Plan, random: np.random.Generator, number: int) -> Node:
    """Two in three are measured; the last one joins late."""
    measured = number % 3 != 2
    late = plan.nodes > 2 and number == plan.nodes - 1
    first = plan.start - LEAD if not late else plan.start + 0.3 * plan.hours * HOUR + random.uniform(0, 600)
    return Node(
        name=f"{'metal' if measured else 'cloud'}-{number}",
        group="metal" if measured else "cloud",
        phase=round(random.uniform(0, plan.interval_seconds), 3),
        first=first,
        cores=64,
        idle_watts=random.uniform(60, 120),
        measured=measured,
        restarts=tuple(sorted(_restarts(plan, random, first), key=lambda restart: restart.at)),
    )


def _restarts(plan: Plan, random: np.random.Generator, first: float) -> Iterator[Restart]:
    """At least half an hour from each other, from the ends and from the outage."""
    taken = [plan.start - HOUR, first, plan.end]
    down = plan.down or (plan.end, plan.end)
    for keeps, longest in itertools.islice(
        itertools.cycle([(True, 25), (False, 240), (False, 25)]), 3 * plan.restarts
    ):
        at = random.uniform(max(first, plan.start), plan.end)
        if down[0] - HOUR / 2 < at < down[1] + HOUR / 2 or min(abs(at - other) for other in taken) < HOUR / 2:
            continue
        taken.append(at)
        yield Restart(at, at + random.uniform(8 if longest < 60 else 60, longest), keeps)


class _Maker:
    """Loads of one fleet, each with names of its own."""

    def __init__(self, fleet: Fleet, random: np.random.Generator) -> None:
        self._fleet, self._plan, self._random = fleet, fleet.plan, random
        self._made = itertools.count(1)

    def of_node(self, node: Node) -> Iterator[Load]:
        """Idling, nobody's, the system's, and what runs on every node."""
        span = (node.first, self._plan.end + TAIL)
        off, random = node.off, self._random
        yield Load(node, "idle", "", *span, steady(*span, node.idle_watts, off))
        yield Load(node, "unattributed", "map_full", *span, wandering(random, *span, 0.5, HOUR, off))
        for kind, cgroup, watts in (
            ("unit", "/system.slice/kubelet.service", 2.0),
            ("user", "/user.slice", 0.3),
            ("kernel", "/", 1.0),
        ):
            yield Load(node, kind, cgroup, *span, wandering(random, *span, watts, 900, off))
        if node.measured:
            yield Load(
                node, "container", "registry", *span, wandering(random, *span, 3.0, 900, off), name=self._id()
            )
            yield Load(
                node,
                "vm",
                "build",
                *span,
                wandering(random, *span, 5.0, 900, off),
                name=f"/machine/{self._id()}",
            )
        yield self._pod(_of("kube-system", "DaemonSet", "agent", 1.5, 0.1, "platform"), node, *span)

    def replica(self, number: int) -> Iterator[Load]:
        """Pods of a Deployment one after the other, on any node; the first three are of other kinds."""
        kind = ("StatefulSet", "Pod", "unknown")[number] if number < 3 else "Deployment"
        team = f"team-{number // 3 % 5}"
        name = f"app-{number // 3}" if number >= 3 else kind.lower()
        workload = _of(f"shop-{number // 3 % 4}", kind, name, 1 + 8 * self._random.random(), 0.25, team)
        replicas = self._plan.nodes * self._plan.replicas_a_node
        mean = replicas / max(1.0, self._plan.pods_a_day / 4) * DAY
        begin, last = float(self._plan.start - LEAD), self._plan.end + TAIL
        while begin < last - 60:
            end = min(last, begin + 600 + self._random.exponential(mean)) if number >= 3 else last
            yield self._pod(workload, self._somewhere(begin), begin, end)
            begin = end + self._random.uniform(-15, 20)

    def just_before_resets(self, node: Node) -> Iterator[Load]:
        """Pods 3 s old at the last sample before a reset: at the next one their counter may be greater."""
        workload, interval = (
            _of("shop-0", "Deployment", "fresh", 6.0, 0.25, "team-0"),
            self._plan.interval_seconds,
        )
        grid = self._plan.start - LEAD + node.phase
        for at, _ in node.off:
            begin = grid + (at - grid) // interval * interval - 3
            yield self._pod(workload, node, begin, begin + HOUR)

    def jobs(self, number: int) -> Iterator[Load]:
        """A CronJob's pods, one an hour, of 90 s; the first one's begin when the hour does."""
        team = f"team-{number % 5}"
        workload = _of("batch", "CronJob", f"job-{number}", 2 + 20 * self._random.random(), 0.5, team)
        minute = self._random.uniform(3, 55) if number else 0.0
        for hour in range(self._plan.hours):
            begin = self._plan.start + hour * HOUR + minute * 60 + self._random.uniform(0.2, 20)
            yield self._pod(workload, self._somewhere(begin), begin, begin + 90)

    def _pod(self, workload: Workload, node: Node, begin: float, end: float) -> Load:
        random, off = self._random, node.off
        share = node.idle_watts * workload.request_cores / node.cores
        number = next(self._made)
        name = f"{workload.name}-{number:x}"
        return Load(
            node, workload.kind, name if workload.kind in ("Pod", "unknown") else workload.name, begin, end,
            wandering(random, begin, end, workload.watts, 20 if end - begin < HOUR / 4 else 900, off),
            namespace=workload.namespace,
            name=name,
            uid=f"{number:08x}-0000-4000-8000-{number:012x}",
            labels=workload.labels,
            memory=random.uniform(0.05, 0.2),
            watts_per_core=random.uniform(3, 6),
            request_cores=workload.request_cores,
            share=steady(begin, end, share, off) if node.measured else None,
            owner=_owner(workload),
        )  # fmt: skip

    def _somewhere(self, at: float) -> Node:
        there = [node for node in self._fleet.nodes if node.first <= at]
        return there[self._random.integers(len(there))]

    def _id(self) -> str:
        return f"{next(self._made):064x}"


def _owner(workload: Workload) -> tuple[str, str]:
    """The controller; a pod that was made by hand has none."""
    if workload.kind == "Pod":
        return "", ""
    through = {"Deployment": "ReplicaSet", "CronJob": "Job"}.get(workload.kind, workload.kind)
    return through, workload.name if through == workload.kind else f"{workload.name}-5d"


def _of(namespace: str, kind: str, name: str, watts: float, request_cores: float, team: str) -> Workload:
    labels = (("team", team), ("product", f"product-{int(team[-1]) % 2}" if team[-1].isdigit() else "base"))
    return Workload(namespace, kind, name, watts, request_cores, labels)
