"""How long from the start of the process to the first page, and which imports take the most of it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from tests.bench.exporter_process import first_scrape, running
from tests.bench.rows import Row, at_most, note

REPEATS, HEAVIEST = 7, 6
REPORTS = 3  # the least disturbed one counts
ROOT, PACKAGES = Path(__file__).parents[2], ("ebpf", "estimator", "exporter")
# What `run` imports on its way, one after the other; each brings what those before it have not.
IMPORTS = ("exporter.commands.cli", "exporter.commands.run", "ebpf.core_loader")


def bench_start() -> list[Row]:
    """With the byte code compiled and the files in the page cache, as a restart finds them."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", *PACKAGES], cwd=ROOT, check=True)
    seconds = [_start() for _ in range(REPEATS + 1)][1:]
    spread = f"median {median(seconds):.2f}, {min(seconds):.2f} to {max(seconds):.2f} s"
    return [
        at_most("start to first answered scrape", spread, median(seconds), 0.6, "s"),
        _imports(),
        note("… the interpreter alone", "python -c pass", _interpreter(), "s"),
    ]


def _start() -> float:
    began = time.monotonic()
    with running("--log.level", "error") as (process, port):
        first_scrape(process, port)
        return time.monotonic() - began


def _interpreter() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.monotonic() - began


def _imports() -> Row:
    times = min((_import_times() for _ in range(REPORTS)), key=_total)
    own = ("exporter", "estimator", "ebpf")
    others = {name: ms for name, ms in times.items() if "." not in name and name not in own}
    heaviest = sorted(others, key=lambda name: -others[name])[:HEAVIEST]
    listed = ", ".join(f"{name} {others[name]:.0f}" for name in heaviest)
    return note("… of it imports", f"ms with what they bring: {listed}", _total(times) / 1e3, "s")


def _import_times() -> dict[str, float]:
    command = [sys.executable, "-X", "importtime", "-c", f"import {', '.join(IMPORTS)}"]
    return import_times(subprocess.run(command, check=True, capture_output=True, text=True).stderr)


def _total(times: dict[str, float]) -> float:
    return sum(times.get(name, 0.0) for name in IMPORTS)


def import_times(report: str) -> dict[str, float]:
    """Cumulative milliseconds by module, from what -X importtime writes."""
    rows = [line.removeprefix("import time:").split("|") for line in report.splitlines()]
    return {row[2].strip(): float(row[1]) / 1e3 for row in rows if len(row) == 3 and row[1].strip().isdigit()}
