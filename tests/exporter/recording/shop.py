"""A Kubernetes node of a small shop, made up: who ran when, and what each drew, to the joule.

One socket, eight CPUs, a clock that falls as CPUs get busy. Power is what a package and its memory draw
while nothing runs, and so much more for each cycle, instruction and cache line that comes from memory; each
workload has an instruction mix of its own, so that a second on a CPU costs from 12 to 22 J, which CPU time
does not show and the counters do. Packages that sleep, siblings and clocks that differ are the business of
tests/estimator/plant.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tests.exporter.nodes import UID

INTERVAL_SECONDS = 5.0
N_CPU = 8
IDLE_WATTS = {"package": 20.0, "dram": 3.0}
# Joules a cycle, an instruction and a cache line.
COSTS = {"package": (2.8e-9, 1.6e-9, 20e-9), "dram": (0.0, 0.0, 90e-9)}
FASTEST_HZ, SLOWEST_HZ = 3.6e9, 3.0e9
# What a meter shows of the truth: how far off a reading is by when it is read, as a share.
METER_NOISE = 0.01
_LOAD_NOISE, _MIX_NOISE = 0.08, 0.03

Load = Callable[[float, float], float]
"""Minutes since the recording began, and how busy customers keep the shop (0 to 1) -> CPUs kept busy."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One cgroup. namespace, name: as the notebooks show them; load: when it runs.

    ipc: instructions a cycle; misses: cache lines an instruction.
    """

    namespace: str
    name: str
    path: str
    load: Load
    ipc: float
    misses: float


@dataclass(frozen=True, slots=True)
class Used:
    """What one workload did and drew in a tick, truly. joules: by zone, over what idling draws."""

    cpu_seconds: float
    cycles: int
    instructions: int
    cache_misses: int
    joules: Mapping[str, float]


def pod_uid(number: int) -> str:
    """The UID of the pod in whose cgroup `_in_pod` puts a container."""
    return f"{number:08x}{UID[8:]}"


def container_id(number: int) -> str:
    return f"{number:064x}"


def _in_pod(number: int) -> str:
    return f"/kubepods/pod{pod_uid(number)}/{container_id(number)}"


def _unit(path: str, load: Load, ipc: float, misses: float) -> Workload:
    return Workload("(unit)", f"unit {path}", path, load, ipc, misses)


def _at_night(minutes: float) -> bool:
    """The first and the last two minutes, and two in the middle: nobody is there."""
    return minutes % 14 < 2


def _served(share: float) -> Load:
    return lambda minutes, customers: 0.0 if _at_night(minutes) else share * customers


def _job(start: float, end: float, cpus: float) -> Load:
    return lambda minutes, _: cpus if start <= minutes < end else 0.0


def _training(minutes: float, _: float) -> float:
    """An epoch of four minutes, then a minute to validate it."""
    return 0.0 if _at_night(minutes) or minutes < 8 else (3.4 if minutes % 5 < 4 else 0.6)


def _steady(cpus: float) -> Load:
    return lambda minutes, _: cpus


def _scraping(minutes: float, _: float) -> float:
    return 0.05 if round(minutes * 12) % 3 else 0.4


WORKLOADS = (
    Workload("shop", "web-6f7c9-2xkqp", _in_pod(1), _served(1.5), ipc=1.3, misses=4e-4),
    Workload("shop", "web-6f7c9-tz5wd", _in_pod(2), _served(1.2), ipc=1.3, misses=4e-4),
    Workload("shop", "orders-db-0", _in_pod(3), _served(0.9), ipc=0.6, misses=9e-3),
    Workload("analytics", "report-29401-mm4zt", _in_pod(4), _job(3, 8, 2.5), ipc=2.1, misses=1e-3),
    Workload("analytics", "report-29402-9fjpl", _in_pod(5), _job(18, 22, 2.5), ipc=2.1, misses=1e-3),
    Workload("research", "train-resnet-0", _in_pod(6), _training, ipc=2.6, misses=2e-3),
    Workload("monitoring", "collector-7hq2c", _in_pod(7), _scraping, ipc=1.0, misses=2e-3),
    Workload(
        "(unit)",
        "unit /system.slice/kubelet.service",
        "/system.slice/kubelet.service",
        _steady(0.06),
        0.9,
        3e-3,
    ),
    Workload(
        "(unit)",
        "unit /system.slice/containerd.service",
        "/system.slice/containerd.service",
        _steady(0.04),
        0.9,
        3e-3,
    ),
    Workload("(kernel)", "kernel /", "[kernel]", _served(0.2), ipc=0.8, misses=5e-3),
)


class Shop:
    """Ticks of INTERVAL_SECONDS each; the same seed gives the same run."""

    def __init__(self, seed: int = 15, start_minutes: float = 0.0) -> None:
        self._rng = np.random.default_rng(seed)
        self._minutes = start_minutes

    def advance(self) -> list[Used]:
        """What each of WORKLOADS did in one tick."""
        self._minutes += INTERVAL_SECONDS / 60
        cpus = self._schedule()
        clock = FASTEST_HZ - (FASTEST_HZ - SLOWEST_HZ) * float(cpus.sum()) / N_CPU
        mix = self._rng.normal(1.0, _MIX_NOISE, (len(WORKLOADS), 2))
        return [
            _work(each, float(busy) * INTERVAL_SECONDS, clock, float(ipc), float(misses))
            for each, busy, (ipc, misses) in zip(WORKLOADS, cpus, mix, strict=True)
        ]

    def shown(self, joules: float) -> float:
        """What a meter's counter goes up by for so much energy."""
        return joules * float(self._rng.normal(1.0, METER_NOISE))

    def _schedule(self) -> np.ndarray:
        """CPUs that each keeps busy, in all no more than there are."""
        customers = 0.55 - 0.45 * math.cos(2 * math.pi * self._minutes / 9)
        wanted = np.array([each.load(self._minutes, customers) for each in WORKLOADS])
        wanted *= np.clip(self._rng.normal(1.0, _LOAD_NOISE, len(wanted)), 0.5, 1.5)
        return wanted * min(1.0, N_CPU / float(wanted.sum()))


def _work(who: Workload, cpu_seconds: float, clock: float, ipc: float, misses: float) -> Used:
    """Milliseconds and millions, so that the files stay small."""
    cpu_seconds = math.floor(cpu_seconds * 1000) / 1000
    cycles = round(cpu_seconds * clock, -6)
    instructions = round(cycles * who.ipc * ipc, -6)
    lines = round(instructions * who.misses * misses, -3)
    counts = int(cycles), int(instructions), int(lines)
    joules = {
        zone: sum(cost * count for cost, count in zip(costs, counts, strict=True))
        for zone, costs in COSTS.items()
    }
    return Used(cpu_seconds, *counts, joules)
