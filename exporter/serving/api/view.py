"""What one tick shows to the API and the page: an immutable snapshot, read from many threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray, SourceInfo
from exporter.books.node_totals import NodeZone
from exporter.names.accounts import Account
from exporter.names.pods import DirectoryStatus
from exporter.names.workloads import Kind
from exporter.serving.api.grid import Grid
from exporter.serving.api.history import History
from exporter.tick.components import Component


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row belongs, for drilling down: the pod it runs in, the container, what people made it from.

    Empty where it is in none, or nobody knows.
    """

    pod: str = ""
    container: str = ""
    namespace: str = ""
    workload_kind: str = ""
    workload_name: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """The workloads, n of them; NaN in an array is "not known".

    values: shape (n, len(VALUES)). watts, joules: shape (n, n_zones), by zone. running: shape (n,).
    """

    accounts: Sequence[Account]
    places: Sequence[Place]
    zones: tuple[str, ...]
    values: FloatArray
    watts: FloatArray
    joules: FloatArray
    running: npt.NDArray[np.bool_]


# The columns of Rows.values; watts and joules are those of the zones that count for the node.
VALUES = (
    "watts",
    "joules",
    "cpu_seconds",
    "cores",
    "instructions_per_cycle",
    "misses_per_1000_instructions",
    "carbon_grams",
    "carbon_grams_per_hour",
    "cost",
    "cost_per_hour",
)
# What is in no other row, together with the containers that are in no pod: these add up.
TOP_KINDS: tuple[Kind, ...] = ("pod", "vm", "unit", "user", "kernel", "root", "job", "other")


def is_top(kind: str, pod_uid: str) -> bool:
    """Whether a row is in no other: all but processes and the containers of pods."""
    return kind in TOP_KINDS or (kind == "container" and not pod_uid)


@dataclass(frozen=True, slots=True)
class ZoneView:
    """One zone at one path. low_watts, high_watts: the interval of an estimate or of integrated watts, None
    for a counter's. source: where it comes from, "" before it is known; why: see exporter.tick.zone_sources.
    """

    totals: NodeZone
    idle_method: str = ""
    low_watts: float | None = None
    high_watts: float | None = None
    source: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Energy:
    """The node's energy and where it comes from.

    counted_zones: those whose sum is the node's energy. unattributed_watts, unattributed_joules: of these
    zones, what belongs to no workload. carbon_grams, cost: of all the node's energy, NaN where not known.
    errors: of the source, by kind.
    """

    source: SourceInfo
    zones: Sequence[ZoneView]
    counted_zones: tuple[str, ...]
    unattributed_watts: float
    unattributed_joules: float
    carbon_grams: float
    cost: float
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Counting:
    """How usage is counted: by which source, which of its counters work, and whether by process."""

    source: str
    available: frozenset[str]
    dropped_seconds: float
    lost_events: int
    by_process: bool


@dataclass(frozen=True, slots=True)
class Pace:
    """When ticks happen. ended_seconds: by the monotonic clock; wall_offset_seconds: what makes it Unix time.

    failure: why the last tick failed, "" if it did not.
    """

    number: int
    interval_seconds: float
    spanned_seconds: float
    duration_seconds: float
    started_seconds: float
    ended_seconds: float
    wall_offset_seconds: float
    failure: str = ""

    def unix(self, seconds: float) -> float:
        """A time of the monotonic clock as Unix time, to the millisecond."""
        return round(seconds + self.wall_offset_seconds, 3)


@dataclass(frozen=True, slots=True)
class View:
    """The last tick. history: goes on behind it; it locks for itself."""

    node: str
    pace: Pace
    energy: Energy
    counting: Counting
    cpu_ratio: float
    n_cpu: int
    components: Mapping[str, Component]
    kubernetes: DirectoryStatus | None
    grid: Grid
    rows: Rows
    history: History

    @property
    def is_estimated(self) -> bool:
        """Whether the energy is a model's and not a meter's."""
        return self.energy.source.source == "model"
