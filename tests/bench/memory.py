"""Resident memory of a real `podjoule run` in a pod, with 1,000 containers: at rest, after many short-lived
cgroups, and with as many clients as there may be who fetch nothing of what they asked for.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench import host
from tests.bench.compiled import program
from tests.bench.containers import CONTAINERS, containers, group
from tests.bench.exporter_process import first_scrape, running, scrape, value
from tests.bench.pod_api import pod_api
from tests.bench.rows import Row, at_most, note

TICKS = 20
SHORT_LIVED, CHURN_SECONDS = 100_000, 250.0
PAUSE_SECONDS = 45.0  # longer than the ended wait for names that nobody has, and are shown after that
CLIENTS, CLIENT_SECONDS = 256, 12.0  # longer than a client may take
FLAGS = ("--ebpf.loader", "core", "--monitor.interval", "1s", "--monitor.terminated-ttl", "5s")
RESIDENT_MB = 60.0, 75.0  # at rest, and after all that
FLAT_MB = (
    4.0  # the heap moves by a megabyte or two from one reading to the next; 100 bytes a cgroup would be 5
)


@dataclass(frozen=True, slots=True)
class _Footprint:
    """Megabytes (10^6 bytes) of one process. pss: counts shared pages in part; own: what is in no file."""

    rss: float
    pss: float
    own: float
    map_entries: int

    def __str__(self) -> str:
        sizes = f"RSS {self.rss:.1f}, PSS {self.pss:.1f}, anonymous {self.own:.1f} MB"
        return f"{sizes}, {self.map_entries:,} map entries"


def bench_memory() -> list[Row]:
    """At rest, after each half of the short-lived cgroups, and the most while clients do not read."""
    with (
        tempfile.TemporaryDirectory() as folder,
        host.drawing(host.this_machine_with_rapl(Path(folder) / "sys")) as sysfs,
        containers() as living,
        pod_api(living.iterdir()) as pod,
        group("churn") as parent,
        running(*FLAGS, "--host.sysfs", str(sysfs), within=pod) as (process, port),
        program("churn") as churn,
    ):
        first_scrape(process, port)
        time.sleep(TICKS)
        rest = _footprint(process.pid, port)
        first, half = _churn(churn, parent), _settled(process.pid, port)
        second, end = _churn(churn, parent), _settled(process.pid, port)
        crowded = _crowded(process.pid, port)
        after = _settled(process.pid, port)
    done = f"{first + second:,} cgroups with a process each"
    name = f"resident memory, CO-RE, {CONTAINERS:,} containers, Kubernetes on"
    return [
        at_most(name, f"after {TICKS} ticks: {rest}", rest.rss, RESIDENT_MB[0], "MB"),
        note(f"… after {first:,} short-lived cgroups", str(half), half.rss, "MB"),
        note(f"… after {first + second:,}", str(end), end.rss, "MB"),
        at_most(
            f"… and {CLIENTS} clients that do not read, the most",
            str(crowded),
            crowded.rss,
            RESIDENT_MB[1],
            "MB",
        ),
        note("… and without them again", str(after), after.rss, "MB"),
        at_most("growth over the second half of the cgroups", done, end.rss - half.rss, FLAT_MB, "MB"),
        at_most("map entries left by them", done, end.map_entries - rest.map_entries, 10, "entries"),
    ]


def _churn(command: str, parent: Path) -> int:
    """Half of the short-lived cgroups, or as many as the time allows."""
    arguments = [str(parent), str(SHORT_LIVED // 2), str(CHURN_SECONDS / 2)]
    done = subprocess.run([command, *arguments], check=True, capture_output=True, text=True)
    return int(done.stdout)


def _crowded(pid: int, port: int) -> _Footprint:
    """The largest of some while the clients ask, tick after tick, and read nothing."""
    with ExitStack() as stack:
        largest = _footprint(pid, port)
        end = time.monotonic() + CLIENT_SECONDS
        for number in range(CLIENTS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(CLIENT_SECONDS / 2 / CLIENTS)
            if number % 32 == 0:
                largest = max(largest, _footprint(pid, port), key=lambda each: each.rss)
        while time.monotonic() < end:
            largest = max(largest, _footprint(pid, port), key=lambda each: each.rss)
            time.sleep(0.5)
        return largest


def _settled(pid: int, port: int) -> _Footprint:
    time.sleep(PAUSE_SECONDS)
    return _footprint(pid, port)


def _footprint(pid: int, port: int) -> _Footprint:
    page = scrape(port)
    assert page is not None
    assert value(page, "podjoule_component_errors_total") == 0, "a part of a tick failed"
    assert value(page, "kepler_container_cpu_joules_total") > 0, "no energy for containers"
    assert 'pod_name="pod-7"' in page, "no names from Kubernetes"
    proc = Path(f"/proc/{pid}")
    return _Footprint(
        rss=_kilobytes(proc / "smaps_rollup", "Rss:") * 1024 / 1e6,
        pss=_kilobytes(proc / "smaps_rollup", "Pss:") * 1024 / 1e6,
        own=_kilobytes(proc / "smaps_rollup", "Anonymous:") * 1024 / 1e6,
        map_entries=int(value(page, "podjoule_bpf_map_entries")),
    )


def _kilobytes(file: Path, start: str) -> int:
    line = next(line for line in file.read_text().splitlines() if line.startswith(start))
    return int(line.split()[1])
