"""What each container is like."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray
from tests.estimator.plant.physics import OWN_GHZ, Load, Physics

_NEVER = 1e9  # ticks
_STEADY_CPUS = (0.8, 1.6)


@dataclass(frozen=True, slots=True)
class Characters:
    """What each container is like; all of shape (n,) but share_of_socket, (n, n_sockets).

    cpus: CPUs it keeps busy while it is on. clock_share: its cycles over the socket's clock. misses: cache
    lines per instruction with the cache to itself. cost, dram_cost: what its work costs over the average.
    on, off: mean length of its bursts and pauses, ticks. first, last: ticks between which it is there.
    trickle: CPUs it keeps busy while it is off. never_rests: whether it goes on while all others pause.
    lanes: threads that run at the same time, so that a second of them keeps a socket awake for less.
    owns_cores: whether no other's thread runs on its cores; sociable: how often a sibling is busy, over the
    average. own_ghz: the clock of its cores, where each has its own. on_efficiency: the share of its time
    that it spends on the slower cores, where there are some.
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
    trickle: FloatArray
    never_rests: npt.NDArray[np.bool_]
    lanes: FloatArray
    owns_cores: npt.NDArray[np.bool_]
    sociable: FloatArray
    own_ghz: FloatArray
    on_efficiency: FloatArray


def draw_characters(
    rng: np.random.Generator, more: np.random.Generator, n: int, n_ticks: int, physics: Physics
) -> Characters:
    """From busy loops to memory hogs; the first two never run; a third come late, a third leave early.

    rng: of what every machine has, so that the same seed has the same containers on all of them; more: of
    the rest.
    """
    preference = rng.dirichlet([0.4] * physics.n_sockets, n)
    first = np.where(rng.random(n) < 0.33, rng.integers(0, n_ticks // 2, n), 0)
    last = np.where(rng.random(n) < 0.33, first + rng.integers(n_ticks // 6, n_ticks, n), n_ticks)
    cpus = rng.uniform(0.1, 2.0, n)
    cpus[:2] = 0.0
    drawn = Characters(
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
        trickle=np.zeros(n),
        never_rests=np.zeros(n, dtype=np.bool_),
        lanes=more.uniform(1.0, 3.0, n),
        owns_cores=more.random(n) < physics.own_cores,
        sociable=more.lognormal(0.0, 0.15, n),
        own_ghz=more.uniform(*OWN_GHZ, n),
        on_efficiency=more.beta(0.5, 0.5, n),
    )
    if physics.own_clocks:
        drawn = replace(drawn, clock_share=np.ones(n))
    if physics.load.sparse:
        drawn = _sparse(drawn, more)
    return _steady(drawn, more, physics.load)


def _sparse(who: Characters, more: np.random.Generator) -> Characters:
    """Requests and timers: short, far apart, and health checks in between."""
    n = len(who.cpus)
    runs = who.cpus > 0
    return replace(
        who,
        cpus=runs * more.uniform(0.05, 1.0, n),
        on=more.uniform(1.0, 4.0, n),
        off=more.uniform(10.0, 120.0, n),
        trickle=runs * more.lognormal(np.log(0.002), 0.7, n),
    )


def _steady(who: Characters, more: np.random.Generator, load: Load) -> Characters:
    """The last ones are servers that always have something to do."""
    if not load.steady:
        return who
    chosen = np.arange(len(who.cpus)) >= len(who.cpus) - load.steady
    share = who.share_of_socket.copy()
    if load.on_socket is not None:
        share[chosen] = np.arange(share.shape[1]) == load.on_socket
    return replace(
        who,
        cpus=np.where(chosen, more.uniform(*_STEADY_CPUS, len(chosen)), who.cpus),
        off=np.where(chosen, 1.0, who.off),
        on=np.where(chosen, _NEVER, who.on),
        first=np.where(chosen, 0.0, who.first),
        last=np.where(chosen, _NEVER, who.last),
        share_of_socket=share,
        never_rests=chosen,
    )
