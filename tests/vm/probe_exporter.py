"""`podjoule run` on a machine of ./kit: it starts, it conserves, it tells the truth of the powercap plant."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.servers import Podjoule, wait_for
from tests.live.rights import NOBODY, confined
from tests.live.sandbox import cgroup, stop
from tests.vm.leftovers import programs

PLANT = Path("/powercap_plant.ko")
IDLE_MW, ACTIVE_MW, WRAP_AFTER_MJ = 60_000, 20_000, 5_000_000
READ = Path("/sys/module/powercap_plant/parameters/read_uj")
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
INTERVAL_SECONDS = 3
_SLOW_SECONDS = 240  # emulated, on a busy machine
# two CPUs busy, one, none: what idling costs shows only where the load changes
_WAVES = """
import os, time
os.fork()
mine = os.getpid() % 2
phase = 0
while True:
    phase += 1
    until = time.monotonic() + 1.5
    busy = phase % 4 in ((1, 2), (2, 3))[mine]
    while time.monotonic() < until:
        if not busy: time.sleep(0.05)
"""


def sums(page: str, name: str, zone: str) -> float:
    """The sum of a family's samples of a zone."""
    return sum(
        float(value)
        for family, labels, value in _SAMPLE.findall(page)
        if family == name and f'zone="{zone}"' in labels
    )


def books(page: str, zone: str) -> dict[str, float]:
    """What is exported of a zone, by what it was charged to; container rows are none here."""
    return {
        "idle": sums(page, "kepler_node_cpu_idle_joules_total", zone),
        "active": sums(page, "kepler_node_cpu_active_joules_total", zone),
        "total": sums(page, "kepler_node_cpu_joules_total", zone),
        "cgroups": sums(page, "podjoule_cgroup_cpu_joules_total", zone),
        "unattributed": sums(page, "podjoule_node_unattributed_joules_total", zone),
    }


@contextlib.contextmanager
def _running(*arguments: str) -> Iterator[Podjoule]:
    with tempfile.TemporaryDirectory() as folder:
        podjoule = Podjoule(f"--monitor.interval={INTERVAL_SECONDS}s", *arguments, log=Path(folder) / "log")
        try:
            _wait_until_ready(podjoule)
            yield podjoule
        finally:
            podjoule.stop()


def _wait_until_ready(podjoule: Podjoule) -> None:
    try:
        wait_for(f"{podjoule.url}/-/ready", _SLOW_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"podjoule is not ready: {podjoule.log.read_text()}") from error


def _after_ticks(podjoule: Podjoule, zone: str) -> str:
    """The first page with energy on its books: the second tick's."""
    deadline = time.monotonic() + _SLOW_SECONDS
    while not sums(page := podjoule.metrics(), "kepler_node_cpu_joules_total", zone):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no energy of zone {zone} after {_SLOW_SECONDS} s: {page}")
        time.sleep(0.5)
    return page


def start_up() -> dict[str, object]:
    """It answers, its books balance, SIGTERM ends it."""
    with _running() as podjoule:
        page, at_work = _after_ticks(podjoule, "platform"), programs()
        code = podjoule.stop()
        return {
            "programs": sorted(at_work),
            "books": books(page, "platform"),
            "families": len(set(re.findall(r"^# TYPE (\w+)", page, re.MULTILINE))),
            "exit_code": code,
            "log": podjoule.log.read_text(),
        }


def killed() -> dict[str, object]:
    """kill -9 leaves nothing; what is left is looked for after every probe."""
    with _running() as podjoule:
        at_work = programs()
        podjoule.process.send_signal(signal.SIGKILL)
        return {"programs": sorted(at_work), "exit_code": podjoule.process.wait(timeout=20)}


def _at_tick(podjoule: Podjoule) -> tuple[str, float]:
    """The page that a new tick publishes, and what the plant had drawn when that tick read it, in joules.

    Read before and after the page: where the next tick came in between, the one after is waited for.
    """
    total = sums(podjoule.metrics(), "kepler_node_cpu_joules_total", "package")
    while True:
        time.sleep(0.02)
        asked, earlier = time.monotonic(), READ.read_text()
        page, before = podjoule.metrics(), total
        total = sums(page, "kepler_node_cpu_joules_total", "package")
        quick = time.monotonic() - asked < INTERVAL_SECONDS / 6
        if total != before and earlier == READ.read_text() and quick:
            return page, int(earlier) / 1e6


def powercap() -> dict[str, object]:
    """Real powercap files, the real program, a wrap in the middle; sums against the plant's truth."""
    parameters = {"idle_mw": IDLE_MW, "active_mw": ACTIVE_MW, "wrap_after_mj": WRAP_AFTER_MJ}
    subprocess.run(
        ["insmod", str(PLANT), *(f"{name}={value}" for name, value in parameters.items())], check=True
    )
    zone = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
    with cgroup("waves") as group, _running() as podjoule:
        process = group.python(_WAVES)
        (page, first), started = _at_tick(podjoule), time.monotonic()
        start = books(page, "package")
        time.sleep(90)
        page, last = _at_tick(podjoule)
        stop(process)
        end = books(page, "package")
        return {
            "window_seconds": time.monotonic() - started,
            "wrapped": first < WRAP_AFTER_MJ / 1e3 < last,
            "mode": f"{zone.stat().st_mode & 0o777:o}",
            "books": {name: end[name] - start[name] for name in end},
            "true_joules": last - first,
            "idle_watts": sums(page, "podjoule_model_idle_watts", "package"),
            "plant_idle_watts": IDLE_MW / 1e3,
            "gaps": re.findall(r"^podjoule\w*gap\w*\{.*$", page, re.MULTILINE),
            "source": re.findall(r"^podjoule_power_source_info\{.*$", page, re.MULTILINE),
        }


def unreadable() -> dict[str, object]:
    """A user that may load programs but not read energy_uj: it says so and takes the model."""
    prefix = confined(["bpf", "perfmon", "sys_resource"], NOBODY)
    command = [
        *prefix,
        sys.executable,
        "-m",
        "exporter.cli",
        "snapshot",
        "--duration",
        "1s",
        "--format",
        "json",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_SLOW_SECONDS, env={**os.environ, "HOME": "/tmp"}
    )
    return {"exit_code": done.returncode, "output": done.stdout, "log": done.stderr}
