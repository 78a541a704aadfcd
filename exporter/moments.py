"""One tick as it is recorded: what was used and drawn in it, by whom, and what was in force."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from ebpf.counters import CgroupDirectory, CounterSource
from estimator.calibration import Calibration
from estimator.energy import FloatArray, SourceInfo, Usage, ZoneEnergy
from exporter.power import Power
from exporter.workloads import identify

IdArray = npt.NDArray[np.uint64]

# Those that are exported from their first tick on, whether they have run or not; see Ledger.ensure.
_SHOWN_IDLE = ("container", "pod", "vm")


@dataclass(frozen=True, slots=True, eq=False)
class Cgroup:
    """A cgroup as its first sighting found it; path None for one that was never seen."""

    path: str | None
    kind: str
    container_id: str | None
    pod_uid: str | None


@dataclass(frozen=True, slots=True)
class Moment:
    """One tick. The rows are those of the counters, then those that are alive, shown and used nothing.

    cgroup_id, is_alive: shape (n,); cgroups: n of them. sockets: the physical numbers, or (None,) where the
    counters cannot tell sockets apart. used: shape (n, n_sockets, n_fields), whole numbers, in the order of
    FIELDS; dropped: (n_sockets, n_fields). context: JSON, see `describe_context`.
    """

    timestamp_seconds: float
    interval_seconds: float
    n_cpu: int
    available: frozenset[str]
    cgroup_id: IdArray
    cgroups: Sequence[Cgroup]
    is_alive: npt.NDArray[np.bool_]
    sockets: Sequence[int | None]
    used: FloatArray
    dropped: FloatArray
    energies: Sequence[ZoneEnergy]
    source: str
    context: str


class Sightings:
    """The cgroups of a directory as the ledger knows them: by what was found when they were first seen."""

    def __init__(self, directory: CgroupDirectory) -> None:
        self._directory = directory
        self._known: dict[int, Cgroup] = {}

    def idle(self, counted: Iterable[int]) -> list[int]:
        """The ids that are alive and shown, and not among those counted."""
        rest = set(self._directory).difference(counted)
        return sorted(cgroup_id for cgroup_id in rest if self._find(cgroup_id).kind in _SHOWN_IDLE)

    def look_up(self, ids: Sequence[int]) -> tuple[list[Cgroup], npt.NDArray[np.bool_]]:
        """Each one's cgroup, and whether it is alive; what has ended, or is not asked for, is let go of."""
        found = [self._find(cgroup_id) for cgroup_id in ids]
        alive = np.fromiter(map(self._directory.is_alive, ids), np.bool_, len(ids))
        self._known = {
            cgroup_id: cgroup
            for cgroup_id, cgroup in self._known.items()
            if self._directory.is_alive(cgroup_id)
        }
        return found, alive

    def _find(self, cgroup_id: int) -> Cgroup:
        cgroup = self._known.get(cgroup_id)
        if cgroup is None:
            cgroup = self._known[cgroup_id] = _identify(self._directory.path(cgroup_id))
        return cgroup


def _identify(path: str | None) -> Cgroup:
    if path is None:
        return Cgroup(None, "other", None, None)
    workload = identify(path)
    container_id = workload.id if workload.kind == "container" else None
    # A directory name may be any bytes, a Parquet string must be UTF-8.
    return Cgroup(
        path.encode("utf-8", "replace").decode(), workload.kind, container_id, workload.pod_uid or None
    )


def capture(
    timestamp_seconds: float,
    usage: Usage,
    energies: Sequence[ZoneEnergy],
    sightings: Sightings,
    physical_ids: Sequence[int],
    info: SourceInfo,
    context: str,
) -> Moment:
    """The tick that has this usage and these energies; physical_ids: of usage's sockets."""
    counted = usage.cgroup_id.tolist()
    idle = sightings.idle(counted)
    cgroups, alive = sightings.look_up(counted + idle)
    used = np.concatenate([usage.used, np.zeros((len(idle), *usage.used.shape[1:]))])
    sockets, used, dropped = _by_socket(used, usage.dropped, physical_ids)
    return Moment(
        timestamp_seconds=timestamp_seconds,
        interval_seconds=usage.interval_seconds,
        n_cpu=usage.n_cpu,
        available=usage.available,
        cgroup_id=np.concatenate([usage.cgroup_id, np.array(idle, np.uint64)]),
        cgroups=cgroups,
        is_alive=alive,
        sockets=sockets,
        used=used,
        dropped=dropped,
        energies=energies,
        source=info.source,
        context=context,
    )


def _by_socket(
    used: FloatArray, dropped: FloatArray, physical_ids: Sequence[int]
) -> tuple[Sequence[int | None], FloatArray, FloatArray]:
    """Sockets that are equal in every counter of every cgroup are one number spread evenly: take it back."""
    is_spread = (
        len(physical_ids) > 1 and bool((used == used[:, :1]).all()) and bool((dropped == dropped[:1]).all())
    )
    if not is_spread:
        return tuple(physical_ids), used, dropped
    whole = np.rint(used.sum(axis=1, keepdims=True)), np.rint(dropped.sum(axis=0, keepdims=True))
    return (None,), *whole


def describe_context(counters: CounterSource, power: Power) -> str:
    """What was in force and how it fared, for a replay to export the same, as one line of JSON.

    counters: the source's name; statistics: KernelStatistics; power: SourceInfo; errors and refused: the
    cumulative counts; coefficients: joules per unit of each feature by zone; calibration: None without one,
    else a ZoneCalibration a zone and path in `status`, and what was `skipped`.
    """
    return json.dumps(
        {
            "counters": counters.name,
            "statistics": asdict(counters.statistics()),
            "power": asdict(power.source.info),
            "errors": dict(power.source.errors()),
            "refused": dict(power.refused()),
            "coefficients": {zone: dict(beta) for zone, beta in power.coefficients.items()},
            "calibration": _describe_calibration(power.calibration),
        }
    )


def _describe_calibration(calibration: Calibration | None) -> dict[str, object] | None:
    if calibration is None:
        return None
    return {"status": list(map(asdict, calibration.status())), "skipped": calibration.skipped}


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
        return capture(
            self._clock(), usage, energies, self._sightings, self._physical_ids, self.info, context
        )
