"""`podjoule snapshot`: measure once and print."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import sys
import time
from collections.abc import Iterable, Sequence

import numpy as np

from estimator.energy import ZoneShare
from exporter.accounts import Account
from exporter.assembly import assemble
from exporter.config import Config
from exporter.ledger import Balances, Ledger
from exporter.measurement import Measurement, Tick
from exporter.register import Lifetimes
from exporter.workloads import Kind

# Pods repeat their containers, so that of them only what is in no container stands here: the rows add up.
LEAF_KINDS: tuple[Kind, ...] = ("container", "vm", "unit", "user", "kernel", "other")
# Of the table: the column of names, the least it is cut to, and the spaces between two columns.
_NAME, _LEAST_NAME, _GAP = 1, 16, 2


def snapshot(config: Config, duration_seconds: float, output: str) -> int:
    """Measure for a while and print what was used, as a table or as JSON (DESIGN section 7)."""
    measurement = assemble(config)
    # What ends while we measure, and what has no name yet, must be among the rows, or they would not add up.
    measurement.set_lifetimes(Lifetimes(math.inf, naming_seconds=0.0, max_terminated=sys.maxsize))
    with contextlib.closing(measurement):
        measurement.advance()
        time.sleep(duration_seconds)
        tick = measurement.advance()
    document = describe(measurement, tick)
    text = json.dumps(document, indent=1) + "\n" if output == "json" else table(document, _columns())
    sys.stdout.write(text)
    return 0


def describe(measurement: Measurement, tick: Tick) -> dict[str, object]:
    """The measurement as DESIGN section 7 has it; None for what is not measured."""
    return {
        "interval_seconds": tick.interval_seconds,
        "source": measurement.power.source.info.source,
        "zones": _zones(tick.shares),
        "workloads": _workloads(measurement.ledger, tick),
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
    taken = sum(_width([head, *rows], i) + _GAP for i in range(len(head)) if i != _NAME)
    room = max(_LEAST_NAME, columns - taken)
    fitting = [[*row[:_NAME], _shortened(row[_NAME], room), *row[_NAME + 1 :]] for row in rows]
    return (
        f"{document['interval_seconds']:.1f} s, energy from {document['source']}\n\n"
        + _aligned(
            ["ZONE", "TOTAL J", "IDLE J", "ACTIVE J", "UNATTRIBUTED J"],
            [[zone, *(f"{joules:.3f}" for joules in sums.values())] for zone, sums in zones.items()],
        )
        + "\n"
        + _aligned(head, fitting, text_columns=2)
    )


def _columns() -> int:
    return shutil.get_terminal_size((100, 24)).columns


def _table_row(row: dict[str, object], zones: Iterable[str]) -> list[str]:
    joules: dict[str, float] = row["joules"]  # type: ignore[assignment]
    # A cgroup may be called anything, also what a terminal would obey.
    name = "".join(each if each.isprintable() else "?" for each in str(row["name"]))
    return [
        str(row["kind"]),
        name,
        f"{row['cpu_seconds']:.3f}",
        *(f"{joules.get(z, 0.0):.3f}" for z in zones),
    ]


def _shortened(name: str, room: int) -> str:
    """The two ends of a name that is too long: they tell paths and ids apart best."""
    if len(name) <= room:
        return name
    return f"{name[: room // 2]}…{name[len(name) - (room - room // 2 - 1) :]}"


def _aligned(head: list[str], rows: list[list[str]], text_columns: int = 1) -> str:
    lines = [head, *rows]
    widths = [_width(lines, column) for column in range(len(head))]
    return "".join(
        (" " * _GAP)
        .join(
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        .rstrip()
        + "\n"
        for line in lines
    )


def _width(lines: Sequence[Sequence[str]], column: int) -> int:
    return max(len(line[column]) for line in lines)
