"""What runs where, and what it gets done: CPU seconds, clocks, siblings, cycles, instructions, misses.

A column is a kind of core on a socket: one a socket, or, where there are efficiency cores, two, the fast ones
first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from estimator.energy import FloatArray
from tests.estimator.plant.characters import Characters
from tests.estimator.plant.physics import Physics

INTERVAL_SECONDS = 5.0
CPUS_PER_SOCKET = 16
BANDWIDTH = 4e8  # cache lines a second and socket

_CLOCK_CAPS_GHZ = (2.0, 2.6, 3.2)
_RESIDUE = 0.003  # what containers do while they rest
_REMEMBERS, _WANDERS = 0.95, 0.02  # of own clocks, by tick


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of cores; shape (n_kinds,). cpus: of each kind on a socket. The rest is over that of a fast
    core: clock, instructions a cycle, and what a cycle and a CPU second cost."""

    cpus: FloatArray
    clock: FloatArray
    ipc: FloatArray
    cycle_cost: FloatArray
    leakage: FloatArray

    def __len__(self) -> int:
        return len(self.cpus)


ALIKE = Kinds(np.array([float(CPUS_PER_SOCKET)]), *(np.ones(1) for _ in range(4)))
# As a hybrid desktop part: two thirds of the clock, two fifths of the energy of an instruction.
HYBRID = Kinds(
    cpus=np.full(2, CPUS_PER_SOCKET / 2),
    clock=np.array([1.0, 0.7]),
    ipc=np.array([1.0, 0.7]),
    cycle_cost=np.array([1.0, 0.4]),
    leakage=np.array([1.0, 0.35]),
)


@dataclass(frozen=True, slots=True)
class Work:
    """What one interval held; shape (n, n_columns), but awake and bus.

    shared: the share of its CPU time in which the core's other thread was busy. waiting: the share of cycles
    spent waiting for memory. awake: share of the interval in which some CPU of each socket was busy; bus: how
    full its memory bus was; both (n_sockets,).
    """

    cpu_seconds: FloatArray
    ghz: FloatArray
    shared: FloatArray
    cycles: FloatArray
    instructions: FloatArray
    misses: FloatArray
    waiting: FloatArray
    awake: FloatArray
    bus: FloatArray


