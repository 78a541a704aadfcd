"""Resident memory of a real `podjoule run` with 1,000 containers, and over many short-lived cgroups."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import host
from tests.bench.compiled import program
from tests.bench.containers import CONTAINERS, containers, group
from tests.bench.exporter_process import first_scrape, running, scrape, value
from tests.bench.rows import Row, at_most, note
from tests.estimator.meters.rapl_tree import RaplTree

TICKS = 20
SHORT_LIVED, CHURN_SECONDS, PAUSE_SECONDS = (
    20_000,
    50.0,
    8.0,
)  # the pause is longer than the lifetime of the ended
FLAGS = ("--ebpf.loader", "core", "--monitor.interval", "1s", "--monitor.terminated-ttl", "5s")
RESIDENT_MB = 60.0, 75.0  # at rest, and after the short-lived
FLAT_MB = 8.0  # the heap moves by some MB from one reading to the next; a kilobyte a cgroup would be 10


@dataclass(frozen=True, slots=True)
class _Footprint:
    """Megabytes (10^6 bytes) of one process: VmRSS, and PSS, which counts shared pages in part."""

    rss: float
    pss: float
    map_entries: int

    def __str__(self) -> str:
        return f"RSS {self.rss:.1f}, PSS {self.pss:.1f} MB, {self.map_entries:,} map entries"


def bench_memory() -> list[Row]:
    """After 20 ticks at rest, then after each half of the short-lived cgroups."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _drawing(host.this_machine_with_rapl(Path(folder) / "sys")) as sysfs,
        containers(),
        group("churn") as parent,
        running(*FLAGS, "--host.sysfs", str(sysfs)) as (process, port),
        program("churn") as churn,
    ):
        first_scrape(process, port)
        time.sleep(TICKS)
        rest = _footprint(process.pid, port)
        first, half = _churn(churn, parent), _settled(process.pid, port)
        second, end = _churn(churn, parent), _settled(process.pid, port)
    done = f"{first + second:,} cgroups with a process each"
    name = f"resident memory, CO-RE, {CONTAINERS:,} containers, Kubernetes off"
    return [
        at_most(name, f"after {TICKS} ticks: {rest}", rest.rss, RESIDENT_MB[0], "MB"),
        note(f"… after {first:,} short-lived cgroups", str(half), half.rss, "MB"),
        at_most(f"… after {first + second:,}", str(end), end.rss, RESIDENT_MB[1], "MB"),
        at_most("growth over the second half of them", done, end.rss - half.rss, FLAT_MB, "MB"),
        at_most("map entries left by them", done, end.map_entries - rest.map_entries, 10, "entries"),
    ]


@contextmanager
def _drawing(tree: RaplTree) -> Iterator[Path]:
    """Let every zone draw energy meanwhile."""
    stop = threading.Event()

    def draw() -> None:
        while not stop.wait(0.2):
            tree.advance_all(4.0)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        yield tree.root
    finally:
        stop.set()
        thread.join()


def _churn(command: str, parent: Path) -> int:
    """Half of the short-lived cgroups, or as many as the time allows."""
    arguments = [str(parent), str(SHORT_LIVED // 2), str(CHURN_SECONDS / 2)]
    done = subprocess.run([command, *arguments], check=True, capture_output=True, text=True)
    return int(done.stdout)


def _settled(pid: int, port: int) -> _Footprint:
    time.sleep(PAUSE_SECONDS)
    return _footprint(pid, port)


def _footprint(pid: int, port: int) -> _Footprint:
    page = scrape(port)
    assert page is not None
    assert value(page, "podjoule_component_errors_total") == 0, "a part of a tick failed"
    assert value(page, "kepler_container_cpu_joules_total") > 0, "no energy for containers"
    proc = Path(f"/proc/{pid}")
    return _Footprint(
        rss=_kilobytes(proc / "status", "VmRSS:") * 1024 / 1e6,
        pss=_kilobytes(proc / "smaps_rollup", "Pss:") * 1024 / 1e6,
        map_entries=int(value(page, "podjoule_bpf_map_entries")),
    )


def _kilobytes(file: Path, start: str) -> int:
    line = next(line for line in file.read_text().splitlines() if line.startswith(start))
    return int(line.split()[1])
