"""The machine as an exporter sees it, tick by tick, beside what is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ebpf.counters import FIELDS, CounterSnapshot
from estimator.energy import FloatArray
from estimator.meters.port import ZoneReading
from tests.estimator.plant.characters import draw_characters
from tests.estimator.plant.physics import PLAIN, Physics
from tests.estimator.plant.power import IDLE_WATTS, Power
from tests.estimator.plant.work import CPUS_PER_SOCKET, INTERVAL_SECONDS, Work, Workload

__all__ = ["CPUS_PER_SOCKET", "INTERVAL_SECONDS", "MAX_ENERGY_UJ", "N_SOCKETS", "ROOT_ID", "ZONES"]

MAX_ENERGY_UJ = 65_532_610_987
ROOT_ID = 1
ZONES = tuple(IDLE_WATTS)
N_SOCKETS = PLAIN.n_sockets

_METER_NOISE, _TIMING_NOISE = 0.005, 0.002
_SHARED_NOISE, _AWAKE_NOISE = 0.002, 0.01  # points of its time; of how long
_SWITCHES_PER_CPU_SECOND = 300.0


@dataclass(frozen=True, slots=True)
class PlantTick:
    """What can be seen, and what is true: active joules by zone, shape (n_containers, n_sockets); idle joules
    by zone, shape (n_sockets,). Row i is cgroup ids[i]. true_waking: of the package's active joules those
    that its being awake cost; work: what was done."""

    snapshot: CounterSnapshot
    readings: list[ZoneReading]
    true_joules: Mapping[str, FloatArray]
    true_idle: Mapping[str, FloatArray]
    true_waking: FloatArray
    work: Work


class Plant:
    """Ticks of INTERVAL_SECONDS each; the same seed gives the same run.

    n_ticks: over which containers come and leave; the run may go on. Machines of the same seed and number of
    sockets have the same containers, whatever else their physics are.
    """

    def __init__(
        self, seed: int = 0, n_containers: int = 30, n_ticks: int = 720, physics: Physics = PLAIN
    ) -> None:
        self._rng = rng = np.random.default_rng(seed)
        self._more = more = np.random.default_rng([seed, 1])
        self.physics = physics
        self.characters = draw_characters(rng, more, n_containers, n_ticks, physics)
        self.n_containers, self.n_sockets = n_containers, physics.n_sockets
        self.ids = np.arange(2, n_containers + 2, dtype=np.uint64)
        self._tick = 0
        self._workload = Workload(rng, more, n_containers, physics)
        self._power = Power(physics, self._workload)
        self._counts = np.zeros((n_containers, len(self.socket_of_cpu), len(FIELDS)))
        self._awake_ns = np.zeros(self.n_sockets)
        self._energy_uj = {zone: rng.integers(0, MAX_ENERGY_UJ, self.n_sockets) for zone in ZONES}

    @property
    def socket_of_cpu(self) -> tuple[int, ...]:
        """One counting CPU a socket and kind of core: what runs where within it makes no difference."""
        return tuple(np.repeat(np.arange(self.n_sockets), len(self._workload.kinds)).tolist())

    @property
    def n_cpu(self) -> int:
        """Of the whole machine."""
        return CPUS_PER_SOCKET * self.n_sockets

    def advance(self) -> PlantTick:
        """One interval."""
        self._tick += 1
        work = self._workload.advance(self.characters, self._tick)
        joules = self._power.active(self.characters, work)
        waking, idle = self._power.waking(work), self._power.idle(self._tick)
        self._power.warm(joules["package"])
        self._count(work)
        return PlantTick(self._snapshot(), self._read(joules, idle), joules, idle, waking, work)

    def _count(self, work: Work) -> None:
        late = self._rng.normal(1.0, _TIMING_NOISE, self.n_sockets)
        shared = work.shared
        if self.physics.smt_gain is not None:
            noise = self._more.normal(0.0, _SHARED_NOISE, shared.shape)
            shared = np.clip(shared + noise, 0.0, 1.0)
        columns = (
            work.cpu_seconds * 1e9,
            work.cycles,
            work.instructions,
            work.misses,
            work.cpu_seconds * _SWITCHES_PER_CPU_SECOND,
            work.cpu_seconds * 1e9 * shared,
            work.cycles * shared,
        )
        self._counts += np.stack(columns, axis=2) * self._workload.by_column(late)[np.newaxis, :, np.newaxis]
        seen = work.awake * self._more.normal(1.0, _AWAKE_NOISE, self.n_sockets)
        self._awake_ns += np.clip(seen, 0.0, 1.0) * INTERVAL_SECONDS * 1e9

    def _read(self, joules: Mapping[str, FloatArray], idle: Mapping[str, FloatArray]) -> list[ZoneReading]:
        readings = []
        for zone in ZONES:
            drawn = joules[zone].sum(axis=0) + idle[zone]
            seen = np.maximum(drawn * self._rng.normal(1.0, _METER_NOISE, self.n_sockets), 0.0)
            self._energy_uj[zone] = (self._energy_uj[zone] + (seen * 1e6).astype(np.int64)) % (
                MAX_ENERGY_UJ + 1
            )
            readings += [self._reading(zone, socket) for socket in range(self.n_sockets)]
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
            np.zeros(self._counts.shape[1:], dtype=np.uint64),
            self.physics.available,
            self._monotonic_ns,
            dict(enumerate(self._awake_ns.astype(np.int64).tolist())),
        )

    @property
    def _monotonic_ns(self) -> int:
        return round(self._tick * INTERVAL_SECONDS * 1e9)