class Workload:
    """Containers that come and go on a machine. rng, more: as for draw_characters."""

    def __init__(self, rng: np.random.Generator, more: np.random.Generator, n: int, physics: Physics) -> None:
        self._rng, self._more, self._physics = rng, more, physics
        self.kinds = HYBRID if physics.efficiency_cores else ALIKE
        self._is_on = rng.random(n) < 0.6
        self._cap_ghz = np.full(physics.n_sockets, _CLOCK_CAPS_GHZ[1])
        self._wandered = np.zeros((n, physics.n_sockets * len(self.kinds)))
        self._resting = 0.0

    def advance(self, who: Characters, tick: int) -> Work:
        """One interval."""
        cpu_seconds = self._schedule(who, tick)
        load = self.by_socket(cpu_seconds.sum(axis=0)) / (CPUS_PER_SOCKET * INTERVAL_SECONDS)
        ghz = self._clock(who, load)
        return self._execute(who, cpu_seconds, load, ghz, self._siblings(who, cpu_seconds))

    def by_socket(self, columns: FloatArray) -> FloatArray:
        """Summed over a socket's columns; shape (…, n_sockets)."""
        by_kind = columns.reshape(*columns.shape[:-1], self._physics.n_sockets, len(self.kinds))
        return np.asarray(by_kind.sum(axis=-1))

    def by_column(self, sockets: FloatArray) -> FloatArray:
        """A socket's value for each of its columns; shape (…, n_columns)."""
        return np.repeat(sockets, len(self.kinds), axis=-1)

    def of_kind(self, values: FloatArray) -> FloatArray:
        """A kind's value for each column that is of it; shape (n_columns,)."""
        return np.tile(values, self._physics.n_sockets)

    def _schedule(self, who: Characters, tick: int) -> FloatArray:
        """CPU seconds by container and column: bursts and pauses, cut to what the column has."""
        rng, n = self._rng, len(who.cpus)
        flips = rng.random(n) < 1 / np.where(self._is_on, who.on, who.off)
        self._is_on ^= flips
        there = (who.first <= tick) & (tick < who.last)
        wanted = who.cpus * (there & self._is_on) * rng.uniform(0.8, 1.2, n) * INTERVAL_SECONDS
        wanted = wanted + who.trickle * there * INTERVAL_SECONDS
        if self._rests():
            wanted = np.where(who.never_rests, wanted, _RESIDUE * wanted)
        columns = wanted[:, np.newaxis] * self._share_of_column(who)
        taken = columns * (1 + who.owns_cores[:, np.newaxis])
        capacity = self.of_kind(self.kinds.cpus) * INTERVAL_SECONDS
        return np.asarray(columns * np.minimum(1.0, capacity / np.maximum(taken.sum(axis=0), 1e-9)))

    def _rests(self) -> bool:
        load = self._physics.load
        if load.pause_every:
            begins = self._more.random() < 1 / load.pause_every
            length = 2 + self._more.poisson(load.pause - 2)
            self._resting = max(self._resting - 1, length if begins and not self._resting else 0)
        return self._resting > 0

    def _share_of_column(self, who: Characters) -> FloatArray:
        if len(self.kinds) == 1:
            return who.share_of_socket
        slow = who.on_efficiency[:, np.newaxis]
        by_kind = np.stack([1 - slow + 0 * who.share_of_socket, slow + 0 * who.share_of_socket], axis=2)
        return (who.share_of_socket[:, :, np.newaxis] * by_kind).reshape(len(slow), -1)

    def _clock(self, who: Characters, load: FloatArray) -> FloatArray:
        """GHz by container and column: the socket's, under a cap that the governor moves now and then, lower
        under load, with jitter; or each container's own, which wanders."""
        rng, n_sockets = self._rng, len(load)
        moved = rng.random(n_sockets) < 1 / 60
        self._cap_ghz = np.where(moved, rng.choice(_CLOCK_CAPS_GHZ, n_sockets), self._cap_ghz)
        socket = self._cap_ghz * (1.1 - 0.2 * load) * rng.normal(1.0, 0.01, n_sockets)
        of_kind = self.of_kind(self.kinds.clock)
        if not self._physics.own_clocks:
            return self.by_column(socket) * of_kind + np.zeros_like(self._wandered)
        steps = self._more.normal(0.0, _WANDERS, self._wandered.shape)
        self._wandered = _REMEMBERS * self._wandered + steps
        return np.asarray(who.own_ghz[:, np.newaxis] * of_kind * np.exp(self._wandered))

    def _siblings(self, who: Characters, cpu_seconds: FloatArray) -> FloatArray:
        """The share of its time in which a container's thread has a busy sibling.

        Whole cores leave the rest of the column's CPUs to the others, who meet as often as those are busy; a
        scheduler that prefers idle cores puts that off until half of the CPUs are.
        """
        if self._physics.smt_gain is None:
            return np.zeros_like(cpu_seconds)
        busy = cpu_seconds / INTERVAL_SECONDS
        owns = who.owns_cores[:, np.newaxis]
        left = self.of_kind(self.kinds.cpus) - 2 * (busy * owns).sum(axis=0)
        fill = np.clip((busy * ~owns).sum(axis=0) / np.maximum(left, 1e-9), 0.0, 1.0)
        crowded = np.clip(2 * fill - 1, 0.0, 1.0) / np.maximum(fill, 1e-9)
        first = self._physics.idle_cores_first
        met = first * crowded + (1 - first) * fill
        often = who.sociable[:, np.newaxis] * self._more.normal(1.0, 0.03, busy.shape)
        # Where every thread is busy there is no luck left.
        return np.where(owns, 0.0, np.clip(met * (met + (1 - met) * often), 0.0, 1.0))

    def _awake(self, who: Characters, cpu_seconds: FloatArray) -> FloatArray:
        """As if containers ran at times of their own: a socket sleeps while all of them do."""
        busy = self.by_socket(cpu_seconds) / INTERVAL_SECONDS
        alone = np.minimum(
            busy / np.maximum(who.lanes[:, np.newaxis], busy), 1.0, where=busy > 0, out=busy * 0
        )
        return np.asarray(1 - np.prod(1 - alone, axis=0))

    def _execute(
        self, who: Characters, cpu_seconds: FloatArray, load: FloatArray, ghz: FloatArray, shared: FloatArray
    ) -> Work:
        cycles = cpu_seconds * ghz * 1e9 * who.clock_share[:, np.newaxis]
        pressure = self.by_column(1 + 0.5 * load)
        rate = np.minimum(who.misses[:, np.newaxis] * pressure, 0.03)
        bound = rate / (rate + 0.004)
        ipc = who.ipc[:, np.newaxis] * self.of_kind(self.kinds.ipc)
        # Two threads that each do half of `gain`.
        gain = self._physics.smt_gain or 2.0
        unhindered = cycles * ipc * (1 - 0.5 * bound) * (1 - (1 - gain / 2) * shared)
        demand = self.by_socket((unhindered * rate).sum(axis=0)) / INTERVAL_SECONDS / BANDWIDTH
        slowed = self.by_column((1 + demand**4) ** -0.25)
        instructions = unhindered * (1 - bound * (1 - slowed))
        misses = instructions * rate * self._rng.normal(1.0, 0.02, rate.shape)
        return Work(
            cpu_seconds=cpu_seconds,
            ghz=ghz,
            shared=shared,
            cycles=cycles,
            instructions=instructions,
            misses=misses,
            waiting=0.5 * bound + 0.3 * bound * (1 - slowed),
            awake=self._awake(who, cpu_seconds),
            bus=self.by_socket(misses.sum(axis=0)) / INTERVAL_SECONDS / BANDWIDTH,
        )
