"""A host in memory whose machines' trees are on disk, and guests in memory that read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ebpf.fake import FakeCounterSource
from estimator.energy import EnergySource, SourceInfo, Usage, ZoneEnergy
from estimator.meters.host_tree import HostMeter
from estimator.meters.metered import MeteredEnergy
from exporter.guests.emulators import Emulator
from exporter.guests.shares import GuestShares
from exporter.names.pods import PodDirectory
from tests.exporter.nodes import Node, container

WEB, DB = r"/machine.slice/machine-qemu\x2d1\x2dweb.scope", r"/machine.slice/machine-qemu\x2d2\x2ddb.scope"
UUIDS = {WEB: "4dea22b3-1d52-d8f3-2516-782e98ab3fa0", DB: "00000000-0000-0000-0000-00000000000b"}
CONTAINER = container(1)
IDLE_WATTS = {"package": 4.0, "dram": 0.4}


class Idling:
    """A meter's energy with idle power in it, as once it was learned."""

    def __init__(self, meter: EnergySource) -> None:
        self._meter = meter
        self.infos = meter.infos

    @property
    def info(self) -> SourceInfo:
        return self._meter.info

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        return [replace(energy, idle_watts=IDLE_WATTS[energy.zone]) for energy in self._meter.measure(usage)]

    def errors(self) -> Mapping[str, int]:
        return self._meter.errors()


class Host:
    """`share` holds the trees of the machines in the cgroups `paths`; time is the host's own."""

    def __init__(
        self, share: Path, *paths: str, idle_policy: str = "none", pods: PodDirectory | None = None
    ) -> None:
        self.share, self.pods = share, pods
        share.mkdir(exist_ok=True)
        self.emulators: dict[str, Emulator] = {}
        self.source = FakeCounterSource(n_cpu=2)
        for path in paths:
            self.begin(path)
        self.source.add(CONTAINER)
        self.start(idle_policy)

    def begin(self, path: str) -> None:
        """The machine is started."""
        self.emulators[path] = Emulator(UUIDS[path], (f"{path}/libvirt/emulator",))
        self.source.add(path)

    def start(self, idle_policy: str = "none") -> None:
        """Another process on it, whose books begin at 0."""
        self.node = Node(
            zones=("package", "dram"), source=self.source, idle_policy=idle_policy, pods=self.pods
        )
        measurement = self.node.measurement
        measurement.power = replace(measurement.power, source=Idling(measurement.power.source))
        lock = os.open(self.share, os.O_RDONLY)
        shares = GuestShares(self.share, lock, Path("/proc"), self.find, self.node.seconds)
        measurement.guests = shares
        self.node.advance()

    def find(self, procfs: Path) -> list[Emulator]:
        return list(self.emulators.values())

    def work(self, seconds: float = 5.0, watts: float = 30.0, cpu_seconds: float = 2.0) -> None:
        """One tick in which machines and a container run."""
        for path in (*self.emulators, CONTAINER):
            self.source.use(path, cpu_seconds)
        self.node.draw(watts * seconds)
        self.node.draw(watts / 10 * seconds, "dram")
        self.node.advance(seconds)

    def end(self, path: str) -> None:
        """The machine is shut down."""
        del self.emulators[path]
        self.source.end(path)

    def billed(self, path: str) -> dict[str, float]:
        """Joules by zone, active and idle."""
        balances = self.node.measurement.ledger.balances("vm", "container")
        row = [account.workload.cgroup for account in balances.accounts].index(path)
        both = balances.joules[row] + balances.idle_joules[row]
        return dict(zip(balances.zones, both.tolist(), strict=True))

    def tree(self, path: str) -> Path:
        return self.share / UUIDS[path]

    def counter_uj(self, path: str, zone: str = "intel-rapl:0") -> int:
        return int((self.tree(path) / zone / "energy_uj").read_text())


class Guest:
    """A machine with one cgroup that works; its first tick is the baseline, its time its own."""

    def __init__(self, tree: Path) -> None:
        self.source = FakeCounterSource(n_cpu=2)
        self.source.add("/system.slice/a.service")
        self.meter = HostMeter(tree, clock=lambda: self.source.monotonic_ns)
        self.energy = MeteredEnergy(self.meter, suspended_ns=lambda: 0)
        self.node = Node(source=self.source, energy=self.energy)
        self.tick(0.1)

    def tick(self, seconds: float = 5.0) -> None:
        self.source.use("/system.slice/a.service", 0.5)
        self.node.advance(seconds)

    @property
    def joules(self) -> dict[str, float]:
        """What it has by zone; its books balance, so this is idle, cgroups and rest together."""
        return {zone.zone: zone.joules for zone in self.node.measurement.ledger.node.zones()}
