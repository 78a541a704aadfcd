"""A node of one or two sockets whose power is plainly linear, for tests of calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from estimator.calibration.calibration import Calibration
from estimator.energy import FloatArray, Usage, ZoneEnergy
from tests.estimator.usages import usage_of

INTERVAL_SECONDS = 5.0
N_CPU = 8
IDLE_WATTS = 20.0
# Joules per nanosecond of CPU time, cycle, instruction and miss; nothing shares a core.
TRUE = np.array([2e-9, 1e-9, 0.5e-9, 2e-8, 0.0, 0.0, 0.0])


def node_usage(
    rng: np.random.Generator, load: float | None = None, n_sockets: int = 1, n_cpu: int = N_CPU
) -> Usage:
    """Two cgroups on each socket, of IPC and misses of their own; load: CPUs busy a socket, drawn if None."""
    busy = rng.uniform(0, 3, (2, n_sockets)) if load is None else np.full((2, n_sockets), load / 2)
    cpu = busy * INTERVAL_SECONDS
    ipc, misses = np.array([[0.6], [2.0]]), np.array([[1e-2], [1e-5]])
    cycles = cpu * 2.5e9
    nothing = np.zeros_like(cpu)
    columns = (cpu * 1e9, cycles, cycles * ipc, cycles * ipc * misses, cpu * 100, nothing, nothing)
    return usage_of(np.stack(columns, axis=2), interval_seconds=INTERVAL_SECONDS, n_cpu=n_cpu)


def node_energies(
    usage: Usage,
    scale: float = 1.0,
    noise: Sequence[float] | FloatArray = (0.0,),
    idle_watts: float = IDLE_WATTS,
) -> list[ZoneEnergy]:
    """What each socket's package draws for the usage; noise, a share, by socket, repeated."""
    active = (usage.used.sum(axis=0) @ TRUE) * scale
    joules = (active + idle_watts * INTERVAL_SECONDS) * (1 + np.resize(noise, len(active)))
    return [package(float(value), socket) for socket, value in enumerate(joules)]


def package(joules: float, socket: int = 0, interval_seconds: float = INTERVAL_SECONDS) -> ZoneEnergy:
    path = f"package-{socket}"
    return ZoneEnergy("package", socket, path, joules, interval_seconds, None, joules, joules)


def taught(ticks: int = 80, seed: int = 0, n_sockets: int = 1) -> Calibration:
    """A calibration that has seen a changing load."""
    rng = np.random.default_rng(seed)
    calibration = Calibration({socket: socket for socket in range(n_sockets)})
    teach(calibration, rng, ticks, n_sockets)
    return calibration


def teach(calibration: Calibration, rng: np.random.Generator, ticks: int, n_sockets: int = 1) -> None:
    for _ in range(ticks):
        usage = node_usage(rng, n_sockets=n_sockets)
        calibration.learn(node_energies(usage, noise=rng.normal(0, 0.003, n_sockets)), usage)


def one(calibration: Calibration) -> tuple[float, dict[str, float]]:
    """Idle power and coefficients of the only place."""
    (status,) = calibration.status()
    assert status.fit is not None
    return status.fit.idle_watts, dict(status.fit.coefficients)
