"""A node in memory, from its cgroups and energy counters to the rendered page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from ebpf.fake import FakeCounterSource
from estimator.energy import EnergySource
from estimator.machine.topology import CpuTopology, assemble, read_topology
from estimator.meters.fake import FakeMeter
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import MeterError, ZoneReading
from exporter.books.ledger import Ledger
from exporter.books.processes import ProcessLedger
from exporter.books.row_lifetimes import Lifetimes
from exporter.configuration.config import Config
from exporter.configuration.option_tree import Exporters, Host, Kube, Monitor, Prometheus
from exporter.configuration.platform_options import Platform
from exporter.configuration.tariff_options import Carbon, Cost
from exporter.names.container_names import ContainerNames
from exporter.names.devices.port import DeviceDirectory
from exporter.names.pods import PodDirectory
from exporter.names.resolver import WorkloadResolver
from exporter.serving.publisher import PagePublisher
from exporter.tariffs.choice import known_tariffs
from exporter.tariffs.tariffs import Tariffs
from exporter.tick.gpus import Gpus
from exporter.tick.measurement import Measurement, Tick
from exporter.tick.power import Power
from exporter.tick.ticker import Ticker

UID = "7e44ee88-1e65-4a16-8cdf-9a90c819180e"
NODE = ("node", "container", "vm", "pod")
TOP_UJ = 262_143_328_850
NO_SUCH_ROOT = Path("/nonexistent")
FIXTURES = Path(__file__).parents[1] / "fixtures"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def container(number: int) -> str:
    return f"/docker/{number:064x}"


def in_pod(number: int, pod: int = 0) -> str:
    return f"/kubepods/pod{pod:08x}{UID[8:]}/{number:064x}"


@dataclass
class Counter:
    """One energy counter; failing: what it answers instead of a reading."""

    zone: str
    socket: int | None
    path: str
    energy_uj: int = 0
    failing: MeterError | None = None

    def draw(self, joules: float) -> None:
        self.energy_uj = (self.energy_uj + round(joules * 1e6)) % (TOP_UJ + 1)


class Node:
    """Cgroups by `source`, energy by `counters`, time by `tick`, which measures and parses the page."""

    def __init__(
        self,
        *,
        sockets: int = 1,
        zones: tuple[str, ...] = ("package",),
        levels: tuple[str, ...] = NODE,
        idle_policy: str = "none",
        ttl: float = 300.0,
        procfs: Path = NO_SUCH_ROOT,
        energy: EnergySource | None = None,
        source: FakeCounterSource | None = None,
        pods: PodDirectory | None = None,
        kube: Kube = Kube("n1"),  # noqa: B008  frozen
        carbon: Carbon | None = None,
        cost: Cost | None = None,
        tariffs: Tariffs | None = None,
        sysfs: Path | None = None,
        power: Power | None = None,
        epoch: float = 0.0,
        gpus: Gpus | None = None,
        devices: DeviceDirectory | None = None,
        rest_policy: str = "none",
        boottime_ns: Callable[[], int] | None = None,
        names: ContainerNames | None = None,
    ) -> None:
        self._names = names or ContainerNames(NO_SUCH_ROOT)
        self.pods, self.gpus, self.devices = pods, gpus, devices
        self.epoch, self._boottime_ns = epoch, boottime_ns
        self.source = source or FakeCounterSource(n_cpu=2 * sockets)
        self.counters = [
            Counter(zone, socket, f"{zone}-{socket}") for zone in zones for socket in range(sockets)
        ]
        monitor = Monitor(interval_seconds=5.0, terminated_ttl_seconds=ttl, idle_policy=idle_policy)
        self.config = Config(
            host=Host(sysfs or FIXTURES / f"sysfs/{2 * sockets}_cpus", procfs, NO_SUCH_ROOT),
            monitor=monitor,
            exporter=Exporters(Prometheus(levels)),
            kube=kube,
            platform=Platform(rest_policy),
            carbon=carbon or Carbon(),
            cost=cost or Cost(),
        )
        self._tariffs = tariffs or known_tariffs(self.config.carbon, self.config.cost, self.seconds)
        energy = energy or MeteredEnergy(FakeMeter(iter(self._readings, None)))
        self.measurement = self._measure(
            power or Power(energy, {}, lambda: None), read_topology(sysfs) if sysfs else _topology(sockets)
        )
        self.begin()

    def begin(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Have a ticker and what it publishes, by this clock."""
        self.publisher = PagePublisher(self.config, self.measurement, clock)
        self.ticker = Ticker(self.config, self.measurement, self.publisher, clock)

    def _measure(self, power: Power, topology: CpuTopology) -> Measurement:
        resolver = WorkloadResolver(self.source.directory, self._names, self.pods)
        lifetimes = Lifetimes(
            self.config.monitor.terminated_ttl_seconds,
            clock=self.seconds,
            silence_seconds=self.config.kube.names_timeout_seconds,
        )
        by_process = "process" in self.config.exporter.prometheus.metrics_level
        return Measurement(
            config=self.config,
            source=self.source,
            power=power,
            topology=topology,
            resolver=resolver,
            ledger=Ledger(
                resolver,
                self.source.directory.is_alive,
                lifetimes,
                resolver.again,
                lambda: self.source.directory.revision,
            ),
            processes=ProcessLedger(self.config.host.procfs, resolver, lifetimes) if by_process else None,
            tariffs=self._tariffs,
            gpus=self.gpus,
            devices=self.devices,
            wall=lambda: self.epoch + self.seconds(),
            boottime_ns=self._boottime_ns or (lambda: self.source.monotonic_ns),
        )

    def seconds(self) -> float:
        """The node's time, which began in 1970."""
        return self.source.monotonic_ns / 1e9

    def draw(self, joules: float, zone: str = "package") -> None:
        """Let every counter of a zone go up."""
        for counter in self.counters:
            if counter.zone == zone:
                counter.draw(joules)

    def advance(self, seconds: float = 5.0) -> Tick:
        """Time passes, and it is measured."""
        self.source.advance(seconds)
        return self.measurement.advance()

    def tick(self, seconds: float = 5.0) -> Samples:
        """The same as the ticker does it; what is on the page then."""
        self.source.advance(seconds)
        self.ticker.tick()
        return self.samples()

    def samples(self) -> Samples:
        assert self.publisher.page is not None
        return parse(self.publisher.page.body().decode())

    def joules(self, *kinds: str) -> dict[str, float]:
        """Of the first zone, by the workload's id."""
        balances = self.measurement.ledger.balances(*kinds)  # type: ignore[arg-type]
        ids = [account.workload.id for account in balances.accounts]
        return dict(zip(ids, balances.joules[:, 0].tolist(), strict=True))

    def _readings(self) -> list[ZoneReading | MeterError]:
        now = self.source.monotonic_ns
        return [
            each.failing or ZoneReading(each.zone, each.socket, each.path, each.energy_uj, TOP_UJ, now)
            for each in self.counters
        ]


