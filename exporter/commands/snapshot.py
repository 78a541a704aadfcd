"""`podjoule snapshot`: measure once and print."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import shutil
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ebpf.errors import UsageError
from estimator.energy import ZoneShare
from exporter.books.ledger import Balances, Ledger
from exporter.books.row_lifetimes import Lifetimes
from exporter.commands.declaration import MEASURING, Command, add_format
from exporter.commands.process_rows import process_rows, table_lines
from exporter.configuration.config import Config
from exporter.configuration.option_tree import LEVELS
from exporter.configuration.options import argument_type
from exporter.configuration.value_types import duration, integer
from exporter.names.accounts import Account
from exporter.names.workloads import Kind
from exporter.plain_text import GAP, aligned, printable, shortened
from exporter.serving.api.gpus import pods_of_gpus
from exporter.tick.assembly import assemble
from exporter.tick.measurement import Measurement, Tick
from exporter.tick.power import Power
from exporter.tick.zone_sources import zone_sources

log = logging.getLogger("exporter.snapshot")

# Pods repeat their containers, so that of them only what is in no container stands here: the rows add up.
LEAF_KINDS: tuple[Kind, ...] = ("container", "vm", "unit", "user", "kernel", "root", "job", "other")
# Of the table: the column of names, and the least it is cut to.
_NAME, _LEAST_NAME = 1, 16
_FAILED = 1
_TABLE_ROWS = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for. output: "table" or "json". top: how many processes have rows of their
    own, None for what suits the output.
    """

    duration_seconds: float
    output: str
    by_process: bool = False
    top: int | None = None

    @property
    def most(self) -> int | None:
        """How many processes have rows of their own; None for all."""
        return _TABLE_ROWS if self.top is None and self.output == "table" else self.top or None


def snapshot(config: Config, asked: Asked) -> int:
    """Measure for a while and print what was used, as a table or as JSON.

    0; 1 where there is no energy though some was asked for, or another model stands in for the one asked for.
    """
    measurement = assemble(_by_process(config) if asked.by_process else config)
    # What ends while we measure, and what has no name yet, must be among the rows, or they would not add up.
    measurement.set_lifetimes(Lifetimes(math.inf, silence_seconds=0.0, max_terminated=sys.maxsize))
    with contextlib.closing(measurement):
        measurement.advance()
        books = measurement.processes if asked.by_process else None
        known = books.seen() if books else {}
        time.sleep(asked.duration_seconds)
        tick = measurement.advance()
        document = describe(measurement, tick)
        if asked.by_process:
            document["processes"] = process_rows(measurement, tick, known, asked.most)
    is_json = asked.output == "json"
    text = json.dumps(document, indent=1) + "\n" if is_json else table(document, _columns())
    sys.stdout.write(text)
    power = measurement.power
    lacks_energy = not tick.shares and power.meter is None and config.model != "none"
    if lacks_energy:
        log.error("no energy in this snapshot: no meter, and no model that can serve here")
    return _FAILED if lacks_energy or power.fallback() else 0


def _by_process(config: Config) -> Config:
    """The same, with processes told apart; which series are exported is of no matter here."""
    prometheus = replace(config.exporter.prometheus, metrics_level=LEVELS)
    return replace(config, exporter=replace(config.exporter, prometheus=prometheus))


def describe(measurement: Measurement, tick: Tick) -> dict[str, object]:
    """The measurement as docs/tour.md shows it; None for what is not measured. model: the name of the one
    that the energy is from. sources: the same by zone, and why it is from there. gpus: where there are some.
    """
    info = measurement.power.source.info
    gpus = _gpus(measurement, tick.shares)
    return {
        "interval_seconds": tick.interval_seconds,
        "source": info.source,
        "model": info.model or None,
        "sources": _sources(measurement.power, tick.shares),
        "zones": _zones(tick.shares),
        **({"gpus": gpus} if gpus else {}),
        "workloads": _workloads(measurement.ledger, tick),
    }


def _sources(power: Power, shares: Sequence[ZoneShare]) -> dict[str, dict[str, str | None]]:
    known = zone_sources(power)
    return {
        zone: {"source": found.info.source, "model": found.info.model or None, "why": found.why or None}
        for zone in dict.fromkeys(share.energy.zone for share in shares)
        if (found := known.get(zone))
    }


