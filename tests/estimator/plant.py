"""A machine whose every joule is known, and what an exporter sees of it.

Two sockets with package and DRAM counters. The physics is not the estimator's: core energy goes with the
square of the voltage, which follows a clock that wanders by socket; leakage follows the temperature; memory
bandwidth saturates and then slows its users; co-runners evict each other's cache; a DRAM access costs more
on a busy bus; each container's instructions cost a little more or less than the average, which no counter
shows. What the exporter sees are wrapping counters, with noise in the meter and in when they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ebpf.counters import FIELDS, CounterSnapshot
from estimator.energy import FloatArray
from estimator.meters.port import ZoneReading

MAX_ENERGY_UJ = 65_532_610_987
INTERVAL_SECONDS = 5.0
ROOT_ID = 1
ZONES = ("package", "dram")

N_SOCKETS, CPUS_PER_SOCKET = 2, 16
_BANDWIDTH = 4e8  # cache lines a second and socket
_CLOCK_CAPS_GHZ = (2.0, 2.6, 3.2)
_METER_NOISE, _TIMING_NOISE = 0.005, 0.002
_IDLE_WATTS = {"package": 24.0, "dram": 6.0}
_SWITCHES_PER_CPU_SECOND = 300.0


@dataclass(frozen=True, slots=True)
class Characters:
    """What each container is like; all of shape (n,) but share_of_socket, (n, n_sockets).

    cpus: CPUs it keeps busy while it is on. clock_share: its cycles over the socket's clock. misses: cache
    lines per instruction with the cache to itself. cost, dram_cost: what its work costs over the average.
    on, off: mean length of its bursts and pauses, ticks. first, last: ticks between which it is there.
    """

    cpus: FloatArray
    clock_share: FloatArray
    ipc: FloatArray
    misses: FloatArray
    cost: FloatArray
    dram_cost: FloatArray
    on: FloatArray
    off: FloatArray
    first: FloatArray
    last: FloatArray
    share_of_socket: FloatArray


@dataclass(frozen=True, slots=True)
class PlantTick:
    """What can be seen, and what is true: active joules by zone, shape (n_containers, n_sockets); idle joules
    by zone, shape (n_sockets,). Row i is cgroup ids[i]."""

    snapshot: CounterSnapshot
    readings: list[ZoneReading]
    true_joules: Mapping[str, FloatArray]
    true_idle: Mapping[str, FloatArray]


def draw_characters(rng: np.random.Generator, n: int, n_ticks: int) -> Characters:
    """From busy loops to memory hogs; the first two never run; a third come late, a third leave early."""
    preference = rng.dirichlet([0.4] * N_SOCKETS, n)
    first = np.where(rng.random(n) < 0.33, rng.integers(0, n_ticks // 2, n), 0)
    last = np.where(rng.random(n) < 0.33, first + rng.integers(n_ticks // 6, n_ticks, n), n_ticks)
    cpus = rng.uniform(0.1, 2.0, n)
    cpus[:2] = 0.0
    return Characters(
        cpus=cpus,
        clock_share=rng.uniform(0.7, 1.0, n),
        ipc=np.clip(rng.lognormal(0.0, 0.6, n), 0.2, 3.5),
        misses=10 ** rng.uniform(-4.5, -1.8, n),
        cost=rng.lognormal(0.0, 0.03, n),
        dram_cost=rng.lognormal(0.0, 0.03, n),
        on=rng.uniform(3, 60, n),
        off=rng.uniform(2, 40, n),
        first=first.astype(np.float64),
        last=last.astype(np.float64),
        share_of_socket=preference,
    )


class Plant:
    """Ticks of INTERVAL_SECONDS each; the same seed gives the same run."""

    def __init__(self, seed: int = 0, n_containers: int = 30, n_ticks: int = 720) -> None:
        self._rng = np.random.default_rng(seed)
        self.characters = draw_characters(self._rng, n_containers, n_ticks)
        self.n_containers = n_containers
        self.ids = np.arange(2, n_containers + 2, dtype=np.uint64)
        self._tick = 0
        self._is_on = self._rng.random(n_containers) < 0.6
        self._cap_ghz = np.full(N_SOCKETS, _CLOCK_CAPS_GHZ[1])
        self._warmth = np.zeros(N_SOCKETS)
        self._counts = np.zeros((n_containers, N_SOCKETS, len(FIELDS)))
        self._energy_uj = {zone: self._rng.integers(0, MAX_ENERGY_UJ, N_SOCKETS) for zone in ZONES}

    @property
    def socket_of_cpu(self) -> tuple[int, ...]:
        """One counting CPU a socket: what runs where within it makes no difference."""
        return tuple(range(N_SOCKETS))

    def advance(self) -> PlantTick:
        """One interval."""
        self._tick += 1
        cpu_seconds = self._schedule()
        clock_ghz = self._clock(cpu_seconds)
        work = self._execute(cpu_seconds, clock_ghz)
        joules = self._draw(work, cpu_seconds, clock_ghz)
        idle = self._idle()
        self._warm(joules["package"])
        self._count(cpu_seconds, work)
        return PlantTick(self._snapshot(), self._read(joules, idle), joules, idle)

    def _schedule(self) -> FloatArray:
        """CPU seconds by container and socket: bursts and pauses, cut to what the socket has."""
        who, rng = self.characters, self._rng
        flips = rng.random(self.n_containers) < 1 / np.where(self._is_on, who.on, who.off)
        self._is_on ^= flips
        there = self._is_on & (who.first <= self._tick) & (self._tick < who.last)
        wanted = who.cpus * there * rng.uniform(0.8, 1.2, self.n_containers) * INTERVAL_SECONDS
        by_socket = wanted[:, np.newaxis] * who.share_of_socket
        capacity = CPUS_PER_SOCKET * INTERVAL_SECONDS
        return by_socket * np.minimum(1.0, capacity / np.maximum(by_socket.sum(axis=0), 1e-9))

    def _clock(self, cpu_seconds: FloatArray) -> FloatArray:
        """GHz by socket: a cap that the governor moves now and then, lower under load, with jitter."""
        moved = self._rng.random(N_SOCKETS) < 1 / 60
        self._cap_ghz = np.where(moved, self._rng.choice(_CLOCK_CAPS_GHZ, N_SOCKETS), self._cap_ghz)
        load = cpu_seconds.sum(axis=0) / (CPUS_PER_SOCKET * INTERVAL_SECONDS)
        return self._cap_ghz * (1.1 - 0.2 * load) * self._rng.normal(1.0, 0.01, N_SOCKETS)

    def _execute(self, cpu_seconds: FloatArray, clock_ghz: FloatArray) -> Mapping[str, FloatArray]:
        """Cycles, instructions, misses and the share of cycles spent waiting; shape (n, n_sockets)."""
        who = self.characters
        cycles = cpu_seconds * clock_ghz * 1e9 * who.clock_share[:, np.newaxis]
        pressure = 1 + 0.5 * cpu_seconds.sum(axis=0) / (CPUS_PER_SOCKET * INTERVAL_SECONDS)
        rate = np.minimum(who.misses[:, np.newaxis] * pressure, 0.03)
        bound = rate / (rate + 0.004)
        unhindered = cycles * who.ipc[:, np.newaxis] * (1 - 0.5 * bound)
        demand = (unhindered * rate).sum(axis=0) / INTERVAL_SECONDS / _BANDWIDTH
        slowed = (1 + demand**4) ** -0.25
        instructions = unhindered * (1 - bound * (1 - slowed))
        misses = instructions * rate * self._rng.normal(1.0, 0.02, rate.shape)
        waiting = 0.5 * bound + 0.3 * bound * (1 - slowed)
        return {"cycles": cycles, "instructions": instructions, "misses": misses, "waiting": waiting}

    def _draw(
        self, work: Mapping[str, FloatArray], cpu_seconds: FloatArray, clock_ghz: FloatArray
    ) -> Mapping[str, FloatArray]:
        """True active joules by zone: leakage ∝ V, switching ∝ V², memory by the line."""
        who, volts = self.characters, 0.62 + 0.13 * clock_ghz
        leakage = 0.9 * cpu_seconds * volts * (1 + 0.1 * self._warmth)
        switching = volts**2 * (
            0.55e-9 * work["cycles"] * (1 - 0.4 * work["waiting"]) + 0.8e-9 * work["instructions"]
        )
        bus = work["misses"].sum(axis=0) / INTERVAL_SECONDS / _BANDWIDTH
        core = (leakage + switching) * who.cost[:, np.newaxis]
        lines = work["misses"] * who.dram_cost[:, np.newaxis]
        return {"package": core + 25e-9 * lines, "dram": 45e-9 * lines * (1 + 0.15 * bus)}

    def _idle(self) -> Mapping[str, FloatArray]:
        """True idle joules by zone: the room warms and cools over the hour."""
        season = 1 + 0.03 * np.sin(2 * np.pi * self._tick / 720)
        return {
            zone: watts * season * (1 + 0.04 * self._warmth) * INTERVAL_SECONDS
            for zone, watts in _IDLE_WATTS.items()
        }

    def _warm(self, package: FloatArray) -> None:
        """The temperature follows power with a time constant of 20 ticks; 1 at 80 W."""
        self._warmth += (package.sum(axis=0) / INTERVAL_SECONDS / 80 - self._warmth) / 20

    def _count(self, cpu_seconds: FloatArray, work: Mapping[str, FloatArray]) -> None:
        late = self._rng.normal(1.0, _TIMING_NOISE, N_SOCKETS)[np.newaxis, :, np.newaxis]
        columns = (
            cpu_seconds * 1e9,
            work["cycles"],
            work["instructions"],
            work["misses"],
            cpu_seconds * _SWITCHES_PER_CPU_SECOND,
        )
        self._counts += np.stack(columns, axis=2) * late

    def _read(self, joules: Mapping[str, FloatArray], idle: Mapping[str, FloatArray]) -> list[ZoneReading]:
        readings = []
        for zone in ZONES:
            drawn = joules[zone].sum(axis=0) + idle[zone]
            seen = np.maximum(drawn * self._rng.normal(1.0, _METER_NOISE, N_SOCKETS), 0.0)
            self._energy_uj[zone] = (self._energy_uj[zone] + (seen * 1e6).astype(np.int64)) % (
                MAX_ENERGY_UJ + 1
            )
            readings += [self._reading(zone, socket) for socket in range(N_SOCKETS)]
        return readings

    def _reading(self, zone: str, socket: int) -> ZoneReading:
        path = f"{zone}-{socket}"
        return ZoneReading(
            zone, socket, path, int(self._energy_uj[zone][socket]), MAX_ENERGY_UJ, self._monotonic_ns
        )

    def _snapshot(self) -> CounterSnapshot:
        """Containers that are there, or have ended since the last reading."""
        there = (self.characters.first <= self._tick) & (self._tick <= self.characters.last)
        values: npt.NDArray[np.uint64] = self._counts[there].astype(np.uint64)
        return CounterSnapshot(
            self.ids[there],
            np.zeros(int(there.sum()), dtype=np.uint32),
            values,
            np.zeros((N_SOCKETS, len(FIELDS)), dtype=np.uint64),
            frozenset(FIELDS),
            self._monotonic_ns,
        )

    @property
    def _monotonic_ns(self) -> int:
        return round(self._tick * INTERVAL_SECONDS * 1e9)
