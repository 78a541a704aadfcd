"""One tick as it is recorded and read back: what was used and drawn, by whom, and what was in force."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ebpf.counters import CgroupDirectory, CounterArray, CounterSource
from estimator.calibration.calibration import Calibration
from estimator.energy import FloatArray, SourceInfo, Usage, ZoneEnergy
from exporter.names.workloads import Kind, identify
from exporter.tick.power import Power

Sockets = npt.NDArray[np.int32]
Names = Mapping[tuple[Kind, str], tuple[str, str]]
"""(kind, id) -> (name, namespace), for containers and pods."""

NO_SOCKET = -1

# Those that are exported from their first tick on, whether they have run or not; see Ledger.ensure.
_SHOWN_IDLE = ("container", "pod", "vm")


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One tick: a row a cgroup and socket, then one a socket for what the kernel's map could not hold.

    Sockets that a cgroup did not run on have no row, unless it is the first. counts: shape (n, n_fields),
    deltas in the order of FIELDS, 0 where not measured. cgroup_id, is_alive, is_dropped, socket (physical,
    NO_SOCKET where not told apart): shape (n,); paths: n, as first seen, None for one that never was.
    context: see `describe_context`. names: as far as they are known once it is read back. awake_seconds: by
    physical socket, empty where nobody counts it.
    """

    timestamp_seconds: float
    interval_seconds: float
    n_cpu: int
    available: frozenset[str]
    counts: CounterArray
    cgroup_id: npt.NDArray[np.uint64]
    is_dropped: npt.NDArray[np.bool_]
    is_alive: npt.NDArray[np.bool_]
    socket: Sockets
    paths: Sequence[str | None]
    energies: Sequence[ZoneEnergy]
    context: Mapping[str, Any]
    names: Names = field(default_factory=dict)
    awake_seconds: Mapping[int, float] = field(default_factory=dict)


class Sightings:
    """The cgroups of a directory as the ledger knows them: by what was found when they were first seen."""

    def __init__(self, directory: CgroupDirectory) -> None:
        self._directory = directory
        self._known: dict[int, tuple[str | None, Kind]] = {}

    def idle(self, counted: Iterable[int]) -> list[int]:
        """The ids that are alive and shown, and not among those counted."""
        rest = set(self._directory).difference(counted)
        return sorted(cgroup_id for cgroup_id in rest if self._find(cgroup_id)[1] in _SHOWN_IDLE)

    def look_up(self, ids: Sequence[int]) -> tuple[list[str | None], npt.NDArray[np.bool_]]:
        """Each one's path, and whether it is alive; what has ended, or is not asked for, is let go of."""
        paths = [self._find(cgroup_id)[0] for cgroup_id in ids]
        is_alive = self._directory.is_alive
        self._known = {cgroup_id: found for cgroup_id, found in self._known.items() if is_alive(cgroup_id)}
        return paths, np.fromiter(map(is_alive, ids), np.bool_, len(ids))

    def _find(self, cgroup_id: int) -> tuple[str | None, Kind]:
        if cgroup_id not in self._known:
            path = self._directory.path(cgroup_id)
            # A directory name may be any bytes, a Parquet string must be UTF-8.
            self._known[cgroup_id] = (
                (None, "other")
                if path is None
                else (path.encode("utf-8", "replace").decode(), identify(path).kind)
            )
        return self._known[cgroup_id]


