"""What `top` shows of one tick: the API's two documents as values, whether they came by HTTP or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from exporter.serving.api.view import is_top

Document = Mapping[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """A workload; None is "not known". share: of the node's active power. Rates are of the last tick.

    pod, container: the ids of those it is in, "" for none. within: the name of what it is in, for people.
    """

    kind: str
    id: str
    name: str
    namespace: str = ""
    pod: str = ""
    container: str = ""
    cgroup: str = ""
    within: str = ""
    pid: int | None = None
    watts: float | None = None
    share: float | None = None
    joules: float | None = None
    cores: float | None = None
    instructions_per_cycle: float | None = None
    misses_per_1000_instructions: float | None = None
    grams_per_hour: float | None = None
    cost_per_hour: float | None = None
    running: bool = True

    @property
    def key(self) -> Key:
        """What makes it the same row in the next tick."""
        return self.kind, self.id

    @property
    def is_top(self) -> bool:
        """Whether it is in no other row; see api.view.is_top."""
        return is_top(self.kind, self.pod)


@dataclass(frozen=True, slots=True)
class NodeZone:
    """One zone over its paths, in watts. counted: whether it is part of the node's energy. source, why: where
    it comes from, and why from there; "" where that is not told."""

    name: str
    watts: float | None
    idle_watts: float | None
    counted: bool
    source: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class NodeGpu:
    """A GPU, or an instance of one. pods: who holds it."""

    index: str
    name: str
    watts: float | None
    idle_watts: float | None
    pods: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """The node and how podjoule fares. problem: what is wrong with the last tick, "" for nothing.

    low_watts, high_watts: the interval of an estimate. cpu_ratio: 0 to 1. age_seconds: of the tick, when it
    was asked for. lacks: what a measurement of our own does without, in a line, "" for nothing.
    """

    name: str
    source: str
    model: str
    estimated: bool
    watts: float | None
    low_watts: float | None
    high_watts: float | None
    idle_watts: float | None
    active_watts: float | None
    unattributed_watts: float | None
    cpu_ratio: float | None
    zones: Sequence[NodeZone]
    currency: str
    by_process: bool
    interval_seconds: float
    spanned_seconds: float
    age_seconds: float
    problem: str
    gpus: Sequence[NodeGpu] = ()
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """One tick. number: of the tick, since the exporter started at `started`."""

    node: Node
    rows: Sequence[Row]
    number: int
    started: float

    @property
    def is_baseline(self) -> bool:
        """Whether it only started the counters, so that there are no rates yet."""
        return self.number <= 1 and self.node.spanned_seconds <= 0


class Unanswered(Exception):
    """A source has nothing new: no connection, a tick that failed. What was shown before stays."""


class Source(Protocol):
    """Where frames come from. For one thread.

    waits: whether closing should wait for a read that is under way, since that is short and must not be cut.
    measures: whether each read measures, so that the first one is a baseline.
    """

    waits: bool
    measures: bool

    def read(self) -> Frame:
        """The last tick. Raises Unanswered."""

    def close(self) -> None:
        """Let go of it."""


def make_frame(status: Document, workloads: Document) -> Frame:
    """The frame of /api/v1/status and /api/v1/workloads.

    Raises KeyError, TypeError, ValueError or AttributeError for documents that are not podjoule's.
    """
    active = _number(status["energy"]["active_watts"])
    names = {(row["kind"], row["id"]): str(row["name"]) for row in workloads["workloads"]}
    return Frame(
        node=_node(status),
        rows=[_row(row, active, names) for row in workloads["workloads"]],
        number=int(status["tick"]["number"]),
        started=float(status["started"]),
    )


def _row(row: Document, active_watts: float | None, names: Mapping[Key, str]) -> Row:
    watts = _number(row["watts"])
    return Row(
        kind=str(row["kind"]),
        id=str(row["id"]),
        name=str(row["name"]),
        namespace=row["namespace"] or "",
        pod=row["pod"] or "",
        container=row["container"] or "",
        cgroup=row["cgroup"] or "",
        within=_within(row, names),
        pid=None if row["pid"] is None else int(row["pid"]),
        watts=watts,
        share=None if watts is None or not active_watts else watts / active_watts,
        joules=_number(row["joules"]),
        cores=_number(row["cores"]),
        instructions_per_cycle=_number(row["instructions_per_cycle"]),
        misses_per_1000_instructions=_number(row["misses_per_1000_instructions"]),
        grams_per_hour=_number(row["carbon_grams_per_hour"]),
        cost_per_hour=_number(row["cost_per_hour"]),
        running=bool(row["running"]),
    )


def _within(row: Document, names: Mapping[Key, str]) -> str:
    if row["kind"] == "process":
        container = row["container"]
        return names.get(("container", container), container) if container else row["cgroup"] or ""
    if row["kind"] == "container":
        return names.get(("pod", row["pod"]), row["pod"]) if row["pod"] else row["runtime"] or ""
    return row["namespace"] or ""


def _node(status: Document) -> Node:
    energy, tick = status["energy"], status["tick"]
    return Node(
        name=str(status["node"]),
        source=str(energy["source"]),
        model=energy["model"] or "",
        estimated=bool(energy["estimated"]),
        watts=_number(energy["watts"]),
        low_watts=_number(energy["low_watts"]),
        high_watts=_number(energy["high_watts"]),
        idle_watts=_number(energy["idle_watts"]),
        active_watts=_number(energy["active_watts"]),
        unattributed_watts=_number(energy["unattributed_watts"]),
        cpu_ratio=_number(status["cpu"]["usage_ratio"]),
        zones=_zones(status["zones"], energy["counted_zones"]),
        currency=status["grid"]["currency"] or "",
        by_process=bool(status["counters"]["by_process"]),
        interval_seconds=float(tick["interval_seconds"]),
        spanned_seconds=float(tick["spanned_seconds"]),
        age_seconds=float(tick["age_seconds"]),
        problem=_problem(status),
        gpus=[_gpu(gpu) for gpu in status.get("gpus", ())],  # an exporter of before has none
    )


def _gpu(gpu: Document) -> NodeGpu:
    watts, idle = _number(gpu["watts"]), _number(gpu["idle_watts"])
    return NodeGpu(str(gpu["gpu"]), str(gpu["name"]), watts, idle, [str(pod) for pod in gpu["pods"]])


def _zones(zones: Sequence[Document], counted: Sequence[str]) -> list[NodeZone]:
    """Each zone over its sockets, those that count first."""
    of_name: dict[str, list[Document]] = {}
    for zone in zones:
        of_name.setdefault(str(zone["zone"]), []).append(zone)
    made = [
        NodeZone(
            name,
            _sum(paths, "watts"),
            _sum(paths, "idle_watts"),
            name in counted,
            str(paths[0].get("source") or ""),
            str(paths[0].get("why") or ""),
        )
        for name, paths in of_name.items()
    ]
    return sorted(made, key=lambda zone: not zone.counted)


def _sum(zones: Sequence[Document], key: str) -> float | None:
    return total(_number(zone[key]) for zone in zones)


def total(values: Iterable[float | None]) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _problem(status: Document) -> str:
    if status["reason"]:
        return f"measurements have stopped: {status['reason']}"
    if status["tick"]["failure"]:
        return f"the last tick failed: {status['tick']['failure']}"
    down = [str(part["name"]) for part in status["components"] if not part["up"]]
    if down:
        return f"does not work: {', '.join(down)}"
    kubernetes = status["kubernetes"]
    return "" if kubernetes is None or kubernetes["current"] else "Kubernetes does not answer; names may lack"


def _number(found: object) -> float | None:
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise TypeError(f"wanted a number, found {found!r}")
    return float(found)
