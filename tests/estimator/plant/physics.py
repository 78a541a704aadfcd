"""What a machine does beside the plain, and how its containers come and go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebpf.counters import FIELDS

ALL_COUNTERS = frozenset((*FIELDS, "awake_ns"))

# What is drawn, between which ends.
SMT_GAIN, WAKE_WATTS, OWN_GHZ = (1.15, 1.35), (5.0, 40.0), (1.2, 3.6)


@dataclass(frozen=True, slots=True)
class Load:
    """How containers run.

    sparse: now and then, for a tick or a few, with a trickle in between, so that a socket sleeps part of the
    time. steady: so many never pause; on_socket: on this one alone, which then never idles. pause_every,
    pause: mean distance and mean length, in ticks, of times in which all others rest; 0: there are none.
    """

    sparse: bool = False
    steady: int = 0
    on_socket: int | None = None
    pause_every: float = 0.0
    pause: float = 8.0


@dataclass(frozen=True, slots=True)
class Step:
    """From a tick on every socket's zone draws so much more while nothing runs: a fan, a second DIMM."""

    tick: int
    zone: str
    watts: float


@dataclass(frozen=True, slots=True)
class Physics:
    """A machine; the default is the plain one.

    smt_gain: two threads of a core do so many times the work of one; None: one thread a core. own_cores: the
    share of containers that have whole cores to themselves. idle_cores_first: how far the scheduler keeps to
    idle cores while there are any; 0 where threads are pinned. own_clocks: whether each container's cores
    have a clock of their own, rather than the socket's. wake_watts: what a socket draws more while some CPU
    of it is busy. efficiency_cores: whether half of each socket's CPUs are slower and thriftier.
    idle_factors, cost_factors: by socket, of the usual. steps: of idle power; drift: the share that it gains
    in an hour. available: the counters that are counted.
    """

    n_sockets: int = 2
    smt_gain: float | None = None
    own_cores: float = 0.0
    idle_cores_first: float = 0.85
    own_clocks: bool = False
    wake_watts: float = 0.0
    efficiency_cores: bool = False
    idle_factors: tuple[float, ...] = ()
    cost_factors: tuple[float, ...] = ()
    steps: tuple[Step, ...] = ()
    drift: float = 0.0
    load: Load = Load()
    available: frozenset[str] = ALL_COUNTERS


PLAIN = Physics()


def draw(
    seed: int,
    *,
    siblings: bool = False,
    clocks: bool = False,
    sleeps: bool = False,
    efficiency_cores: bool = False,
    load: Load = Load(),
    steps: tuple[Step, ...] = (),
    drift: float = 0.0,
) -> Physics:
    """A machine of two sockets that does what is asked for, as much as the seed says.

    siblings: SMT, where half of the containers own whole cores and the others' threads are pinned.
    """
    rng = _of(seed)
    gain, wake = rng.uniform(*SMT_GAIN), rng.uniform(*WAKE_WATTS)
    return Physics(
        smt_gain=gain if siblings else None,
        own_cores=0.5 if siblings else 0.0,
        idle_cores_first=0.0 if siblings else PLAIN.idle_cores_first,
        own_clocks=clocks,
        wake_watts=wake if sleeps else 0.0,
        efficiency_cores=efficiency_cores,
        load=load,
        steps=steps,
        drift=drift,
    )


def draw_four_sockets(seed: int) -> Physics:
    """Sockets 0 and 1 are alike, 2 and 3 are like none; 1 never idles, the others do now and then."""
    rng = _of(seed)
    idle, cost = rng.uniform(0.7, 1.4, 3), rng.uniform(0.8, 1.25, 3)
    return Physics(
        n_sockets=4,
        idle_factors=(idle[0], *idle),
        cost_factors=(cost[0], *cost),
        load=Load(steady=4, on_socket=1, pause_every=90),
    )


def draw_any(seed: int) -> Physics:
    """Any machine: one to four sockets, each physics or not, idling now and then, much or little."""
    rng = _of(seed)
    n_sockets = int(rng.integers(1, 5))
    has = dict(zip(("smt", "clocks", "sleeps", "hybrid", "sparse"), rng.random(5) < 0.5, strict=True))
    pinned = bool(has["smt"]) and rng.random() < 0.5
    return Physics(
        n_sockets=n_sockets,
        smt_gain=rng.uniform(*SMT_GAIN) if has["smt"] else None,
        own_cores=0.5 if pinned else 0.0,
        idle_cores_first=0.0 if pinned else PLAIN.idle_cores_first,
        own_clocks=bool(has["clocks"]),
        wake_watts=rng.uniform(*WAKE_WATTS) if has["sleeps"] else 0.0,
        efficiency_cores=bool(has["hybrid"]),
        idle_factors=tuple(rng.uniform(0.5, 2.0, n_sockets).tolist()),
        cost_factors=tuple(rng.uniform(0.8, 1.25, n_sockets).tolist()),
        drift=rng.uniform(-0.03, 0.03),
        load=Load(sparse=bool(has["sparse"]), pause_every=rng.uniform(60.0, 240.0)),
    )


def draw_size(seed: int) -> int:
    """How many containers a machine has: 8 to 120."""
    return round(8 * 15 ** _of(seed + 1_000_000).random())


def _of(seed: int) -> np.random.Generator:
    return np.random.default_rng([13, seed])
