"""What passes between an energy source (meter or model), attribution and the exporter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Usage:
    """What each cgroup used during one interval, by socket.

    cgroup_id, tgid: shape (n,). used: shape (n, n_sockets, n_fields) in the order of ebpf.counters.FIELDS,
    cpu_ns still in nanoseconds. dropped: shape (n_sockets, n_fields), used by cgroups the map could not hold.
    available: fields that are measured. n_cpu: online CPUs. awake_seconds: shape (n_sockets,), how long some
    CPU of each socket was busy; None where it is not known.
    """

    cgroup_id: npt.NDArray[np.uint64]
    tgid: npt.NDArray[np.uint32]
    used: FloatArray
    dropped: FloatArray
    available: frozenset[str]
    interval_seconds: float
    n_cpu: int
    awake_seconds: FloatArray | None = None

    @property
    def totals(self) -> FloatArray:
        """What all of them used, dropped included; shape (n_sockets, n_fields)."""
        return np.asarray(self.used.sum(axis=0) + self.dropped, dtype=np.float64)

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of the whole node, idle excluded, dropped included."""
        return float(self.used[:, :, 0].sum() + self.dropped[:, 0].sum()) / 1e9

    @property
    def cpu_ratio(self) -> float:
        """The share of the node's CPU time that was not idle, in [0, 1]."""
        capacity = self.n_cpu * self.interval_seconds
        return min(1.0, self.cpu_seconds / capacity) if capacity > 0 else 0.0


@dataclass(frozen=True, slots=True)
class ZoneEnergy:
    """What one zone drew in one interval.

    joules: finite, ≥ 0. interval_seconds: what the joules span (more than a tick after a failed read).
    idle_watts: the zone's idle power where it is established, else None. low_joules, high_joules: the
    interval of an estimate or of integrated watts; equal to joules for a counter. suspended_seconds,
    suspended_joules: the part of it in which the machine slept, which nobody used. device: as in ZoneReading.
    end_ns: CLOCK_BOOTTIME at which the interval ends; 0 where it is now.
    """

    zone: str
    socket: int | None
    path: str
    joules: float
    interval_seconds: float
    idle_watts: float | None
    low_joules: float
    high_joules: float
    suspended_seconds: float = 0.0
    suspended_joules: float = 0.0
    device: str = ""
    end_ns: int = field(default=0, compare=False)

    @property
    def awake_seconds(self) -> float:
        """The time of the interval in which the machine ran."""
        return self.interval_seconds - self.suspended_seconds


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Where a zone's energy comes from: source "rapl", "perf", "model", …; model and sha256 empty for a
    meter. Where devices of one zone have several, their names are joined by "+"."""

    source: str
    model: str = ""
    sha256: str = ""


class EnergySource(Protocol):
    """The node's energy, tick by tick: a meter's differences or a model's prediction."""

    @property
    def info(self) -> SourceInfo:
        """What it is, of several the CPU's; may change between two ticks."""

    def infos(self) -> Mapping[str, SourceInfo]:
        """The same by zone, of the zones that have given energy."""

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        """The energy since the last call; zones whose first reading this is, and gaps, are not in it."""

    def errors(self) -> Mapping[str, int]:
        """Cumulative counts by kind ("read", "gap", …); never go down."""


@dataclass(frozen=True, slots=True)
class ZoneShare:
    """One zone's energy, shared out; idle + active == joules, Σ cgroups + unattributed == active."""

    energy: ZoneEnergy
    idle_joules: float
    idle_method: str
    cgroup_joules: FloatArray
    unattributed_joules: Mapping[str, float]
