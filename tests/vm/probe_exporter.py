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
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.e2e.servers import Podjoule, wait_for
from tests.live.rights import NOBODY, confined
from tests.live.sandbox import cgroup, stop
from tests.vm.leftovers import programs

PLANT = Path("/energy_plant.ko")
IDLE_MW, ACTIVE_MW, WRAP_AFTER_MJ = 10_000, 20_000, 1_800_000
READ = Path("/sys/module/energy_plant/parameters/read_uj")
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
INTERVAL_SECONDS = 3
WINDOW_SECONDS = 90
_SLOW_SECONDS = 240  # emulated, on a busy machine
# two CPUs busy, one, none: what idling costs shows only where the load changes. But not in each tick, not in
# step with ticks, and giving way: the meter is read after the counters, here up to 0.1 s, which blurs changes
_WAVES = """
import os, time
os.nice(10)
mine = bool(os.fork())
phase = 0
while True:
    phase += 1
    until = time.monotonic() + 7
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
def running(*arguments: str) -> Iterator[Podjoule]:
    """`podjoule run` that is ready, until the block's end."""
    with tempfile.TemporaryDirectory() as folder:
        podjoule = Podjoule(f"--monitor.interval={INTERVAL_SECONDS}s", *arguments, log=Path(folder) / "log")
        try:
            wait_until_ready(podjoule)
            yield podjoule
        finally:
            podjoule.stop()


def wait_until_ready(podjoule: Podjoule) -> None:
    """Wait; TimeoutError with its log."""
    try:
        wait_for(f"{podjoule.url}/-/ready", _SLOW_SECONDS, lambda: podjoule.process.poll() is None)
    except TimeoutError as error:
        raise TimeoutError(f"podjoule is not ready: {podjoule.log.read_text()}") from error


def after_ticks(podjoule: Podjoule, zone: str) -> str:
    """The first page with energy on its books: the second tick's."""
    deadline = time.monotonic() + _SLOW_SECONDS
    while not sums(page := podjoule.metrics(), "kepler_node_cpu_joules_total", zone):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no energy of zone {zone} after {_SLOW_SECONDS} s: {page}")
        time.sleep(0.5)
    return page


def start_up() -> dict[str, object]:
    """It answers, its books balance, SIGTERM ends it."""
    with running() as podjoule:
        page, at_work = after_ticks(podjoule, "platform"), programs()
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
    with running() as podjoule:
        at_work = programs()
        podjoule.process.send_signal(signal.SIGKILL)
        return {"programs": sorted(at_work), "exit_code": podjoule.process.wait(timeout=20)}


def at_rest(podjoule: Podjoule, *read: Path) -> tuple[str, list[float]]:
    """A page, and what the plant had drawn when its tick read it, in joules, by the parameters `read`.

    A tick reads first and publishes last: it has most of an interval to do so, however slow the machine is,
    before the page is taken. Where something was read in the meantime, the next tick is waited for.
    """

    def texts() -> list[str]:
        return [parameter.read_text() for parameter in read]

    deadline, before = time.monotonic() + _SLOW_SECONDS / 4, texts()
    while time.monotonic() < deadline:
        drawn_uj = texts()
        if drawn_uj == before:
            time.sleep(0.25)
            continue
        time.sleep(0.7 * INTERVAL_SECONDS)
        page, before = podjoule.metrics(), texts()
        if drawn_uj == before:
            return page, [int(text) / 1e6 for text in drawn_uj]
    raise TimeoutError(f"no tick, or one upon another:\n{podjoule.log.read_text()}")


def _watched(podjoule: Podjoule) -> tuple[list[tuple[str, float]], float]:
    """Pages and readings, tick by tick, and the seconds they span: at least until the counter wrapped."""
    seen, began = [_seen(podjoule)], time.monotonic()
    while (seconds := time.monotonic() - began) < _SLOW_SECONDS:
        if seconds >= WINDOW_SECONDS and seen[-1][1] > WRAP_AFTER_MJ / 1e3:
            break
        seen.append(_seen(podjoule))
    return seen, seconds


def _seen(podjoule: Podjoule) -> tuple[str, float]:
    page, (drawn,) = at_rest(podjoule, READ)
    return page, drawn


def plant(wrap_after_mj: int, idle_mw: int = IDLE_MW, active_mw: int = ACTIVE_MW) -> None:
    """Load the plant, whose counters wrap once so much has been drawn, in the stead of one that is there."""
    subprocess.run(["rmmod", PLANT.stem], check=False, stderr=subprocess.DEVNULL)
    parameters = {"idle_mw": idle_mw, "active_mw": active_mw, "wrap_after_mj": wrap_after_mj}
    subprocess.run(
        ["insmod", str(PLANT), *(f"{name}={value}" for name, value in parameters.items())], check=True
    )


def _grown(values: Sequence[float]) -> list[float]:
    return [value - values[0] for value in values]


def powercap() -> dict[str, object]:
    """Real powercap files, the real program, a wrap in the middle; sums against the plant's truth."""
    plant(WRAP_AFTER_MJ)
    zone = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
    with cgroup("waves") as group, running("--meters.preferred=rapl") as podjoule:
        process = group.python(_WAVES)
        seen, seconds = _watched(podjoule)
        stop(process)
    pages, drawn = zip(*seen, strict=True)
    start, *_, end = all_books = [books(page, "package") for page in pages]
    return {
        "window_seconds": seconds,
        "wrapped": drawn[0] < WRAP_AFTER_MJ / 1e3 < drawn[-1],
        "mode": f"{zone.stat().st_mode & 0o777:o}",
        "books": {name: end[name] - start[name] for name in end},
        "true_joules": drawn[-1] - drawn[0],
        "exported_by_tick": _grown([book["total"] for book in all_books]),
        "drawn_by_tick": _grown(drawn),
        "idle_watts": sums(pages[-1], "podjoule_model_idle_watts", "package"),
        "plant_idle_watts": IDLE_MW / 1e3,
        "errors": re.findall(r"^podjoule_power_errors_total\{.*$", pages[-1], re.MULTILINE),
        "source": re.findall(r"^podjoule_power_source_info\{.*$", pages[-1], re.MULTILINE),
    }


def unreadable() -> dict[str, object]:
    """A user that may load programs but not read energy_uj: it says so and takes the model."""
    prefix = confined(["bpf", "perfmon", "sys_resource"], NOBODY)
    command = [
        *prefix,
        sys.executable,
        "-m",
        "exporter.commands.cli",
        "snapshot",
        "--meters.preferred=rapl",
        "--duration",
        "1s",
        "--format",
        "json",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_SLOW_SECONDS, env={**os.environ, "HOME": "/tmp"}
    )
    return {"exit_code": done.returncode, "output": done.stdout, "log": done.stderr}
