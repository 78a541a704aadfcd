"""`make soak`: the exporter under everything that can go wrong around it, at random, for an hour.

    python -m tests.soak [--seconds N] [--seed N] [--processes] [--logs DIR]
    python -m tests.soak --simulated 24h [--seed N]

The second is a day in simulated time, without root. The exit code is 1 where anything was lost that was not
counted as lost, went down, grew, was logged without a reason, or is left behind. The seed that is printed
makes each churner do the same again.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.configuration.durations import parse_duration
from tests import keeper
from tests.bench import machine
from tests.bench.rows import Row, at_most, print_table
from tests.e2e.servers import Plant
from tests.live import loads
from tests.live.in_kernel import assert_gone
from tests.live.restarts import container
from tests.live.sandbox import Cgroup, stop
from tests.live.test_continuity import remove_while_running
from tests.soak import verdict
from tests.soak.cgroups import Cgroups
from tests.soak.churn import Churn
from tests.soak.clients import Clients
from tests.soak.exporter import Restarts
from tests.soak.meter import MeterFaults
from tests.soak.pages import Pages
from tests.soak.pods import Outages
from tests.soak.stage import Stage, stage

RESTARTING = 0.45  # of the time; then one process grows old
GROWN_UP = 0.55
_KNOWN_LOADS = ("0.05", "0.02")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is taken away
    told = _arguments()
    if told.simulated:
        return _simulated(told)
    if os.geteuid() != 0:
        sys.exit("a soak makes cgroups and loads BPF programs: it needs root")
    print(f"soak: {told.seconds:g} s with --seed {told.seed}, on {machine.description()}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="podjoule-soak-") as folder:
        run = keeper.start(Path(folder))
        try:
            rows = list(_soak(Path(folder), told))
            left = run.left_after()
        finally:  # above all where the soak itself could not go on
            if told.logs:
                shutil.copytree(folder, told.logs, ignore=_all_but_logs, dirs_exist_ok=True)
    rows.append(at_most("left behind", "; ".join(left), len(left), 0, "things"))
    return _judged(rows)


def _simulated(told: argparse.Namespace) -> int:
    from tests.soak.simulated.verdict import rows  # numpy and the exporter, in this process

    print(
        f"soak: {told.simulated:g} simulated s with --seed {told.seed}, on {machine.description()}\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="podjoule-soak-") as folder:
        return _judged(rows(Path(folder), told.simulated, str(told.seed)))


def _judged(rows: Iterable[Row]) -> int:
    """Print the table; 1 where a row does not hold."""
    rows = list(rows)
    print_table(rows)
    wrong = [row for row in rows if row.ok is False]
    print(
        f"\n{len(wrong)} of {sum(row.ok is not None for row in rows)} do not hold"
        if wrong
        else "\nall of it holds"
    )
    return int(bool(wrong))


def _all_but_logs(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.startswith(("log-", "last."))]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3_600.0)
    parser.add_argument("--logs", type=Path, help="a directory for the exporter's logs and last page")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--processes", action="store_true", help="with the level process")
    parser.add_argument(
        "--simulated", type=parse_duration, metavar="TIME", help="such as 24h: in simulated time"
    )
    return parser.parse_args()


def _soak(folder: Path, told: argparse.Namespace) -> Iterator[Row]:
    churn, seconds = Churn(told.seed), told.seconds
    with stage(folder, ("process",) if told.processes else ()) as on:
        on.exporter.start()
        known = [container(on.parent, number) for number in range(len(_KNOWN_LOADS))]
        with Pages(on.exporter) as pages:
            since = time.monotonic()
            with Plant(on.meter, on.meter.watts), _using(known):
                _churned(on, pages, churn, seconds)
                yield verdict.names(on)
            time.sleep(verdict.SETTLED_SECONDS)
        page = on.exporter.process.metrics()
        pages.look(page)
        (folder / "last.page").write_text(page)
        yield from verdict.memory(pages.sizes, since + GROWN_UP * seconds)
        yield from verdict.energy(pages, on)
        yield from verdict.cpu(page, known)
        yield from verdict.books(pages)
        yield _gone(on)
        yield from verdict.logged(on)
    for fallen in pages.fallen[:20]:
        print(f"went down: {fallen}")
    for crashed in churn.crashed[:5]:
        print(crashed)
    print("\n".join(f"{n:6,} {what}" for what, n in sorted(churn.done.items())), end="\n\n")
    yield at_most("churners that failed themselves", "", len(churn.crashed), 0, "times")


def _churned(on: Stage, pages: Pages, churn: Churn, seconds: float) -> None:
    """Everything at once for a time, restarts in the first part of it alone."""

    def before_start() -> None:
        if on.disk.has_spoilt:
            pages.excuse_next()

    steady = [
        *(Cgroups(on.parent), on.pods, Outages(on.server), on.configuration, on.disk),
        *(MeterFaults(on.meter), Clients(on.exporter)),
    ]
    restarts = Restarts(on.exporter, on.configuration, before_start)
    with churn.running(steady):
        with churn.running([restarts]):
            time.sleep(RESTARTING * seconds)
        on.exporter.watch((1 - RESTARTING) * seconds)


@contextmanager
def _using(known: list[Cgroup]) -> Iterator[None]:
    running = [group.python(loads.STEADY, share) for group, share in zip(known, _KNOWN_LOADS, strict=True)]
    try:
        yield
    finally:
        stop(*running)


def _gone(on: Stage) -> Row:
    """End the exporter and take the pins away."""
    objects = remove_while_running(on.exporter.process, on.pins)
    on.exporter.end(signal.SIGTERM)
    assert_gone(objects)
    odd = on.exporter.odd_ends
    told = f"{on.exporter.starts} starts" + "".join(f"; {end}" for end in odd)
    return at_most("processes that did not end as they were told", told, len(odd), 0, "ends")


if __name__ == "__main__":
    sys.exit(main())
