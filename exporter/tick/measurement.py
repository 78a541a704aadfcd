"""One tick of the path from the kernel to the ledger."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ebpf.counters import FIELDS, NOTHING_KEPT, CounterSource, Kept, KernelStatistics
from ebpf.cpus import OnlineList
from estimator.attribution.backlog import UsageBacklog
from estimator.attribution.idle import idle_shares
from estimator.attribution.platform import PlatformShares
from estimator.attribution.shares import attribute
from estimator.attribution.usage import UsageTracker
from estimator.energy import FloatArray, Usage, ZoneEnergy, ZoneShare
from estimator.machine.topology import CpuTopology, read_topology
from estimator.meters.port import ZoneReading
from estimator.meters.powercap import boottime_ns
from estimator.model.modelled import node_features
from exporter.books.ledger import IdArray, Ledger
from exporter.books.processes import ProcessLedger
from exporter.books.row_lifetimes import Lifetimes
from exporter.configuration.config import Config
from exporter.names.accounts import Account
from exporter.names.devices.port import DeviceDirectory, NoDevices
from exporter.names.pods import PodDirectory
from exporter.names.resolver import WorkloadResolver
from exporter.tariffs.tariffs import Tariffs
from exporter.tick.components import Components
from exporter.tick.gpus import ZONE as GPU
from exporter.tick.gpus import Gpus
from exporter.tick.power import Power

if TYPE_CHECKING:
    from exporter.guests.shares import GuestShares

# What a clock that is kept in step may be put back by; starts are no more exact.
_CLOCK_SLACK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick found; interval_seconds is 0 for the baseline, which only starts the counters."""

    usage: Usage
    shares: Sequence[ZoneShare]

    @property
    def interval_seconds(self) -> float:
        """The time that the usage spans."""
        return self.usage.interval_seconds


class Keeper(Protocol):
    """Writes down what outlives the process.

    downtime_seconds: before this process, by whether the kernel counted meanwhile ("true", "false").
    """

    downtime_seconds: Mapping[str, float]

    @property
    def source(self) -> Kept:
        """What the counter source of the process before this one left."""

    def restore(self, measurement: Measurement) -> None:
        """Let a measurement that has not begun go on from what was kept."""

    def keep(self, measurement: Measurement) -> None:
        """Keep what this tick brought; never raises."""

    def carry(self, families: Iterable[Any]) -> list[Any]:
        """Families of metrics, with what earlier processes counted of what stands in no ledger."""

    def close(self) -> None:
        """Let the next process go on."""


class KeepsNothing:
    """Where nothing outlives the process."""

    source = NOTHING_KEPT

    def __init__(self) -> None:
        self.downtime_seconds: Mapping[str, float] = {}

    def restore(self, measurement: Measurement) -> None:
        """There is nothing to go on from."""

    def keep(self, measurement: Measurement) -> None:
        """There is nowhere to keep it."""

    def carry(self, families: Iterable[Any]) -> list[Any]:
        """They begin with this process."""
        return list(families)

    def close(self) -> None:
        """Nothing is held."""


