"""The CPU time of one whole tick, from the kernel to the rendered page; 1,000 containers, and all ran."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from ebpf.counters import CPU_NS, CounterSource
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from estimator.machine.topology import read_topology
from estimator.meters.metered import MeteredEnergy
from estimator.meters.powercap import PowercapMeter
from exporter.books.ledger import Ledger
from exporter.configuration.config import Config
from exporter.configuration.option_tree import Host, Kube
from exporter.names.container_names import ContainerNames
from exporter.names.resolver import WorkloadResolver
from exporter.serving.publisher import PagePublisher
from exporter.tick.measurement import Measurement, Tick
from exporter.tick.power import Power
from exporter.tick.ticker import Ticker
from tests.bench import host
from tests.bench.containers import CONTAINERS, containers, followed
from tests.bench.rows import Row, at_most
from tests.bench.wide import WideSource
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live.test_events import STAND_INS

WARM_UP, TICKS = 3, 30
WAKE_MILLISECONDS, PAUSE_SECONDS = 100, 0.3  # every container wakes more than once between two ticks
# Where CPU time is short some sleepers are woken late, or run in stolen time, which no task is charged with.
ENOUGH = 0.98 * CONTAINERS
MANY_CPUS = 128
PARTS = ("counters", "power", "attribution", "ledger", "render")


@dataclass(slots=True)
class _Times:
    """CPU milliseconds of the ticks, and wall-clock milliseconds of their parts."""

    tick: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PARTS})

    def __str__(self) -> str:
        low, *_, high = sorted(self.tick)
        parts = ", ".join(f"{name} {median(times):.1f}" for name, times in self.parts.items())
        return f"median {median(self.tick):.1f}, {low:.1f} to {high:.1f} ms; {parts}"


def bench_tick() -> list[Row]:
    """On this machine's CPUs as they are, and on 128 CPUs in two sockets."""
    with containers(wake_milliseconds=WAKE_MILLISECONDS) as parent, tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder) / "few", Path(folder) / "many"
        tree = host.this_machine_with_rapl(few)
        n_cpu = read_topology(few).n_cpu
        here = _time(_here(few), few, tree, lambda: time.sleep(PAUSE_SECONDS))
        ids = [entry.stat().st_ino for entry in parent.iterdir() if entry.is_dir()]
        wide = WideSource(_options(), MANY_CPUS, ids)
        there = _time(wide, many, host.two_sockets_with_rapl(many, MANY_CPUS), wide.use)
    return [
        _row(f"{n_cpu} CPUs, real counts and software events", here, 15.0),
        _row(f"{MANY_CPUS} CPUs and two sockets, made-up counts in a real map", there, 12.0),
    ]


def _row(what: str, times: _Times, budget: float) -> Row:
    name = f"CPU of one tick, {CONTAINERS:,} containers, {what}"
    return at_most(name, str(times), median(times.tick), budget, "ms")


def _options() -> ProgramOptions:
    return ProgramOptions(followed(), events=STAND_INS)


def _here(sysfs: Path) -> CounterSource:
    return open_source("core", replace(_options(), sysfs=sysfs))


class _Watched(Measurement):
    """A measurement that keeps its last tick."""

    last: Tick

    def advance(self) -> Tick:
        self.last = super().advance()
        return self.last


def _time(source: CounterSource, sysfs: Path, tree: RaplTree, use: Callable[[], object]) -> _Times:
    """use: lets every container use something before each tick."""
    config = Config(host=Host(sysfs=sysfs), kube=Kube(node_name="bench"))
    measurement, times = _measurement(config, source), _Times()
    with closing(measurement):
        ticker = Ticker(config, measurement, PagePublisher(config, measurement))
        for number in range(WARM_UP + TICKS):
            use()
            tree.advance_all(20.0)
            milliseconds = _tick(ticker)
            if number >= WARM_UP:
                _check(measurement)
                times.tick.append(milliseconds)
                for name, kept in times.parts.items():
                    kept.append(measurement.components.by_name[name].duration_seconds * 1e3)
    return times


def _tick(ticker: Ticker) -> float:
    before = time.thread_time()
    ticker.tick()
    return (time.thread_time() - before) * 1e3


def _check(measurement: _Watched) -> None:
    tick = measurement.last
    ran = int((tick.usage.used[:, :, CPU_NS].sum(axis=1) > 0).sum())
    charged = sum(int((share.cgroup_joules > 0).sum()) for share in tick.shares)
    assert ran >= ENOUGH, f"only {ran} cgroups ran between two ticks"
    assert charged >= 2 * ENOUGH, f"only {charged} shares of energy in package and dram"
    failed = [name for name, part in measurement.components.by_name.items() if not part.up]
    assert not failed, failed


def _measurement(config: Config, source: CounterSource) -> _Watched:
    meter = PowercapMeter(config.host.sysfs)
    resolver = WorkloadResolver(source.directory, ContainerNames())
    return _Watched(
        config=config,
        source=source,
        power=Power(MeteredEnergy(meter), {}, meter.close),
        topology=read_topology(config.host.sysfs),
        resolver=resolver,
        ledger=Ledger(resolver, source.directory.is_alive, revision=lambda: source.directory.revision),
    )