def _zones(shares: Sequence[ZoneShare]) -> dict[str, dict[str, float]]:
    """Each zone over its sockets."""
    zones: dict[str, dict[str, float]] = {}
    for share in shares:
        sums = zones.setdefault(
            share.energy.zone,
            dict.fromkeys(("total_joules", "idle_joules", "active_joules", "unattributed_joules"), 0.0),
        )
        sums["total_joules"] += share.energy.joules
        sums["idle_joules"] += share.idle_joules
        sums["active_joules"] += share.energy.joules - share.idle_joules
        sums["unattributed_joules"] += sum(share.unattributed_joules.values())
    return zones


def _gpus(measurement: Measurement, shares: Sequence[ZoneShare]) -> list[dict[str, object]]:
    """Each GPU, or instance of one, and who holds it."""
    labels = measurement.gpus.labels
    holders = pods_of_gpus(measurement) if labels else {}
    return [
        {
            "gpu": labels[share.energy.path].index,
            "uuid": labels[share.energy.path].uuid,
            "name": labels[share.energy.path].name,
            "total_joules": share.energy.joules,
            "idle_joules": share.idle_joules,
            "active_joules": share.energy.joules - share.idle_joules,
            "pods": list(holders.get(share.energy.path, ())),
        }
        for share in shares
        if share.energy.path in labels
    ]


def _workloads(ledger: Ledger, tick: Tick) -> list[dict[str, object]]:
    balances = ledger.balances(*LEAF_KINDS)
    rows = [_workload(balances, i, account, tick) for i, account in enumerate(balances.accounts)]
    rows += _pods_alone(ledger, tick)
    return sorted(rows, key=lambda row: -float(row["cpu_seconds"]))  # type: ignore[arg-type]


def _workload(balances: Balances, i: int, account: Account, tick: Tick) -> dict[str, object]:
    counters = {
        "cycles": balances.cycles,
        "instructions": balances.instructions,
        "cache_misses": balances.cache_misses,
    }
    return {
        "kind": account.workload.kind,
        "id": account.workload.id,
        "name": account.name or account.workload.id,
        "namespace": account.namespace or None,
        "cpu_seconds": float(balances.cpu_seconds[i]),
        **{
            name: float(values[i]) if name in tick.usage.available else None
            for name, values in counters.items()
        },
        "joules": {zone: float(balances.joules[i, z]) for z, zone in enumerate(balances.zones)},
    }


def _pods_alone(ledger: Ledger, tick: Tick) -> list[dict[str, object]]:
    """What ran in a pod's own cgroup and in none of its containers, or is charged to no container of its."""
    pods, containers = ledger.balances("pod"), ledger.balances("container")
    of_pod: dict[str, list[int]] = {}
    for i, account in enumerate(containers.accounts):
        of_pod.setdefault(account.workload.pod_uid, []).append(i)
    rows = []
    for i, account in enumerate(pods.accounts):
        members = of_pod.get(account.workload.id, [])
        row = _workload(pods, i, account, tick)
        own_seconds = pods.cpu_seconds[i] - containers.cpu_seconds[members].sum()
        own_joules = pods.joules[i].sum() - containers.joules[members].sum()
        if own_seconds > 1e-9 or own_joules > 1e-6 * pods.joules[i].sum():
            rows.append({**row, **_without(pods, i, containers, members, tick)})
    return rows


def _without(
    pods: Balances, i: int, containers: Balances, members: list[int], tick: Tick
) -> dict[str, object]:
    """A pod's row with its containers' part taken out."""

    def rest(name: str) -> float:
        return max(0.0, float(getattr(pods, name)[i] - getattr(containers, name)[members].sum()))

    joules = np.maximum(0.0, pods.joules[i] - containers.joules[members].sum(axis=0))
    counters = ("cycles", "instructions", "cache_misses")
    return {
        "cpu_seconds": rest("cpu_seconds"),
        **{name: rest(name) if name in tick.usage.available else None for name in counters},
        "joules": dict(zip(pods.zones, map(float, joules), strict=True)),
    }


