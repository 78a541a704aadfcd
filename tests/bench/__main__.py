"""`make bench`: every budget of DESIGN section 8 that can be measured on one machine, as one table.

Benchmarks print, they do not judge: the exit code is 0 unless one of them crashed. `cpu` runs Kepler beside
podjoule where the variable KEPLER names its program, which is made by
`go install github.com/sustainable-computing-io/kepler/cmd/kepler@v0.11.4`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict

from tests.bench import machine
from tests.bench.cpu import bench_cpu
from tests.bench.load_time import bench_load_time
from tests.bench.memory import bench_memory
from tests.bench.rendering import bench_rendering, bench_scrape
from tests.bench.reports import bench_reports
from tests.bench.rows import Row, print_table
from tests.bench.start import bench_start
from tests.bench.switch_cost import bench_switch_cost
from tests.bench.tick import bench_tick

BENCHES: dict[str, Callable[[], list[Row]]] = {
    "switch": bench_switch_cost,
    "load": bench_load_time,
    "start": bench_start,
    "tick": bench_tick,
    "cpu": bench_cpu,
    "rendering": lambda: [bench_rendering(), bench_rendering(openmetrics=True)],
    "scrape": bench_scrape,
    "memory": bench_memory,
    "reports": bench_reports,
}
NEED_ROOT = ("switch", "load", "start", "tick", "cpu", "memory")
UNPRIVILEGED = os.geteuid() != 0


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that cgroups and processes are cleaned up
    arguments = _arguments()
    chosen = [name for name in BENCHES if not arguments.only or name in arguments.only]
    before, crashed = machine.cpu_times(), list[str]()
    rows = _rows(chosen, crashed)
    if arguments.json:
        _print_json(rows, before)
    else:
        print(f"Measured on {machine.description()}.\n", flush=True)
        print_table(rows)
        print(f"\nStolen by the host meanwhile: {machine.stolen(before):.0%} of the CPU time.")
    for name in crashed:
        print(f"crashed: {name}", file=sys.stderr)
    return 1 if crashed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHES, help="may be given more than once")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    return parser.parse_args()


def _rows(chosen: Iterable[str], crashed: list[str]) -> Iterator[Row]:
    for name in chosen:
        if UNPRIVILEGED and name in NEED_ROOT:
            print(f"left out, needs root: {name}", file=sys.stderr)
            continue
        try:
            yield from BENCHES[name]()
        except Exception:  # noqa: BLE001 - the other benchmarks are worth their time
            traceback.print_exc()
            crashed.append(name)


def _print_json(rows: Iterable[Row], before: list[int]) -> None:
    measured = [asdict(row) for row in rows]
    told = {"machine": machine.description(), "stolen_ratio": machine.stolen(before), "rows": measured}
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    sys.exit(main())
