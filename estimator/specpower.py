"""The tables behind the power curves: what servers draw, idle, under load and in between."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from estimator.energy import FloatArray
from estimator.specification import Specification

SPECPOWER = "specpower_idle_full.csv"
PUBLISHED = "watts_per_vcpu_by_microarchitecture.csv"
NX12 = "nx12_train.csv"

_FLAGS = {
    "Sandy Bridge": "Sandy Bridge",
    "Ivy Bridge": "Ivy Bridge",
    "Haswell": "Haswell",
    "Broadwell": "Broadwell",
    "Skylake": "Skylake-SP",
    "Cascade Lake": "Cascade Lake",
    "Coffee Lake": "Coffee Lake",
}
# AMD's and newer Intel parts have no flag column: the last digit of an EPYC 7xxx is its generation, and
# these are the Ice Lake-SP parts in the table (8380H and 8376HL are Cooper Lake).
_EPYC = re.compile(r"\bEPYC 7\d\d([123])P?\b")
_GENERATIONS = {"1": "EPYC 1st Gen", "2": "EPYC 2nd Gen", "3": "EPYC 3rd Gen"}
_ICE_LAKE = re.compile(r"\b(8380|8352Y|6336Y)$")
# Skylake's small Xeons (E3 v5) are the client part, which has another name in CpuIdentity.
_SKYLAKE_CLIENT = re.compile(r"\bE3-")


@dataclass(frozen=True, slots=True)
class Server:
    """One SPECpower_ssj2008 result, wall power of the whole server over its logical CPUs.

    idle, full: watts per logical CPU at active idle and at 100 % load. mean: over the eleven load levels
    (100 %, 90 %, … 10 %, idle), from the overall score: Σ ssj_ops / Σ watts, where the ops of the levels
    add up to 5.5 times those at 100 %. cpu: the CPU description.
    """

    microarchitecture: str | None
    idle: float
    full: float
    mean: float
    cpu: str
    specification: Specification


@dataclass(frozen=True, slots=True)
class LoadSeries:
    """Power of one machine against its load; load in [0, 1], watts, both of shape (n,)."""

    name: str
    load: FloatArray
    watts: FloatArray


def read_servers(data: Path) -> list[Server]:
    """The results that were accepted; "NC" (not compliant) rows carry no watts and are left out."""
    rows = [row for row in _rows(data / SPECPOWER) if row["avg. watts @ 100%"] != "NC"]
    return [_server(row) for row in rows]


def _server(row: dict[str, str]) -> Server:
    threads = _number(row["Total Threads"])
    total_watts = 5.5 * _number(row["ssj_ops @ 100%"]) / _number(row["Result (Overall ssj_ops/watt)"])
    return Server(
        microarchitecture=_microarchitecture(row),
        idle=_number(row["avg. watts @ active idle"]) / threads,
        full=_number(row["avg. watts @ 100%"]) / threads,
        mean=total_watts / 11 / threads,
        cpu=" ".join(row["CPU Description"].split()),
        specification=_specification(row, threads),
    )


def _specification(row: dict[str, str], threads: float) -> Specification:
    nodes, chips = _number(row["Nodes"] or "1"), _number(row["Chips"])
    return Specification(_number(row["MHz"]), threads / chips, chips / nodes)


def _microarchitecture(row: dict[str, str]) -> str | None:
    cpu = row["CPU Description"].strip()
    for column, name in _FLAGS.items():
        if row[column] == "TRUE":
            return None if name == "Skylake-SP" and _SKYLAKE_CLIENT.search(cpu) else name
    if epyc := _EPYC.search(cpu):
        return _GENERATIONS[epyc[1]]
    return "Ice Lake-SP" if _ICE_LAKE.search(cpu) else None


def read_published(data: Path) -> dict[str, tuple[float, float]]:
    """Idle and full-load watts per vCPU as Cloud Carbon Footprint publishes them, by its own names."""
    return {
        row["Architecture"]: (_number(row["Min Watts"]), _number(row["Max Watts"]))
        for row in _rows(data / PUBLISHED)
    }


def read_load_series(data: Path, load_type: str) -> list[LoadSeries]:
    """RAPL package power against CPU load, busy threads ("some_cores") or throttled ones ("all_cores").

    The rows at no load are left out: their 0.2 to 1.4 W are implausible.
    """
    paths = sorted((data / "load_vs_rapl").glob(f"*/*-{load_type}-*.csv"))
    return [_load_series(path) for path in paths]


def _load_series(path: Path) -> LoadSeries:
    rows = [row for row in _rows(path) if not row["task_name"].startswith("Load for 0 ")]
    load = np.array([_number(row["cpu_load"]) / 100 for row in rows])
    return LoadSeries(path.parent.name, load, np.array([_number(row["rapl_power"]) for row in rows]))


def read_nx12(data: Path) -> tuple[LoadSeries, int]:
    """Wall power (ACPI platform) of one bare-metal node against the share of its CPU time, and its CPUs."""
    rows = [row for row in _rows(data / NX12) if row["platform_joules"]]
    n_cpu = int(rows[0]["n_cpu"])
    seconds = np.array([_number(row["interval_seconds"]) for row in rows])
    load = np.array([_number(row["cpu_seconds"]) for row in rows]) / seconds / n_cpu
    watts = np.array([_number(row["platform_joules"]) for row in rows]) / seconds
    return LoadSeries("nx12", load, watts), n_cpu


def _rows(path: Path) -> Iterable[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float:
    return float(text.replace(",", "").replace(" ", ""))