def _topology(sockets: int) -> CpuTopology:
    cpus = range(2 * sockets)
    return assemble(cpus, cpus, {cpu: cpu // 2 for cpu in cpus})


def parse(text: str) -> Samples:
    """Every sample by name and labels; no series is there twice."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in samples, f"{key} is there twice"
            samples[key] = sample.value
    return samples


def of(samples: Samples, name: str, **labels: str) -> float:
    """The sum over the series of a family with these labels among theirs."""
    return sum(series(samples, name, **labels).values())


def series(samples: Samples, name: str, **labels: str) -> Samples:
    """The series of a family with these labels among theirs."""
    wanted = labels.items()
    return {key: value for key, value in samples.items() if key[0] == name and wanted <= set(key[1])}


def write_process(procfs: Path, pid: int, comm: str, exe: str = "", start_ticks: int = 1) -> None:
    """A process in a procfs, or another one with the same PID."""
    for folder in (procfs / "2", procfs / str(pid)):
        folder.mkdir(parents=True, exist_ok=True)
    (procfs / "2/comm").write_text("kthreadd\n")
    (folder / "comm").write_text(f"{comm}\n")
    rest = " ".join(["S", *(["0"] * 18), str(start_ticks), "0", "0"])
    (folder / "stat").write_text(f"{pid} ({comm}) {rest}\n")
    (folder / "exe").unlink(missing_ok=True)
    if exe:
        (folder / "exe").symlink_to(exe)


def with_levels(config: Config, levels: tuple[str, ...]) -> Config:
    return replace(config, exporter=Exporters(Prometheus(levels)))


def labels_of(samples: Mapping[tuple[str, tuple[tuple[str, str], ...]], float], label: str) -> set[str]:
    return {dict(labels).get(label, "") for _, labels in samples}
