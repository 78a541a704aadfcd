"""`podjoule snapshot`: measure once and print."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import shutil
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from estimator.energy import ZoneShare
from exporter.books.ledger import Balances, Ledger
from exporter.books.row_lifetimes import Lifetimes
from exporter.commands.declaration import MEASURING, Command, add_format
from exporter.configuration.config import Config
from exporter.configuration.options import argument_type
from exporter.configuration.value_types import duration
from exporter.names.accounts import Account
from exporter.names.workloads import Kind
from exporter.plain_text import GAP, aligned, printable, shortened
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


def snapshot(config: Config, duration_seconds: float, output: str) -> int:
    """Measure for a while and print what was used, as a table or as JSON.

    0; 1 where there is no energy though some was asked for, or another model stands in for the one asked for.
    """
    measurement = assemble(config)
    # What ends while we measure, and what has no name yet, must be among the rows, or they would not add up.
    measurement.set_lifetimes(Lifetimes(math.inf, silence_seconds=0.0, max_terminated=sys.maxsize))
    with contextlib.closing(measurement):
        measurement.advance()
        time.sleep(duration_seconds)
        tick = measurement.advance()
    document = describe(measurement, tick)
    text = json.dumps(document, indent=1) + "\n" if output == "json" else table(document, _columns())
    sys.stdout.write(text)
    power = measurement.power
    lacks_energy = not tick.shares and power.meter is None and config.model != "none"
    if lacks_energy:
        log.error("no energy in this snapshot: no meter, and no model that can serve here")
    return _FAILED if lacks_energy or power.fallback() else 0


def describe(measurement: Measurement, tick: Tick) -> dict[str, object]:
    """The measurement as docs/tour.md shows it; None for what is not measured. model: the name of the one
    that the energy is from. sources: the same by zone, and why it is from there."""
    info = measurement.power.source.info
    return {
        "interval_seconds": tick.interval_seconds,
        "source": info.source,
        "model": info.model or None,
        "sources": _sources(measurement.power, tick.shares),
        "zones": _zones(tick.shares),
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
    """What ran in a pod's own cgroup and in none of its containers."""
    pods, containers = ledger.balances("pod"), ledger.balances("container")
    of_pod: dict[str, list[int]] = {}
    for i, account in enumerate(containers.accounts):
        of_pod.setdefault(account.workload.pod_uid, []).append(i)
    rows = []
    for i, account in enumerate(pods.accounts):
        members = of_pod.get(account.workload.id, [])
        row = _workload(pods, i, account, tick)
        own_seconds = pods.cpu_seconds[i] - containers.cpu_seconds[members].sum()
        if own_seconds > 1e-9:
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
    workloads: list[dict[str, object]] = document["workloads"]  # type: ignore[assignment]
    head = ["KIND", "NAME", "CPU S", *(f"{zone.upper()} J" for zone in zones)]
    rows = [_table_row(row, list(zones)) for row in workloads if row["cpu_seconds"]]
    taken = sum(_width([head, *rows], i) + len(GAP) for i in range(len(head)) if i != _NAME)
    room = max(_LEAST_NAME, columns - taken)
    fitting = [[*row[:_NAME], shortened(row[_NAME], room), *row[_NAME + 1 :]] for row in rows]
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
        + aligned([head, *fitting], range(2))
    )


def _sources_told(document: dict[str, object]) -> Iterator[str]:
    """A line for each zone that is not from where the first line says, or of which there is more to say."""
    sources: dict[str, dict[str, str | None]] = document["sources"]  # type: ignore[assignment]
    for zone, told in sources.items():
        if told["source"] != document["source"] or told["why"]:
            why = f": {told['why']}" if told["why"] else ""
            yield f"{zone} is from {told['source']}{why}\n"


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
    add_format(parser)


COMMAND = Command(
    "snapshot",
    "measure once and print",
    lambda arguments, config: snapshot(config, arguments.duration, arguments.format),
    MEASURING,
    _add_arguments,
)
