"""What a machine pays for being measured: CPU of the whole process, beside Kepler's where one is given."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import MappingProxyType

from tests.bench import exporter_process, host, kepler_process
from tests.bench.containers import CONTAINERS, containers, followed
from tests.bench.rows import Row, at_most, note
from tests.bench.scraper import scrape
from tests.live.sandbox import Cgroup, cgroup
from tests.soak.pages import size_of

PROCESSES = 2_000, 8_000
# What a container without a name is asked for is asked for half a minute; then nothing is new.
SETTLE_SECONDS, SCRAPES, SCRAPE_SECONDS, TICK_SECONDS = 40.0, 5, 15.0, 5.0
AGAIN = 5
AS_PROMETHEUS = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
CPU_MS = 6.0
CPU_RATIO = {2_000: 0.12, 8_000: 0.04}
MEMORY_RATIO, SCRAPE_RATIO = 0.6, 0.05
_JOULES = re.compile(r'^kepler_container_cpu_joules_total\{.*container_id="([^"]*)".*\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Exporter:
    """A running exporter in a cgroup of its own, whose CPU time is the kernel's account of it."""

    process: subprocess.Popen[bytes]
    port: int
    place: Cgroup

    def used_ms(self) -> float:
        """User and system time of all its threads, those that ended too."""
        return self.place.used_ns(f"v{followed().version}") / 1e6


@dataclass(frozen=True, slots=True)
class _Cost:
    """cpu_ms: in 5 s. first_ms: a scrape that is the first in 15 s; again_ms: one right after another."""

    cpu_ms: float
    resident_mb: float
    first_ms: float
    again_ms: float

    def __str__(self) -> str:
        scrapes = f"a scrape {self.first_ms:.1f} ms, right after another {self.again_ms:.1f} ms"
        return f"{self.cpu_ms:.1f} ms, {self.resident_mb:.1f} MB, {scrapes}"


def bench_cpu() -> list[Row]:
    """For each number of processes; Kepler's levels, interval, sysfs and scrapes are ours."""
    program = kepler_process.binary()
    return [row for processes in PROCESSES for row in _rows(processes, program)]


def _rows(processes: int, program: Path | None) -> list[Row]:
    with _running(processes, program) as exporters:
        time.sleep(SETTLE_SECONDS)
        _check(exporters)
        costs = _measure(exporters)
        compressed = _measure(exporters, AS_PROMETHEUS) if processes == PROCESSES[0] else None
        _check(exporters)
    ours, name = costs["podjoule"], f"{CONTAINERS:,} containers, {processes:,} processes"
    rows = [at_most(f"CPU in 5 s, {name}, scraped every 15 s", str(ours), ours.cpu_ms, CPU_MS, "ms")]
    if compressed:
        spent = compressed["podjoule"]
        rows.append(note("… scraped for OpenMetrics, compressed", str(spent), spent.cpu_ms, "ms"))
    return [*rows, *(_against(ours, costs["kepler"], processes) if "kepler" in costs else [])]


def _against(ours: _Cost, theirs: _Cost, processes: int) -> list[Row]:
    def beside(what: str, mine: float, other: float, budget: float, unit: str) -> Row:
        measured = f"{mine:.1f} {unit}, Kepler {other:.1f} {unit}"
        return at_most(f"… {what}", measured, mine / other, budget, "of Kepler")

    renders = f"{ours.first_ms:.1f} ms, Kepler {theirs.first_ms:.1f} ms"
    return [
        beside("CPU in 5 s", ours.cpu_ms, theirs.cpu_ms, CPU_RATIO[processes], "ms"),
        beside("resident", ours.resident_mb, theirs.resident_mb, MEMORY_RATIO, "MB"),
        beside("a scrape, once rendered", ours.again_ms, theirs.again_ms, SCRAPE_RATIO, "ms"),
        note("… a scrape that renders", renders, ours.first_ms / theirs.first_ms, "of Kepler"),
    ]


@contextmanager
def _running(processes: int, program: Path | None) -> Iterator[dict[str, _Exporter]]:
    """By name, all under the same load."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        sysfs = stack.enter_context(host.drawing(host.this_machine_with_rapl(Path(folder) / "sys")))
        stack.enter_context(containers(processes=processes))
        start = {"podjoule": exporter_process.running("--ebpf.loader", "core", "--host.sysfs", str(sysfs))}
        if program is not None:
            start["kepler"] = kepler_process.running(program, sysfs)
        exporters = {}
        for name, begin in start.items():
            place = stack.enter_context(cgroup(f"bench-{name}"))
            process, port = stack.enter_context(begin)
            place.add(process.pid)
            exporters[name] = _Exporter(process, port, place)
        yield exporters


def _measure(exporters: Mapping[str, _Exporter], headers: Mapping[str, str] = NO_HEADERS) -> dict[str, _Cost]:
    began, before = time.monotonic(), {name: each.used_ms() for name, each in exporters.items()}
    first: dict[str, list[float]] = {name: [] for name in exporters}
    for _ in range(SCRAPES):
        time.sleep(SCRAPE_SECONDS)
        for name, each in exporters.items():
            first[name] += scrape(each.port, 1, headers=headers)
    ticks = (time.monotonic() - began) / TICK_SECONDS
    return {
        name: _Cost(
            cpu_ms=(each.used_ms() - before[name]) / ticks,
            resident_mb=size_of(each.process.pid).resident_mb,
            first_ms=median(first[name]) * 1e3,
            again_ms=median(scrape(each.port, 1 + AGAIN, headers=headers)[1:]) * 1e3,
        )
        for name, each in exporters.items()
    }


def _check(exporters: Mapping[str, _Exporter]) -> None:
    """Every container has energy: an exporter that measures nothing is cheap."""
    for name, each in exporters.items():
        page = exporter_process.first_scrape(each.process, each.port)
        found = len({match[1] for match in _JOULES.finditer(page) if float(match[2]) > 0})
        assert found >= CONTAINERS, f"{name} has energy for {found} containers"