def table(document: dict[str, object], columns: int = 100) -> str:
    """The same for people, in lines of so many columns: zones, then what used anything, the largest first."""
    zones: dict[str, dict[str, float]] = document["zones"]  # type: ignore[assignment]
    processes: list[dict[str, Any]] | None = document.get("processes")  # type: ignore[assignment]
    rows = (
        aligned(_workload_lines(document, columns), range(2))
        if processes is None
        else aligned(table_lines(processes, list(zones), columns), (1, 2))
    )
    return (
        f"{document['interval_seconds']:.1f} s, energy from {document['source']}{_named(document)}\n\n"
        + aligned(
            [
                ["ZONE", "TOTAL J", "IDLE J", "ACTIVE J", "UNATTRIBUTED J"],
                *([zone, *(f"{joules:.3f}" for joules in sums.values())] for zone, sums in zones.items()),
            ]
        )
        + "".join(_sources_told(document))
        + "\n"
        + _gpu_table(document)
        + rows
    )


def _workload_lines(document: dict[str, object], columns: int) -> list[list[str]]:
    zones: dict[str, dict[str, float]] = document["zones"]  # type: ignore[assignment]
    workloads: list[dict[str, object]] = document["workloads"]  # type: ignore[assignment]
    head = ["KIND", "NAME", "CPU S", *(f"{zone.upper()} J" for zone in zones)]
    rows = [_table_row(row, list(zones)) for row in workloads if row["cpu_seconds"] or _has_energy(row)]
    taken = sum(_width([head, *rows], i) + len(GAP) for i in range(len(head)) if i != _NAME)
    room = max(_LEAST_NAME, columns - taken)
    return [head, *([*row[:_NAME], shortened(row[_NAME], room), *row[_NAME + 1 :]] for row in rows)]


def _sources_told(document: dict[str, object]) -> Iterator[str]:
    """A line for each zone that is not from where the first line says, or of which there is more to say."""
    sources: dict[str, dict[str, str | None]] = document["sources"]  # type: ignore[assignment]
    for zone, told in sources.items():
        if told["source"] != document["source"] or told["why"]:
            why = f": {told['why']}" if told["why"] else ""
            yield f"{zone} is from {told['source']}{why}\n"


def _gpu_table(document: dict[str, object]) -> str:
    gpus: list[dict[str, Any]] = document.get("gpus", [])  # type: ignore[assignment]
    if not gpus:
        return ""
    rows = [
        [
            f"{gpu['gpu']} {gpu['name']}",
            *(f"{gpu[name]:.3f}" for name in ("total_joules", "idle_joules", "active_joules")),
            printable("+".join(gpu["pods"])),
        ]
        for gpu in gpus
    ]
    return aligned([["GPU", "TOTAL J", "IDLE J", "ACTIVE J", "HELD BY"], *rows], (0, 4)) + "\n"


def _has_energy(row: dict[str, object]) -> bool:
    """Of a GPU also without having been on a CPU."""
    joules: dict[str, float] = row["joules"]  # type: ignore[assignment]
    return any(joules.values())


def _named(document: dict[str, object]) -> str:
    return f" {document['model']}" if document.get("model") else ""


def _columns() -> int:
    return shutil.get_terminal_size((100, 24)).columns


def _table_row(row: dict[str, object], zones: Iterable[str]) -> list[str]:
    joules: dict[str, float] = row["joules"]  # type: ignore[assignment]
    return [
        str(row["kind"]),
        printable(str(row["name"])),
        f"{row['cpu_seconds']:.3f}",
        *(f"{joules.get(z, 0.0):.3f}" for z in zones),
    ]


def _width(lines: Sequence[Sequence[str]], column: int) -> int:
    return max(len(line[column]) for line in lines)


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--duration",
        type=argument_type(duration(minimum=0.1), "--duration"),
        default="5s",
        help="how long to measure (default %(default)s)",
    )
    parser.add_argument(
        "--by",
        choices=("workload", "process"),
        default="workload",
        help="a row for each container, unit and the like, or for each process (default %(default)s)",
    )
    parser.add_argument(
        "--top",
        type=argument_type(integer(0, 1_000_000), "--top"),
        metavar="N",
        help=f"with --by process: how many have rows of their own, 0 for all (default {_TABLE_ROWS} in a"
        " table, all in JSON)",
    )
    add_format(parser)


def _run(arguments: Namespace, config: Config) -> int:
    if arguments.top is not None and arguments.by != "process":
        raise UsageError("--top goes with --by process")
    asked = Asked(arguments.duration, arguments.format, arguments.by == "process", arguments.top)
    return snapshot(config, asked)


COMMAND = Command(
    "snapshot",
    "measure once and print",
    _run,
    MEASURING,
    _add_arguments,
)
