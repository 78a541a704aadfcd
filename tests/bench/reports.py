"""A year of a fleet, shown: `podjoule report show` on DuckDB, and the same sums on pandas beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from exporter.reports.closing import write_rows
from exporter.reports.manifest import Manifest
from exporter.reports.months import CLOSED, MANIFEST, Span, Store
from tests.bench.rows import Row, at_most, note
from tests.exporter.reports.made_up import Fleet

YEAR, MONTHS = 2025, 12
WORKLOADS = 600  # in each of two node groups, with an active and an idle row an hour: 2,408 rows an hour
LEAST_ROWS = 20_000_000
# Each in a process of its own: seconds, and the most memory that it ever had.
_MEASURED = """
import json, resource, sys, time
began = time.perf_counter()
{0}
seconds = time.perf_counter() - began
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
sys.stderr.write(json.dumps({{"seconds": seconds, "peak_mb": peak_mb}}))
"""
_DUCKDB = """
from exporter.commands.cli import main
assert main(["report", "show", "{year}", "--store", "{store}", "--against", "none", "--format", "json"]) == 0
"""
_PANDAS = """
import glob
import pandas as pd
numbers = ["joules", "low_joules", "high_joules", "grams", "cost"]
frames = []
for path in sorted(glob.glob("{store}/cluster=*/month=*/closed.parquet")):
    columns = ["hour_seconds", "namespace", "kind", "source", *numbers]
    frames.append(pd.read_parquet(path, columns=columns))
rows = pd.concat(frames)
rows.groupby(["namespace", "kind", "source"])[numbers].sum()
rows.groupby(["hour_seconds", "kind"])[["joules", "grams"]].sum()
"""


def bench_reports() -> list[Row]:
    """pandas has the sums alone: no hashes, no wasters, no coverage."""
    with tempfile.TemporaryDirectory(prefix="podjoule-bench-") as folder:
        store = Path(folder)
        rows = make_year(store)
        shown = _measured(_DUCKDB.format(year=YEAR, store=store))
        pandas = _measured(_PANDAS.format(store=store))
    what = f"{rows / 1e6:.1f} million rows"
    return [
        at_most("report show of a year", what, shown["seconds"], 10, "s"),
        at_most("… its memory", what, shown["peak_mb"], 1000, "MB"),
        note("… the sums alone, on pandas", what, pandas["seconds"], "s"),
        note("… its memory", what, pandas["peak_mb"], "MB"),
    ]


def make_year(store: Path) -> int:
    """A year of closed months; how many rows they have."""
    fleet, opened = Fleet(workloads=WORKLOADS), Store(str(store))
    rows = 0
    for month in range(1, MONTHS + 1):
        span = Span(f"{YEAR}-{month:02}")
        folder = opened.folder("prod", span.name)
        Path(folder.path).mkdir(parents=True)
        entry = write_rows(opened, folder, CLOSED, map(fleet.hour, span.hours))
        opened.write(f"{folder.path}/{MANIFEST}", Manifest("prod", span.name, (entry,), ()).content)
        rows += entry.rows
    if rows < LEAST_ROWS:
        raise ValueError(f"wanted {LEAST_ROWS} rows, made {rows}")
    return rows


def _measured(code: str) -> dict[str, float]:
    command = [sys.executable, "-c", _MEASURED.format(code)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stderr.splitlines()[-1])
    return found
