"""`python -m tests.exporter.reports.month`: a fleet's month through a real Prometheus, beside its truth.

Prints how large all is, how long it took and by how much rows are off; ends with 1 where that is too much.
`--nodes 100 --pods-a-day 160000 --replicas-a-node 50 --hours 1` is ten thousand pods in an hour.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.servers import ROOT, Prometheus, get
from tests.exporter.reports.blocks import KEEPS, write_blocks
from tests.exporter.reports.comparison import WITHIN, compare, read_rows
from tests.exporter.reports.fleet import Fleet, Plan, make
from tests.exporter.reports.samples import Samples
from tests.exporter.reports.truth import truth

MEGABYTE = 1 << 20


@dataclass(slots=True)
class Figures:
    """What is printed, in order."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, value: str) -> None:
        """One line more."""
        self.lines.append((name, value))
        sys.stdout.write(f"{name:<44} {value}\n")
        sys.stdout.flush()

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """How long something takes."""
        begin = time.monotonic()
        yield
        self.add(name, f"{time.monotonic() - begin:.1f} s")


def main() -> int:
    """Make the fleet, its blocks, its account and its truth; 1 where they differ."""
    arguments = _arguments()
    plan, figures = _plan(arguments), Figures()
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        return _run(plan, arguments.folder, figures)
    with tempfile.TemporaryDirectory(prefix="month-") as folder:
        return _run(plan, Path(folder), figures)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    plan = Plan()
    for name in ("nodes", "pods_a_day", "hours", "replicas_a_node", "restarts", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(plan, name))
    parser.add_argument("--interval-seconds", type=float, default=plan.interval_seconds)
    parser.add_argument(
        "--folder", type=Path, help="keep blocks and rows there, and use those that are there"
    )
    return parser.parse_args()


def _plan(arguments: argparse.Namespace) -> Plan:
    """With a Prometheus that is down for two hours after a third of the time, where there is that much."""
    hours = arguments.hours
    return Plan(
        nodes=arguments.nodes,
        pods_a_day=arguments.pods_a_day,
        hours=hours,
        interval_seconds=arguments.interval_seconds,
        outage=(hours // 3 + 0.4, hours // 3 + 2.4) if hours >= 12 else None,
        restarts=arguments.restarts,
        replicas_a_node=arguments.replicas_a_node,
        seed=arguments.seed,
    )


def _run(plan: Plan, folder: Path, figures: Figures) -> int:
    with figures.timed("fleet made in"):
        fleet = make(plan)
    pods = sum(load.is_pod and load.end > plan.start and load.begin < plan.end for load in fleet.loads)
    figures.add("nodes, hours, pods", f"{plan.nodes}, {plan.hours}, {pods:,}")
    if not (folder / "data").exists():
        with figures.timed("blocks written in"):
            write_blocks(Samples(fleet), plan, folder)
    blocks = sum(file.stat().st_size for file in (folder / "data").rglob("*") if file.is_file())
    figures.add("blocks", f"{blocks / MEGABYTE:,.0f} MiB")
    with Prometheus(folder, (), arguments=KEEPS) as server:
        _collect(server, plan, folder / "store", figures)
        _tell_answers(server, figures)
    return _compare(fleet, folder / "store", figures)


def _collect(server: Prometheus, plan: Plan, store: Path, figures: Figures) -> None:
    """In a process of its own, whose peak of memory is its own."""
    first, last = (
        datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat() for at in (plan.start, plan.end)
    )
    with figures.timed("collected in"):
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "exporter.commands.cli", "report", "collect"),
                *("--prometheus", server.url, "--cluster", "prod", "--store", str(store)),
                *("--from", first, "--to", last, "--labels", "team,product"),
                *("--node-groups", "metal=metal-.*", "cloud=cloud-.*"),
            ],
            cwd=ROOT,
        )
        _, status, usage = os.wait4(process.pid, 0)
    figures.add("its exit code", str(os.waitstatus_to_exitcode(status)))
    figures.add("its CPU time", f"{usage.ru_utime + usage.ru_stime:.1f} s")
    figures.add("its peak memory", f"{usage.ru_maxrss / 1024:,.0f} MiB")


def _tell_answers(server: Prometheus, figures: Figures) -> None:
    """How many answers there were and how large, as Prometheus counts them."""
    page = get(f"{server.url}/metrics")[1]
    family = 'prometheus_http_response_size_bytes_{}{{handler="/api/v1/query"}} '
    count, size = (float(page.partition(family.format(of))[2].split()[0]) for of in ("count", "sum"))
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
    figures.add("queries", f"{count:,.0f}")
    figures.add("answers, packed", f"{size / MEGABYTE:,.1f} MiB, {size / max(1, count) / 1024:,.0f} KiB each")
    figures.add("Prometheus' peak memory", f"{int(peak[1]) / 1024:,.0f} MiB" if peak else "not known")


def _compare(fleet: Fleet, store: Path, figures: Figures) -> int:
    files = [*store.rglob("*.parquet")]
    figures.add("files", f"{len(files)}, {sum(file.stat().st_size for file in files) / MEGABYTE:.1f} MiB")
    with figures.timed("truth worked out in"):
        true = truth(fleet)
    rows = read_rows(store)
    beside = compare(rows, true, fleet.plan)
    of_jobs = beside.of_workloads[beside.of_workloads["workload_kind"] == "CronJob"]
    figures.add("rows", f"{len(rows):,}")
    figures.add("rows of workloads", f"{len(beside.of_workloads):,}, of pods of 90 s {len(of_jobs):,}")
    off = beside.off
    figures.add(f"off by more than {WITHIN:.1%}", f"{len(off):,}, {off['joules_true'].sum() / 3.6e6:.4f} kWh")
    figures.add("of them not for power in the step over an hour", f"{len(beside.wrong):,}")
    figures.add("greatest error beside that", f"{beside.worst:.3%}")
    figures.add("rows and nodes' counters, greatest by hour", f"{beside.sum_error:.1e}")
    figures.add("carbon and its integral", f"{beside.carbon_error:.4%}")
    late, unseen = beside.rows[beside.rows["late"]], true.unseen["joules"].sum()
    figures.add("late, never seen", f"{late['joules'].sum() / 3.6e6:.3f}, {unseen / 3.6e6:.3f} kWh")
    figures.add("all", f"{beside.nodes['joules'].sum() / 3.6e6:,.1f} kWh")
    if not beside.wrong.empty:
        sys.stdout.write(f"{beside.wrong.head(20).to_string()}\n")
    return int(not beside.wrong.empty or beside.sum_error > 1e-6 or beside.carbon_error > 0.001)


if __name__ == "__main__":
    sys.exit(main())
