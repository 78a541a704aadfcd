"""Rows of `podjoule snapshot --by process`: what each used, and beside them all that is no process's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from ebpf.counters import CACHE_MISSES, CPU_NS, CYCLES, INSTRUCTIONS
from estimator.energy import FloatArray
from exporter.books.processes import ProcessInfo, ProcessLedger
from exporter.names.accounts import Account
from exporter.plain_text import printable, shortened
from exporter.tick.measurement import Measurement, Tick

What = Literal["process", "kernel threads", "rest", "others"]

_COUNTERS = {"cycles": CYCLES, "instructions": INSTRUCTIONS, "cache_misses": CACHE_MISSES}
_LEAST_NAME, _LEAST_PLACE = 15, 12  # a comm has 15 characters at most
_TOLD: dict[What, str] = {"kernel threads": "(kernel threads)", "rest": "(ended, or not told)"}


@dataclass(frozen=True, slots=True)
class _Line:
    """One row before it is written. pid: 0 for a sum. rows: those of the usage that it is the sum of."""

    what: What
    account: Account | None
    pid: int
    rows: list[int]


def process_rows(
    measurement: Measurement, tick: Tick, known: Mapping[int, ProcessInfo], top: int | None = None
) -> list[dict[str, Any]]:
    """Every process of a tick by what it used, the largest first; then sums of what is no process's.

    Of each workload its rows add up to what it is charged. A process whose threads ran in two workloads has a
    row in each. known: what was running at the start, for the names of those that ended. top: how many
    processes have rows, the others being one; None for all.
    """
    names = _Names(measurement.processes, known)
    lines = _lines(measurement, tick, names)
    amounts = _Amounts(measurement, tick)
    rows = [{**_identity(line, names), **amounts.of(line.rows)} for line in lines]
    rows.sort(key=_size, reverse=True)
    processes = [row for row in rows if row["what"] == "process"]
    shown = processes if top is None else processes[:top]
    rest = [row for row in rows if row["what"] != "process"]
    others = [_others(processes[len(shown) :])] if len(processes) > len(shown) else []
    return [*shown, *others, *rest]


class _Names:
    """What processes are called: now, or where they have ended before."""

    def __init__(self, books: ProcessLedger | None, known: Mapping[int, ProcessInfo]) -> None:
        self._now = books.seen() if books else {}
        self._known = known

    def of(self, pid: int) -> tuple[ProcessInfo | None, bool]:
        """Its names, None where nobody knows, and whether it runs."""
        return self._now.get(pid) or self._known.get(pid), pid in self._now


def _lines(measurement: Measurement, tick: Tick, names: _Names) -> list[_Line]:
    """The kernel's threads are one; so is of each workload what ended before it had a name."""
    lines: dict[tuple[str, str, What, int], _Line] = {}
    used_ns = tick.usage.used[:, :, CPU_NS].sum(axis=1)
    joules = sum((share.cgroup_joules for share in tick.shares), np.zeros(len(used_ns)))
    cgroups, pids = tick.usage.cgroup_id.tolist(), tick.usage.tgid.tolist()
    for i in np.flatnonzero((used_ns > 0) | (joules > 0)).tolist():
        account = measurement.account_of(cgroups[i])
        what = _what(account, pids[i], names)
        pid = pids[i] if what == "process" else 0
        lines.setdefault((*account.key, what, pid), _Line(what, account, pid, [])).rows.append(i)
    return list(lines.values())


def _what(account: Account, pid: int, names: _Names) -> What:
    if account.workload.kind == "kernel":
        return "kernel threads"
    return "process" if pid and any(names.of(pid)) else "rest"