class Measurement:
    """Counters and energy in, the ledger brought up to date. For one thread.

    used: by feature that is measured, how much of it the whole node used since the start.
    began_seconds: the Unix time at which the process began to count, and start_seconds that of the first of
    the processes that this one goes on from: all was 0 then. since_seconds: when what came with the last tick
    was 0; starts: of each series that is no row of the books, by family and labels. wall: Unix time.
    boottime_ns: the meters' clock.
    """

    def __init__(
        self,
        config: Config,
        source: CounterSource,
        power: Power,
        topology: CpuTopology,
        resolver: WorkloadResolver,
        ledger: Ledger,
        processes: ProcessLedger | None = None,
        tariffs: Tariffs | None = None,
        keeper: Keeper | None = None,
        guests: GuestShares | None = None,
        gpus: Gpus | None = None,
        devices: DeviceDirectory | None = None,
        wall: Callable[[], float] = time.time,
        boottime_ns: Callable[[], int] = boottime_ns,
    ) -> None:
        self.source = source
        self.power = power
        self.ledger = ledger
        self.processes = processes
        self.tariffs = tariffs or Tariffs()
        self.keeper: Keeper = keeper or KeepsNothing()
        self.guests = guests
        self.gpus = gpus or Gpus()
        self.devices: DeviceDirectory = devices or NoDevices()
        self.components = Components()
        self.available: frozenset[str] = frozenset()
        self.used: dict[str, float] = {}
        self.starts: dict[tuple[str, tuple[str, ...]], float] = {}
        self._statistics: KernelStatistics | None = None
        self._newest_start = math.inf  # what is restored is looked at in the first tick
        self._wall, self._boottime_ns = wall, boottime_ns
        self._platform = PlatformShares(config.platform.rest_policy)
        self._config = config
        self._topology = topology
        self._online = OnlineList(config.host.sysfs)
        self.tracker = UsageTracker(topology)
        self._backlog = UsageBacklog()
        self._resolver = resolver
        self.count_from(wall())
        self.began_seconds = self.start_seconds = self.since_seconds

    def advance(self) -> Tick:
        """Measure everything since the last call and book it.

        Whatever raises on the way is counted by its component and raised. Where the counters cannot be read
        the meter is not read either: the next call's differences then span both ticks, and nothing is lost.
        Where the energy cannot be had, what was used is booked all the same.
        """
        now = self._wall()
        self._follow_clock(now)
        self._statistics = None
        with self.components.timed("counters"):
            snapshot = self.source.read()
        self._resolver.look_again()
        self.available = snapshot.available
        n_online = self._follow_machine()
        usage = self.tracker.update(snapshot, n_online) or self._baseline(snapshot.available)
        self.count_from(now - usage.interval_seconds)
        self._newest_start = max(self._newest_start, self.since_seconds)
        for name, amount in node_features(usage).items():
            self.used[name] = self.used.get(name, 0.0) + amount
        energies: Sequence[ZoneEnergy] = []
        shares: list[ZoneShare] = []
        try:
            try:
                with self.components.timed("power"):
                    energies = self.power.source.measure(usage)
            finally:  # what comes later is theirs too who ran in a tick without energy
                usage = self.gpus.join(usage, energies)
                on_cpus = [energy for energy in energies if energy.zone != GPU]
                spans = self._backlog.take(on_cpus, usage)
                usage = spans.usage
            with self.components.timed("attribution"):
                index = self.tracker.topology.socket_index
                shares = attribute(on_cpus, usage, self.power.coefficients, index, spans.by_path)
                shares += self.gpus.share(energies, usage)
                shares = self._with_platform(shares, usage)
        finally:
            with self.components.timed("ledger"):
                self._book(usage, shares)
        self._tell_guests()
        return Tick(usage, shares)

    def miss(self) -> Tick:
        """A tick of nothing, after one that failed: counters stay, what was true of the last tick goes."""
        tick = Tick(self._baseline(self.available), [])
        self.ledger.add(tick.usage, tick.shares)
        if self.processes is not None:
            self.processes.ledger.add(tick.usage, tick.shares)
        return tick

    @property
    def statistics(self) -> KernelStatistics:
        """What our kernel programs cost, asked once a tick."""
        if self._statistics is None:
            self._statistics = self.source.statistics()
        return self._statistics

    @property
    def longest_seconds(self) -> float:
        """How long the meter's counters may go unread; infinite without a meter."""
        return self.power.meter.longest_seconds if self.power.meter else math.inf

    @property
    def last_readings(self) -> Mapping[str, ZoneReading]:
        """By path, the readings up to which energy is booked, for another process to go on from."""
        return self._platform.kept(self.power.meter.last) if self.power.meter else {}

    def poll(self) -> None:
        """Read the meter between two ticks; never raises."""
        if self.power.meter is not None:
            self.power.meter.poll()

    @property
    def idle_policy(self) -> str:
        """How idle energy is shared out."""
        return self._config.monitor.idle_policy

    @property
    def name_errors(self) -> int:
        """Files of container names that could not be read."""
        return self._resolver.name_errors

    @property
    def pods(self) -> PodDirectory:
        """What names the pods."""
        return self._resolver.pods

    @property
    def evicted(self) -> int:
        """Rows of both ledgers that had to go before their time."""
        return self.ledger.evicted + (self.processes.ledger.evicted if self.processes else 0)

    def account_of(self, cgroup_id: int) -> Account:
        """Whom a cgroup of the last tick is charged to; a container, and not its pod."""
        return self._resolver(cgroup_id)[0]

    def set_lifetimes(self, lifetimes: Lifetimes) -> None:
        """How long ended workloads stay exported, from now on."""
        self.ledger.set_lifetimes(lifetimes)
        if self.processes is not None:
            self.processes.ledger.set_lifetimes(lifetimes)

    def count_from(self, unix_seconds: float) -> None:
        """What is booked next began then: rows that it opens were 0 at that time."""
        self.since_seconds = round(unix_seconds, 3)  # Prometheus keeps milliseconds
        self.ledger.count_from(self.since_seconds)
        if self.processes is not None:
            self.processes.ledger.count_from(self.since_seconds)

    def close(self) -> None:
        """Detach from the kernel and the meter."""
        self.devices.close()
        self.pods.close()
        self.source.close()
        self.power.close()
        self.tariffs.close()
        if self.guests is not None:
            self.guests.close()
        self.keeper.close()

    def _follow_clock(self, now: float) -> None:
        """Where the clock was ahead, starts lie in the future: they were now at the latest."""
        if self._newest_start - now <= _CLOCK_SLACK_SECONDS:
            return
        now = self._newest_start = round(now, 3)
        self.start_seconds = min(self.start_seconds, now)
        self.starts |= {series: min(start, now) for series, start in self.starts.items()}
        self.ledger.begin_by(now)
        if self.processes is not None:
            self.processes.ledger.begin_by(now)

    def _follow_machine(self) -> int:
        """How many CPUs are online: they come and go by hotplug, SMT, more vCPUs.

        A recording's machine stays as it was.
        """
        online = self._online.read()
        if online != self._topology.online and self._topology.placed:
            self._topology = read_topology(self._config.host.sysfs, self._topology)
            self.tracker.follow(self._topology)
            if self.power.calibration is not None:
                self.power.calibration.follow(self._topology.socket_index)
        return len(online)

    def _book(self, usage: Usage, shares: Sequence[ZoneShare]) -> None:
        self.ledger.ensure(self.source.directory)
        if self.idle_policy != "none":
            self._book_idle(usage, [share for share in shares if share.energy.zone != GPU])
        if reserved := self.gpus.reserved_idle():
            self.ledger.add_idle(reserved.cgroup_id, {GPU: reserved.joules}, "reserved idle")
        self.ledger.add(usage, shares, self.tariffs.of_tick(self.power.source.infos(), shares))
        if self.processes is not None:
            self.processes.add(usage, shares)
        self._resolver.forget_ended()

    def _tell_guests(self) -> None:
        """A directory that cannot be written costs its guests this tick, which the next one makes good."""
        if self.guests is not None:
            with suppress(OSError), self.components.timed("guests"):
                self.guests.share(self.ledger, self.power.source.info.source)

    def _book_idle(self, usage: Usage, shares: Sequence[ZoneShare]) -> None:
        """Policies other than proportional weigh containers, whether they ran in this tick or not."""
        is_proportional = self.idle_policy == "proportional"
        ids, weights = (usage.cgroup_id, np.zeros(0)) if is_proportional else self._weigh_containers()
        joules: dict[str, FloatArray] = {}
        for share in shares:
            part = idle_shares(share.idle_joules, share.cgroup_joules if is_proportional else weights)
            joules[share.energy.zone] = joules.get(share.energy.zone, 0.0) + part
        self.ledger.add_idle(ids, joules)

    def _weigh_containers(self) -> tuple[IdArray, FloatArray]:
        """One cgroup of every container that is alive, however many it has, and its part by the policy."""
        accounts = ((self._resolver(cgroup_id)[0], cgroup_id) for cgroup_id in self.source.directory)
        containers = {a.key: (a, cgroup_id) for a, cgroup_id in accounts if a.workload.kind == "container"}
        even = self.idle_policy == "even"
        weights = [1.0 if even else self._resolver.cpu_request_cores(a) for a, _ in containers.values()]
        ids = np.array([cgroup_id for _, cgroup_id in containers.values()], np.uint64)
        return ids, np.array(weights, np.float64)

    def _with_platform(self, shares: list[ZoneShare], usage: Usage) -> list[ZoneShare]:
        """With a board's share by what zones within it explain; what a model says of the whole stays."""
        platform = self.power.source.infos().get("platform")
        if platform is None or platform.source == "model":
            return shares
        even = lambda: self._weigh_rows(usage)  # noqa: E731  asked for by one policy alone
        rows, seconds = len(usage.cgroup_id), usage.interval_seconds
        return self._platform.complete(shares, rows, self._boottime_ns(), seconds, even)

    def _weigh_rows(self, usage: Usage) -> FloatArray:
        """1 for a row of each container that is in a usage, 0 for all others."""
        accounts = [self._resolver(cgroup_id)[0] for cgroup_id in usage.cgroup_id.tolist()]
        rows = {each.key: row for row, each in enumerate(accounts) if each.workload.kind == "container"}
        weights = np.zeros(len(accounts))
        weights[list(rows.values())] = 1.0
        return weights

    def _baseline(self, available: frozenset[str]) -> Usage:
        n_sockets = self.tracker.topology.n_sockets
        return Usage(
            cgroup_id=np.zeros(0, np.uint64),
            tgid=np.zeros(0, np.uint32),
            used=np.zeros((0, n_sockets, len(FIELDS))),
            dropped=np.zeros((n_sockets, len(FIELDS))),
            available=available,
            interval_seconds=0.0,
            n_cpu=self._topology.n_cpu,
        )


def conservation_error(share: ZoneShare) -> float:
    """How far a zone's parts are from its whole, relative; DESIGN section 4, step 5 allows 1e-9."""
    parts = float(share.cgroup_joules.sum()) + sum(share.unattributed_joules.values()) + share.idle_joules
    whole = share.energy.joules
    return abs(parts - whole) / whole if whole > 0 else abs(parts)
