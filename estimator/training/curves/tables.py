"""The shipped tables of CPUs and instance types, made from the published ones."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from estimator.machine.catalogue import CPU_TABLE, INSTANCE_TABLE
from estimator.machine.names import family_of_key, key_of

CPUS, FURTHER_CPUS = "cpu_specifications.csv", "further_cpus.csv"
AWS, GOOGLE = "aws_instances.csv", "gcp_instances.csv"
# Of parts that the table does not date.
_FAMILY_YEARS = {
    "K10": "2009",
    "Bulldozer": "2011",
    "Piledriver": "2012",
    "Naples": "2017",
    "Zen": "2017",
    "Rome": "2019",
    "Zen 2": "2019",
    "Milan": "2021",
    "Zen 3": "2020",
    "Zen 4": "2023",
    "Zen 5": "2025",
}
_SINGLE = re.compile(r"xeon (?:6\d\d\de|31\d\d|e5-\w60[39]|e3-122\d$|[elx]?[357][0-4]\d\d)")
_YEAR = re.compile(r"(?:(\d{4})|'(\d\d))$")


def read_rows(path: Path) -> list[dict[str, str]]:
    """A CSV file's rows."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def cpu_table(data: Path) -> str:
    """One line a CPU: key, family, cores, threads, base_mhz, tdp_watts, year; empty for what is not known.

    Of rows with the same key the one that tells most stays; the clouds' own parts come last and win.
    """
    rows: dict[str, list[str]] = {}
    for row in (*read_rows(data / CPUS), *read_rows(data / FURTHER_CPUS)):
        key = key_of(row["name"])
        line = [
            family_of_key(key) or "",
            row["cores"],
            row["threads"] or _threads(key, row["cores"]),
            row["base_mhz"].removesuffix(".0"),
            row["tdp_watts"].removesuffix(".0"),
            _year(row["launched"]) or _FAMILY_YEARS.get(family_of_key(key) or "", ""),
        ]
        if "," not in key and _told(line) >= _told(rows.get(key, [])):
            rows[key] = line
    return _text(("key", "family", "cores", "threads", "base_mhz", "tdp_watts", "year"), _flat(rows))


def instance_table(data: Path) -> str:
    """One line an instance type: type, cpu, vcpus, memory_gb."""
    aws = (
        (row["Instance Type"], row["Platform CPU Name"], row["vCPUs"], row["Memory (GiB)"])
        for row in read_rows(data / AWS)
    )
    google = (
        (row["Instance Type"], row["CPU Name"], row["Instance vCPU"], row["Instance Memory"])
        for row in read_rows(data / GOOGLE)
    )
    rows = {
        name.lower(): [" ".join(cpu.replace("\u2011", "-").split()), n_cpu, memory.replace(",", "")]
        for name, cpu, n_cpu, memory in (*aws, *google)
        if n_cpu and memory
    }
    return _text(("type", "cpu", "vcpus", "memory_gb"), _flat(rows))


def write_tables(data: Path, output: Path) -> None:
    """Both, into a folder."""
    (output / CPU_TABLE).write_text(cpu_table(data), encoding="utf-8")
    (output / INSTANCE_TABLE).write_text(instance_table(data), encoding="utf-8")


def _flat(rows: dict[str, list[str]]) -> Iterator[list[str]]:
    return ([key, *rest] for key, rest in sorted(rows.items()))


def _text(header: Iterable[str], rows: Iterable[list[str]]) -> str:
    return "".join(",".join(row) + "\n" for row in (header, *rows))


def _told(line: list[str]) -> int:
    return sum(map(bool, line))


def _threads(key: str, cores: str) -> str:
    """Intel's rows lack them: a Xeon's cores have two since 2008, but for E cores and the smallest parts."""
    if not key.startswith("xeon") or not cores:
        return ""
    return cores if _SINGLE.match(key) else str(2 * int(cores))


def _year(launched: str) -> str:
    found = _YEAR.search(launched)
    return "" if found is None else found[1] or f"20{found[2]}"
