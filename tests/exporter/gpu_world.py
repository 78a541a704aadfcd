"""A node in memory with two GPUs: a pod holds and uses the first, another holds the second and idles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from estimator.gpu.activity import Activity, ActivityLog, Look, Process
from estimator.gpu.port import Gpu
from exporter.names.devices.pod_cgroups import PodCgroups
from exporter.names.devices.port import NoDevices
from exporter.names.pods import ContainerInfo, PodInfo
from exporter.names.resolver import WorkloadResolver
from exporter.tick.gpus import Gpus
from tests.exporter.names.test_naming import FakePods
from tests.exporter.nodes import UID, Node, Samples, in_pod

GPUS = (Gpu(0, "gpu-0", "H100", "nvidia"), Gpu(1, "gpu-1", "H100", "nvidia"))
IDLE_WATTS = 40.0


def _pod(number: int, name: str) -> PodInfo:
    names = {f"{number:064x}": ContainerInfo("main")}
    return PodInfo(f"{number:08x}{UID[8:]}", name, "ml", containers=names)


TRAIN, HOARD = _pod(1, "train-0"), _pod(2, "hoard-0")


class Held(NoDevices):
    """Each pod has one device, in its container main."""

    def __init__(self, held: Mapping[str, tuple[str, ...]]) -> None:
        self._held = held

    def holders(self) -> Mapping[str, tuple[str, ...]]:
        return self._held

    def containers(self, pod_uid: str) -> tuple[str, ...]:
        return ("main",)


@dataclass
class GpuWorld:
    """held: by device, the UIDs of pods; the second GPU by its number, as some plugins call it."""

    held: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"gpu-0": (TRAIN.uid,), "nvidia1": (HOARD.uid,)}
    )

    def __post_init__(self) -> None:
        self.seen = ActivityLog()
        devices = Held(self.held)
        self.node = Node(
            sockets=2,  # a counter of each zone a socket, which makes two GPUs
            zones=("package", "gpu"),
            pods=FakePods(TRAIN, HOARD),
            gpus=Gpus(
                [self.seen],
                idle_watts=IDLE_WATTS,
                holders=devices.holders,
                cgroup_of_pod=self._cgroup_of_pod,
            ),
            devices=devices,
        )
        directory = self.node.source.directory
        resolver: WorkloadResolver = self.node.measurement._resolver
        self._cgroups = PodCgroups(directory, resolver, devices)
        self.train, self.hoard = self._add(1), self._add(2)

    def _cgroup_of_pod(self, uid: str) -> int | None:
        return self._cgroups(uid)

    def _add(self, number: int) -> int:
        return self.node.source.add(in_pod(number, pod=number))

    def run(self, gpu_watts: float = 300.0, seconds: float = 5.0) -> None:
        """What is drawn and done until the next tick: the first GPU is busy, both draw idle."""
        self.node.source.use(in_pod(1, pod=1), 1.0)
        self.node.draw(20.0 * seconds)
        for counter in self.node.counters:
            if counter.zone == "gpu":
                counter.draw((gpu_watts if counter.path == "gpu-0" else IDLE_WATTS) * seconds)
        busy = Activity(seconds, {Process(self.train, 7): seconds}, busy_seconds=seconds)
        self.seen.add(Look(GPUS, {"gpu-0": busy, "gpu-1": Activity(seconds)}))

    def tick(self) -> Samples:
        """One tick of it; the page."""
        self.run()
        return self.node.tick()