def capture(
    timestamp_seconds: float,
    usage: Usage,
    energies: Sequence[ZoneEnergy],
    sightings: Sightings,
    physical_ids: Sequence[int],
    context: Mapping[str, Any],
) -> Moment:
    """The tick that has this usage and these energies; physical_ids: of usage's sockets.

    Besides those that were counted, those that are alive, shown and used nothing.
    """
    ids = usage.cgroup_id.tolist()
    ids += sightings.idle(ids)
    paths, is_alive = sightings.look_up(ids)
    idle = np.zeros((len(ids) - len(usage.used), *usage.used.shape[1:]))
    sockets, used, dropped = _by_socket(np.concatenate([usage.used, idle]), usage.dropped, physical_ids)
    has_row = np.any(used != 0, axis=2)
    has_row[:, 0] = True
    rows, at = np.nonzero(has_row)
    nobody = np.zeros(len(sockets), np.uint64)
    return Moment(
        timestamp_seconds=timestamp_seconds,
        interval_seconds=usage.interval_seconds,
        n_cpu=usage.n_cpu,
        available=usage.available,
        counts=np.rint(np.concatenate([used[rows, at], dropped])).astype(np.uint64),
        cgroup_id=np.concatenate([np.array(ids, np.uint64)[rows], nobody]),
        is_dropped=np.arange(len(rows) + len(nobody)) >= len(rows),
        is_alive=np.concatenate([is_alive[rows], nobody > 0]),
        socket=np.concatenate([sockets[at], sockets]),
        paths=[*(paths[row] for row in rows.tolist()), *([None] * len(nobody))],
        energies=energies,
        context=context,
        awake_seconds=_by_physical(usage, physical_ids),
    )


def _by_physical(usage: Usage, physical_ids: Sequence[int]) -> dict[int, float]:
    if usage.awake_seconds is None:
        return {}
    return dict(zip(physical_ids, usage.awake_seconds.tolist(), strict=True))


def _by_socket(
    used: FloatArray, dropped: FloatArray, physical_ids: Sequence[int]
) -> tuple[Sockets, FloatArray, FloatArray]:
    """Sockets that are equal in every counter of every cgroup are one number spread evenly: take it back."""
    is_spread = (
        len(physical_ids) > 1 and bool((used == used[:, :1]).all()) and bool((dropped == dropped[:1]).all())
    )
    if not is_spread:
        return np.array(physical_ids, np.int32), used, dropped
    whole = used.sum(axis=1, keepdims=True), dropped.sum(axis=0, keepdims=True)
    return np.array([NO_SOCKET], np.int32), *whole


def describe_context(counters: CounterSource, power: Power) -> dict[str, Any]:
    """What was in force and how it fared, for a replay to export the same, as JSON can hold it.

    counters: the source's name; statistics: KernelStatistics; power: SourceInfo; powers: the same by zone;
    errors and refused: the cumulative counts; coefficients: joules per unit of each feature by zone;
    calibration: None without one, else a ZoneCalibration a zone and path in `status`, and what was `skipped`.
    """
    return {
        "counters": counters.name,
        "statistics": asdict(counters.statistics()),
        "power": asdict(power.source.info),
        "powers": {zone: asdict(info) for zone, info in power.source.infos().items()},
        "errors": dict(power.source.errors()),
        "refused": dict(power.refused()),
        "coefficients": {zone: dict(beta) for zone, beta in power.coefficients.items()},
        "calibration": _describe_calibration(power.calibration),
    }


def _describe_calibration(calibration: Calibration | None) -> dict[str, object] | None:
    if calibration is None:
        return None
    return {"status": list(map(asdict, calibration.status())), "skipped": dict(calibration.skipped)}


class RecordedPower:
    """An EnergySource that hands each tick on as it passes; `record` never raises."""

    def __init__(
        self,
        power: Power,
        counters: CounterSource,
        physical_ids: Sequence[int],
        record: Callable[[Moment], None],
        clock: Callable[[], float],
    ) -> None:
        self._power = power
        self._counters = counters
        self._physical_ids = physical_ids
        self._record = record
        self._clock = clock
        self._sightings = Sightings(counters.directory)

    @property
    def info(self) -> SourceInfo:
        """The source's."""
        return self._power.source.info

    def infos(self) -> Mapping[str, SourceInfo]:
        """The source's."""
        return self._power.source.infos()

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        """What the source says; where it fails, what was used is recorded all the same."""
        energies: list[ZoneEnergy] = []
        try:
            energies = self._power.source.measure(usage)
        finally:
            if usage.interval_seconds > 0:
                self._record(self._capture(usage, energies))
        return energies

    def errors(self) -> Mapping[str, int]:
        """Those of the source."""
        return self._power.source.errors()

    def _capture(self, usage: Usage, energies: Sequence[ZoneEnergy]) -> Moment:
        context = describe_context(self._counters, self._power)
        return capture(self._clock(), usage, energies, self._sightings, self._physical_ids, context)
