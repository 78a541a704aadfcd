"""The ports of the live sources over a recording: a CounterSource and an EnergySource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebpf.counters import FIELDS, NOTHING_KEPT, CounterArray, CounterSnapshot, Kept, KernelStatistics
from estimator.calibration.calibration import Calibration
from estimator.calibration.place import ZoneCalibration, recorded_status
from estimator.energy import SourceInfo, Usage, ZoneEnergy
from exporter.names.accounts import Account
from exporter.names.container_names import ContainerNames
from exporter.names.resolver import WorkloadResolver
from exporter.recording.moments import NO_SOCKET, Moment, Names

Keys = npt.NDArray[np.uint64]


class Playback:
    """Holds both sources at the same tick; before the first `step` they stand at the baseline: nothing.

    sockets: the physical numbers; the counters have one CPU each, or one for all where the recording does
    not tell sockets apart. sysfs: where the number of CPUs online is put for the measurement to read.
    """

    def __init__(self, sockets: Sequence[int], tells_sockets: bool, sysfs: Path) -> None:
        self.counters = RecordedCounters(sockets if tells_sockets else sockets[:1])
        self.energy = RecordedEnergy()
        self.calibration = RecordedCalibration()
        self.names: Names = {}
        self._online = sysfs / "devices/system/cpu/online"
        self._online.parent.mkdir(parents=True)
        self._n_cpu = 0
        self._now_seconds = 0.0

    def clock(self) -> float:
        """The time of the tick, in seconds; never goes back."""
        return self._now_seconds

    def step(self, tick: Moment) -> None:
        """Go on to a tick."""
        self._now_seconds = max(self._now_seconds, tick.timestamp_seconds)
        self.names = tick.names
        self.counters.step(tick)
        self.energy.step(tick)
        self.calibration.step(tick)
        if tick.n_cpu != self._n_cpu:
            self._n_cpu = tick.n_cpu
            self._online.write_text(f"0-{tick.n_cpu - 1}\n")


class RecordedDirectory:
    """The cgroups of one tick, a CgroupDirectory; ids are its own, since a reboot gives the kernel's anew."""

    def __init__(self) -> None:
        self._ids: dict[tuple[int, str | None], int] = {}
        self._paths: dict[int, str | None] = {}
        self._alive: set[int] = set()
        self.revision = 0

    def step(self, keys: Sequence[tuple[int, str | None]], is_alive: Sequence[bool]) -> Keys:
        """Take over a tick's cgroups, by the kernel's id and the path; the ids that they have here."""
        self.revision += 1
        ids = [self._ids.setdefault(key, len(self._ids) + 1) for key in keys]
        self._paths = {made: path for made, (_, path) in zip(ids, keys, strict=True)}
        self._alive = {made for made, alive in zip(ids, is_alive, strict=True) if alive}
        return np.array(ids, np.uint64)

    def path(self, cgroup_id: int) -> str | None:
        """See CgroupDirectory."""
        return self._paths.get(cgroup_id)

    def is_alive(self, cgroup_id: int) -> bool:
        """See CgroupDirectory."""
        return cgroup_id in self._alive

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._alive))