class _Amounts:
    """Sums over rows of a tick's usage."""

    def __init__(self, measurement: Measurement, tick: Tick) -> None:
        self._used = tick.usage.used.sum(axis=1)
        self._available = tick.usage.available
        self._joules: dict[str, FloatArray] = {}
        self._watts = np.zeros(len(self._used))
        counted = [share for share in tick.shares if share.energy.zone in measurement.tariffs.zones]
        for share in tick.shares:
            zone = share.energy.zone
            self._joules[zone] = self._joules.get(zone, 0.0) + share.cgroup_joules
        for share in counted:
            if share.energy.interval_seconds > 0:
                self._watts = self._watts + share.cgroup_joules / share.energy.interval_seconds
        self._has_watts = bool(counted)

    def of(self, rows: Sequence[int]) -> dict[str, Any]:
        used = self._used[list(rows)].sum(axis=0)
        return {
            "cpu_seconds": float(used[CPU_NS]) / 1e9,
            **{
                name: float(used[field]) if name in self._available else None
                for name, field in _COUNTERS.items()
            },
            "watts": float(self._watts[list(rows)].sum()) if self._has_watts else None,
            "joules": {zone: float(joules[list(rows)].sum()) for zone, joules in self._joules.items()},
        }


def _identity(line: _Line, names: _Names) -> dict[str, Any]:
    info, runs = names.of(line.pid)
    account = line.account
    return {
        "what": line.what,
        "pid": line.pid or None,
        "name": info.comm or None if info else None,
        "exe": info.exe or None if info else None,
        "running": runs if line.pid else None,
        "kind": account.workload.kind if account else None,
        "workload": account.workload.id if account else None,
        "within": (account.name or account.workload.id) if account else None,
    }


def _others(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The sum of rows; how many they are stands in its name."""
    return {
        **_identity(_Line("others", None, 0, []), _Names(None, {})),
        **_sum(rows),
        "name": f"{len(rows)} more",
    }


def _sum(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    amounts = ("cpu_seconds", *_COUNTERS, "watts")
    zones = dict.fromkeys(zone for row in rows for zone in row["joules"])
    return {
        **{name: _total(row[name] for row in rows) for name in amounts},
        "joules": {zone: sum(row["joules"].get(zone, 0.0) for row in rows) for zone in zones},
    }


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _size(row: dict[str, Any]) -> tuple[float, float]:
    return row["watts"] or 0.0, row["cpu_seconds"]


def table_lines(rows: Sequence[dict[str, Any]], zones: Sequence[str], columns: int) -> list[list[str]]:
    """Head and lines of cells for people, in so many columns; sums stand below, one line a kind of them."""
    of: dict[What, list[dict[str, Any]]] = {what: [] for what in get_args(What)}
    for row in rows:
        of[row["what"]].append(row)
    head = ["PID", "NAME", "WITHIN", "CPU S", "WATTS", *(f"{zone.upper()} J" for zone in zones)]
    lines = [_cells(row, str(row["pid"]), _shown_name(row), row["within"], zones) for row in of["process"]]
    lines += [_cells(row, "", f"({row['name']})", "", zones) for row in of["others"]]
    lines += [_cells(_sum(of[what]), "", told, "", zones) for what, told in _TOLD.items() if of[what]]
    return _fitted([head, *lines], columns)


def _cells(row: Mapping[str, Any], pid: str, name: str, within: str, zones: Sequence[str]) -> list[str]:
    watts = "-" if row["watts"] is None else f"{row['watts']:.3f}"
    joules = (f"{row['joules'].get(zone, 0.0):.3f}" for zone in zones)
    return [pid, printable(name), printable(within), f"{row['cpu_seconds']:.3f}", watts, *joules]


def _shown_name(row: Mapping[str, Any]) -> str:
    return f"{row['name'] or '?'}{'' if row['running'] else ' (ended)'}"


def _fitted(lines: list[list[str]], columns: int) -> list[list[str]]:
    """The place is cut first, then the name."""
    name, place = 1, 2
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    gaps = 2 * (len(widths) - 1)
    room = columns - gaps - sum(widths) + widths[place]
    of_place = max(_LEAST_PLACE, min(widths[place], room))
    of_name = max(_LEAST_NAME, widths[name] + min(0, room - of_place))
    return [
        [*line[:name], shortened(line[name], of_name), shortened(line[place], of_place), *line[place + 1 :]]
        for line in lines
    ]
