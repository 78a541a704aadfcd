"""Usages, energies and readings in the few words a test needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ebpf.counters import FIELDS
from estimator.energy import Usage, ZoneEnergy
from estimator.machine.topology import CpuTopology
from estimator.meters.port import ZoneReading

ALL_FIELDS = frozenset(FIELDS)


def usage_of(
    used: npt.ArrayLike,
    dropped: npt.ArrayLike | None = None,
    *,
    available: frozenset[str] = ALL_FIELDS,
    interval_seconds: float = 5.0,
    n_cpu: int = 4,
) -> Usage:
    """used: shape (n, n_sockets, n_fields), where the last fields may be left out, which are 0 then; nothing
    dropped unless it is given."""
    array = whole(used)
    nothing = np.zeros(array.shape[1:])
    return Usage(
        cgroup_id=np.arange(1, len(array) + 1, dtype=np.uint64),
        tgid=np.zeros(len(array), dtype=np.uint32),
        used=array,
        dropped=nothing if dropped is None else whole(dropped),
        available=available,
        interval_seconds=interval_seconds,
        n_cpu=n_cpu,
    )


def whole(counts: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Counts of the first fields as counts of all."""
    array = np.asarray(counts, dtype=np.float64)
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, len(FIELDS) - array.shape[-1])])


def cpu_usage(cpu_seconds: Sequence[Sequence[float]], **rest: object) -> Usage:
    """cpu_seconds: by cgroup and socket; the other counters stay 0."""
    used = np.zeros((len(cpu_seconds), len(cpu_seconds[0]), len(FIELDS)))
    used[:, :, 0] = np.asarray(cpu_seconds) * 1e9
    return usage_of(used, **rest)  # type: ignore[arg-type]


ANY_USAGE = usage_of(np.zeros((0, 1, len(FIELDS))))


def energy_of(
    joules: float, zone: str = "package", socket: int | None = 0, idle_watts: float | None = 0.0
) -> ZoneEnergy:
    """What a zone drew in 5 s."""
    return ZoneEnergy(zone, socket, f"{zone}-{socket}", joules, 5.0, idle_watts, joules, joules)


def reading(
    energy_uj: int,
    seconds: float = 0.0,
    *,
    zone: str = "package",
    socket: int | None = 0,
    path: str = "intel-rapl:0",
    max_energy_uj: int = 262_143_328_850,
    most_watts: float | None = None,
) -> ZoneReading:
    """A reading at so many seconds."""
    return ZoneReading(zone, socket, path, energy_uj, max_energy_uj, round(seconds * 1e9), most_watts)


def topology(socket_of_cpu: Sequence[int]) -> CpuTopology:
    """CPUs that are all online, by the index of their socket."""
    cpus = tuple(range(len(socket_of_cpu)))
    return CpuTopology(
        cpus, tuple(socket_of_cpu), tuple(range(max(socket_of_cpu, default=0) + 1)), frozenset(cpus)
    )
