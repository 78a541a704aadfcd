"""SPECpower's results, cleaned: what whole servers draw at the wall, idle and at full load, and what they
are.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from pathlib import Path

from estimator.machine.catalogue import Catalogue
from estimator.machine.names import family_of_key, key_of, maker_of, most_chips
from estimator.machine.specification import Specification

TABLE = "specpower_2026.csv"
# Before it servers had no idle states worth the name, and what they drew says little about those of today.
FIRST_YEAR = 2012
_CORES = re.compile(r"(\d+) Cores\b")
# Some give memory in terabytes: since 2014 no server of these had less than this.
_LEAST_GB_PER_CHIP, _SINCE = 2.0, 2014


@dataclass(frozen=True, slots=True)
class Server:
    """One result. idle_watts, full_watts: of one chip's share of all nodes; specification: of one node.

    cpu: the key of its name; is_dense: several nodes in one chassis, which share fans and power supplies.
    """

    cpu: str
    published: int
    specification: Specification
    is_dense: bool
    idle_watts: float
    full_watts: float


def read_servers(data: Path, catalogue: Catalogue) -> list[Server]:
    """The results since FIRST_YEAR that say what they are of."""
    with (data / TABLE).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["published"][-4:]) >= FIRST_YEAR]
    return [_server(row, catalogue) for row in rows if _is_told(row)]


def read_own(path: Path, catalogue: Catalogue) -> list[Server]:
    """A fleet's own hosts: CSV with cpu, chips, memory_gb, idle_watts and full_watts, of the whole host each,
    and maker, where it is known.

    Raises ValueError naming the line whose CPU the tables do not know.
    """
    with path.open(newline="", encoding="utf-8") as file:
        return [_own(row, line, catalogue) for line, row in enumerate(csv.DictReader(file), 2)]


def _own(row: dict[str, str], line: int, catalogue: Catalogue) -> Server:
    part, chips = catalogue.specification_of(row["cpu"]), float(row["chips"])
    if part.cores_per_chip is None:
        raise ValueError(f"line {line}: the tables know no CPU called {row['cpu']!r}")
    of = replace(
        part,
        chips=chips,
        memory_gb_per_chip=float(row["memory_gb"]) / chips,
        cpu=key_of(row["cpu"]),
        maker=maker_of(row.get("maker") or ""),
    )
    idle, full = float(row["idle_watts"]) / chips, float(row["full_watts"]) / chips
    return Server(of.cpu, int(of.year or FIRST_YEAR), of, is_dense=False, idle_watts=idle, full_watts=full)


def _server(row: dict[str, str], catalogue: Catalogue) -> Server:
    key, published = key_of(row["cpu"]), int(row["published"][-4:])
    chips = int(row["chips"])
    per_node = _chips_of_a_node(key, chips)
    part = catalogue.specification_of(row["cpu"])
    specification = Specification(
        family=family_of_key(key),
        cores_per_chip=int(row["cores"]) / chips,
        threads_per_core=_threads_per_core(row, part),
        mhz=float(row["mhz"]),
        tdp_watts=part.tdp_watts,
        year=part.year or published - 1,
        chips=per_node,
        memory_gb_per_chip=_memory_gb(float(row["memory_gb"]) / chips, published),
        cpu=key,
        maker=maker_of(row["vendor"]),
    )
    idle, full = float(row["watts_idle"]) / chips, float(row["watts_full"]) / chips
    return Server(key, published, specification, chips > per_node, idle, full)


def _threads_per_core(row: dict[str, str], part: Specification) -> float:
    """Eight rows contradict themselves: there the CPU's own counts."""
    stated = int(row["threads_per_core"])
    is_consistent = int(row["cores"]) * stated == int(row["threads"])
    return stated if is_consistent else part.threads_per_core or stated


def _is_told(row: dict[str, str]) -> bool:
    """False where the CPU is of no family, or its name gives a chip other cores than the columns do."""
    cores = _CORES.search(row["cpu"])
    contradicts = cores is not None and int(row["cores"]) != int(row["chips"]) * int(cores[1])
    return family_of_key(key_of(row["cpu"])) is not None and not contradicts


def _chips_of_a_node(key: str, chips: int) -> int:
    """`chips` counts those of all nodes of a result; no node has more than the part is sold for."""
    most = most_chips(key)
    if chips <= most:
        return chips
    return min(most, 2) if chips % 2 == 0 else 1


def _memory_gb(per_chip: float, published: int) -> float:
    return per_chip * 1024 if per_chip < _LEAST_GB_PER_CHIP and published >= _SINCE else per_chip