class RecordedCounters:
    """A CounterSource over a recording: the deltas added up again. sockets: one CPU each."""

    name = "recording"

    def __init__(self, sockets: Sequence[int]) -> None:
        self.directory = RecordedDirectory()
        self._sockets = np.asarray(sockets)
        self._statistics = KernelStatistics()
        self._snapshot = CounterSnapshot(
            cgroup_id=np.zeros(0, np.uint64),
            tgid=np.zeros(0, np.uint32),
            values=np.zeros((0, len(sockets), len(FIELDS)), np.uint64),
            dropped=np.zeros((len(sockets), len(FIELDS)), np.uint64),
            available=frozenset(),
            monotonic_ns=0,
        )

    def step(self, tick: Moment) -> None:
        """Add a tick."""
        before, counted = self._snapshot, ~tick.is_dropped
        rows = np.flatnonzero(counted).tolist()
        ids = self.directory.step(
            [(int(tick.cgroup_id[row]), tick.paths[row]) for row in rows], tick.is_alive[counted].tolist()
        )
        # One cgroup has a row for each socket.
        unique, at = np.unique(ids, return_inverse=True)
        values = self._carried(unique)
        self._add(values, at, tick.socket[counted], tick.counts[counted])
        dropped = before.dropped[np.newaxis].copy()
        n_dropped = int(tick.is_dropped.sum())
        self._add(
            dropped, np.zeros(n_dropped, np.intp), tick.socket[tick.is_dropped], tick.counts[tick.is_dropped]
        )
        self._snapshot = CounterSnapshot(
            cgroup_id=unique,
            tgid=np.zeros(len(unique), np.uint32),
            values=values,
            dropped=dropped[0],
            available=tick.available,
            monotonic_ns=before.monotonic_ns + round(tick.interval_seconds * 1e9),
            awake_ns={
                **before.awake_ns,
                **{
                    socket: before.awake_ns.get(socket, 0) + round(seconds * 1e9)
                    for socket, seconds in tick.awake_seconds.items()
                },
            },
        )
        context = tick.context
        self.name = str(context["counters"])
        self._statistics = KernelStatistics(**context["statistics"])

    def _carried(self, ids: Keys) -> CounterArray:
        """What these had by the last tick; one that was not in it begins at 0, as the tracker takes it."""
        before = self._snapshot
        values = np.zeros((len(ids), *before.values.shape[1:]), np.uint64)
        _, now, then = np.intersect1d(ids, before.cgroup_id, assume_unique=True, return_indices=True)
        values[now] = before.values[then]
        return values

    def _add(
        self,
        values: CounterArray,
        rows: npt.NDArray[np.intp],
        sockets: npt.NDArray[np.int32],
        counts: CounterArray,
    ) -> None:
        """values[row, socket] += counts; what is not told apart is dealt out in whole numbers."""
        n = len(self._sockets)
        known = sockets != NO_SOCKET
        cpus = (
            np.searchsorted(self._sockets, sockets[known]) if n > 1 else np.zeros(int(known.sum()), np.intp)
        )
        np.add.at(values, (rows[known], cpus), counts[known])
        share, rest = np.divmod(counts[~known], np.uint64(n))
        for cpu in range(n):
            np.add.at(values, (rows[~known], cpu), share + (rest > cpu).astype(np.uint64))

    def read(self) -> CounterSnapshot:
        """See the CounterSource port."""
        return self._snapshot

    def statistics(self) -> KernelStatistics:
        """What the recorded source cost by then."""
        return self._statistics

    def kept(self) -> Kept:
        """A recording begins anew each time."""
        return NOTHING_KEPT

    def close(self) -> None:
        """Nothing is held open."""


class RecordedEnergy:
    """An EnergySource over a recording: the energies of the tick, whatever the usage."""

    def __init__(self) -> None:
        self.info = SourceInfo("none")
        self._infos: Mapping[str, SourceInfo] = {}
        self._energies: Sequence[ZoneEnergy] = ()
        self._context: Mapping[str, Any] = {}

    def step(self, tick: Moment) -> None:
        """Go on to a tick."""
        self._energies, self._context = tick.energies, tick.context
        self.info = SourceInfo(**tick.context["power"])
        self._infos = self._told_infos()

    def infos(self) -> Mapping[str, SourceInfo]:
        """See EnergySource."""
        return self._infos

    def _told_infos(self) -> dict[str, SourceInfo]:
        """A recording from before there were several sources knows one for all zones."""
        if "powers" in self._context:
            return {zone: SourceInfo(**info) for zone, info in self._context["powers"].items()}
        had = (zone for zone, info in self._infos.items() if info == self.info)
        return dict.fromkeys((*had, *(energy.zone for energy in self._energies)), self.info)

    def measure(self, usage: Usage) -> list[ZoneEnergy]:  # noqa: ARG002  the port's signature
        """What was measured or estimated in the tick."""
        return list(self._energies)

    def errors(self) -> Mapping[str, int]:
        """The cumulative counts by then."""
        return dict(self._context.get("errors", {}))

    def refused(self) -> Mapping[str, int]:
        """Model files refused by then."""
        return dict(self._context.get("refused", {}))

    def coefficients(self) -> Mapping[str, Mapping[str, float]]:
        """Those in force in the tick."""
        found: Mapping[str, Mapping[str, float]] = self._context.get("coefficients", {})
        return found


class RecordedCalibration(Calibration):
    """A calibration that learns nothing and stands as the recorded one stood."""

    def __init__(self) -> None:
        super().__init__({}, is_frozen=True)
        self._recorded: list[ZoneCalibration] = []

    def step(self, tick: Moment) -> None:
        """Go on to a tick."""
        told = tick.context["calibration"] or {"status": [], "skipped": {}}
        self.skipped = told["skipped"]
        self._recorded = list(map(recorded_status, told["status"]))

    def status(self) -> list[ZoneCalibration]:
        """See Calibration."""
        return self._recorded


class RecordedResolver(WorkloadResolver):
    """A resolver that gives accounts the names they had then, and looks for none on this machine."""

    def __init__(self, directory: RecordedDirectory, playback: Playback) -> None:
        super().__init__(directory, ContainerNames(Path("/nonexistent")))
        self._playback = playback

    def __call__(self, cgroup_id: int) -> tuple[Account, ...]:
        """See WorkloadResolver."""
        return tuple(map(self._as_recorded, super().__call__(cgroup_id)))

    def _as_recorded(self, account: Account) -> Account:
        name, namespace = self._playback.names.get(account.key, (account.name, account.namespace))
        return replace(account, name=name, namespace=namespace)
