"""The GPUs' part of a tick: their energy goes to who kept them busy, not by the CPU's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray, Usage, ZoneEnergy, ZoneShare
from estimator.gpu.activity import Activity, ActivityLog, Process, Spans, together
from estimator.gpu.idle import IdleFloor
from estimator.gpu.port import Gpu
from estimator.gpu.shares import PlaceEnergy, busy_ratio, divide, share_place, split_gpu
from exporter.tick.gpu_idle_file import GpuIdleFile

ZONE = "gpu"

Holders = Callable[[], Mapping[str, tuple[str, ...]]]
"""The UIDs of the pods that have reserved a device, by its id: the UUID or address of a GPU or instance."""


@dataclass(frozen=True, slots=True)
class GpuLabels:
    """How people call a place of the zone gpu. index: "0", or "0.1" of an instance."""

    index: str
    uuid: str
    name: str
    vendor: str


@dataclass(frozen=True, slots=True)
class ReservedIdle:
    """Idle energy of GPUs that pods have reserved, by a cgroup of the pod; both of shape (n,)."""

    cgroup_id: npt.NDArray[np.uint64]
    joules: FloatArray


class Gpus:
    """Follows the GPUs of a machine over the ticks; where there is none, costs nothing. For one thread.

    logs: where the threads that read GPUs say what they saw. holders: see Holders. cgroup_of_pod: a cgroup
    whose energy is the pod's, by its UID; None for a pod that is not there. by_process: whether usage tells
    processes apart. idle_file: where what idling draws outlives the process.
    """

    def __init__(
        self,
        logs: Sequence[ActivityLog] = (),
        *,
        idle_watts: float | None = None,
        idle_file: GpuIdleFile | None = None,
        by_process: bool = False,
        is_reserved_idle: bool = True,
        holders: Holders = dict,
        cgroup_of_pod: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        self._logs, self._by_process, self._is_reserved_idle = logs, by_process, is_reserved_idle
        self._holders_of, self._cgroup_of_pod = holders, cgroup_of_pod
        self._idle_file = idle_file or GpuIdleFile(None)
        self._floor = IdleFloor(idle_watts, self._idle_file.load())
        self._spans = Spans()
        self._by_uuid: dict[str, Gpu] = {}
        self._by_address: dict[str, Gpu] = {}
        self._labels: dict[str, GpuLabels] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._held: dict[str, tuple[int, ...]] = {}
        self._shares: Sequence[tuple[ZoneShare, tuple[int, ...]]] = ()

    @property
    def labels(self) -> Mapping[str, GpuLabels]:
        """By path, of every GPU and instance that has given energy to this process."""
        return self._labels

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """By the same paths, as what a device plugin may know each."""
        return self._names

    @property
    def idle_methods(self) -> Mapping[str, str]:
        """By path of a GPU, how its idle power is known."""
        return {uuid: self._floor.method(uuid) for uuid in self._by_uuid if self._floor.watts(uuid)}

    def join(self, usage: Usage, energies: Iterable[ZoneEnergy]) -> Usage:
        """The tick's usage, with rows of zeros for who may get energy of a GPU and used no CPU."""
        self._shares = ()
        self._listen()
        if not any(energy.zone == ZONE for energy in energies):
            return usage
        self._held = self._held_now()
        keys = {self._key(process) for process in self._spans.processes}
        keys |= {(cgroup_id, 0) for held in self._held.values() for cgroup_id in held}
        missing = sorted(keys - _keys(usage))
        return _widened(usage, missing) if missing else usage

    def share(self, energies: Iterable[ZoneEnergy], usage: Usage) -> list[ZoneShare]:
        """Share out the energies of the zone gpu. usage: as `join` gave it, or with more rows."""
        wanted = [energy for energy in energies if energy.zone == ZONE]
        if not wanted:
            return []
        row_of = {key: row for row, key in enumerate(_key_list(usage))}
        places = [place for energy in wanted for place in self._places(energy)]
        self._idle_file.save(self._floor.kept)
        self._shares = [self._share(place, row_of, len(row_of)) for place in places]
        return [share for share, _ in self._shares]

    def reserved_idle(self) -> ReservedIdle | None:
        """Of what was shared out last, the idle energy that is on the account of who reserved the GPU."""
        joules: dict[int, float] = {}
        for share, held in self._shares if self._is_reserved_idle else ():
            for cgroup_id in held:
                joules[cgroup_id] = joules.get(cgroup_id, 0.0) + share.idle_joules / len(held)
        if not joules:
            return None
        return ReservedIdle(np.array(list(joules), np.uint64), np.array(list(joules.values())))

    def _listen(self) -> None:
        for log in self._logs:
            looks = log.take()
            self._spans.add(looks)
            for gpu in looks[-1].gpus if looks else ():
                self._by_uuid[gpu.uuid] = gpu
                if gpu.address:
                    self._by_address[gpu.address] = gpu

    def _held_now(self) -> dict[str, tuple[int, ...]]:
        """The cgroups of the pods that hold a device, by its id."""
        found = {}
        for device, pods in self._holders_of().items():
            cgroups = [cgroup_id for pod in pods if (cgroup_id := self._cgroup_of_pod(pod)) is not None]
            if cgroups:
                found[device] = tuple(cgroups)
        return found

    def _places(self, energy: ZoneEnergy) -> list[PlaceEnergy]:
        gpu = self._by_uuid.get(energy.path) or self._by_address.get(energy.device)
        self._labels |= _labels(energy, gpu)
        if gpu is not None and gpu.instances:
            return self._places_of_instances(energy, gpu)
        activity = self._ran(gpu.uuid if gpu else energy.path, energy)
        return [self._whole(energy, activity, busy_ratio(activity), is_watched=gpu is not None)]

    def _ran(self, place: str, energy: ZoneEnergy) -> Activity:
        """In the span of an energy; where nobody has looked for long enough, whoever was there then."""
        activity = self._spans.take(place, energy.interval_seconds)
        if activity.seconds > 0:
            return activity
        untold = 0.0 if activity.busy else energy.interval_seconds
        return replace(activity, seconds=energy.interval_seconds, untold_seconds=untold)

    def _places_of_instances(self, energy: ZoneEnergy, gpu: Gpu) -> list[PlaceEnergy]:
        ran = {each.uuid: self._ran(each.uuid, energy) for each in gpu.instances}
        ratio = min(1.0, sum(each.share * busy_ratio(ran[each.uuid]) for each in gpu.instances))
        whole = self._whole(energy, together(list(ran.values())), ratio, is_watched=True)
        return divide(whole, gpu.instances, ran)

    def _whole(
        self, energy: ZoneEnergy, activity: Activity, ratio: float, *, is_watched: bool
    ) -> PlaceEnergy:
        """is_watched: whether who uses it is looked at, now and then."""
        self._floor.learn(energy, activity, is_watched=is_watched)
        energy = replace(energy, idle_watts=self._floor.watts(energy.path))
        return PlaceEnergy(energy, split_gpu(energy, activity, ratio), activity)

    def _share(
        self, place: PlaceEnergy, row_of: Mapping[tuple[int, int], int], n_rows: int
    ) -> tuple[ZoneShare, tuple[int, ...]]:
        names = self._names[place.energy.path] = self._names_of(place.energy)
        held = next((held for name in names if (held := self._held.get(name))), ())
        rows = {process: row_of[self._key(process)] for process in place.activity.busy}
        share = share_place(place, rows, [row_of[cgroup_id, 0] for cgroup_id in held], n_rows)
        return share, held

    def _names_of(self, energy: ZoneEnergy) -> tuple[str, ...]:
        """By which a device plugin may call a place: its UUID, its address, or as its driver numbers it."""
        gpu = self._by_uuid.get(energy.path)
        return energy.path, energy.device, f"{gpu.vendor}{gpu.index}" if gpu else energy.path

    def _key(self, process: Process) -> tuple[int, int]:
        return process.cgroup_id, process.pid if self._by_process else 0


def _labels(energy: ZoneEnergy, gpu: Gpu | None) -> dict[str, GpuLabels]:
    """By path. gpu: None where a meter tells nothing but its power."""
    if gpu is None:
        return {energy.path: GpuLabels("", energy.device or energy.path, "", "")}
    found = {each.uuid: GpuLabels(each.index, each.uuid, gpu.name, gpu.vendor) for each in gpu.instances}
    return {energy.path: GpuLabels(gpu.index, gpu.uuid, gpu.name, gpu.vendor), **found}


def _key_list(usage: Usage) -> list[tuple[int, int]]:
    return list(zip(usage.cgroup_id.tolist(), usage.tgid.tolist(), strict=True))


def _keys(usage: Usage) -> set[tuple[int, int]]:
    return set(_key_list(usage))


def _widened(usage: Usage, keys: Sequence[tuple[int, int]]) -> Usage:
    return replace(
        usage,
        cgroup_id=np.concatenate([usage.cgroup_id, np.array([key[0] for key in keys], np.uint64)]),
        tgid=np.concatenate([usage.tgid, np.array([key[1] for key in keys], np.uint32)]),
        used=np.concatenate([usage.used, np.zeros((len(keys), *usage.used.shape[1:]))]),
    )
