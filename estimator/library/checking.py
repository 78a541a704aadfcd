"""What is wrong with a samples table, row by row and as a whole, before anything is made from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path

import numpy as np
import pandas as pd

from estimator.errors import SamplesInvalid
from estimator.features import PREDICTORS
from estimator.machine.specification import Specification, ceilings
from estimator.meters.port import ZONES
from estimator.training.impossible import reasons_of
from estimator.training.plausible import Finding, implausible_columns
from estimator.training.tables import files_of, read_file, readable

Machine = Mapping[str, float]

# By reason of estimator.training.impossible: the column it is about, what it means, what to do.
_ROWS = {
    "not_a_number": ("", "a cell is written as no number is", "leave cells empty where nothing was measured"),
    "no_time": ("timestamp_seconds", "no time", "give unix seconds or a date and time"),
    "no_interval": ("interval_seconds", "no interval, or no CPUs", "give the seconds that the row spans"),
    "negative": ("", "a count below 0", "a counter began anew: leave the row out"),
    "cpu_over_capacity": (
        "cpu_seconds",
        "more CPU time than its CPUs have",
        "check n_cpu, and the unit: seconds",
    ),
    "cycles_over_clock": ("cycles", "more cycles than any CPU does", "give the difference to the row before"),
    "zero_energy": ("", "no energy: the meter stood still or ran backwards", "leave the row out"),
    "power_outlier": (
        "",
        "over 10 times the 95th percentile of power",
        "a glitch: leave the row out",
    ),
    "gap": ("interval_seconds", "5 times as long as rows are", "nobody watched: leave the row out"),
    "overlap": (
        "timestamp_seconds",
        "it begins before the row before has ended",
        "counted twice: leave one out",
    ),
}
_HOLE = 3.0


def check_samples(
    source: pd.DataFrame | str | PathLike[str], machine: Machine | None = None
) -> list[Finding]:
    """What is wrong with a table, as (row, column, what, mend); empty where nothing is.

    source: a table's file, or a DataFrame. machine: what is known of it, to tell which watts it cannot draw:
    n_cpu, tdp_watts (of one socket), sockets, memory_gb. Never raises for what stands in the table.
    """
    try:
        frame, name = _raw(source)
        table = readable(frame, name)
    except SamplesInvalid as error:
        return [Finding(None, "", str(error), "see docs/samples.md for what a samples table holds")]
    return list(_findings(table, machine or {}))


def _raw(source: pd.DataFrame | str | PathLike[str]) -> tuple[pd.DataFrame, str]:
    if isinstance(source, pd.DataFrame):
        return source, "DataFrame"
    path = Path(fspath(source))
    return pd.concat([read_file(file) for file in files_of(path)], ignore_index=True), str(path)


def _findings(table: pd.DataFrame, machine: Machine) -> Iterator[Finding]:
    table = table.set_axis(range(1, len(table) + 1)).sort_values(["node", "timestamp_seconds"], kind="stable")
    finite = table.replace([np.inf, -np.inf], np.nan)
    columns = list(implausible_columns(finite, _ceilings(machine)))
    yield from columns
    yield from _machines(table, machine)
    yield from _times(finite)
    yield from _constant(finite)
    zones = [zone for zone in ZONES if f"{zone}_joules" in table and (table[f"{zone}_joules"] > 0).any()]
    if not zones:
        yield Finding(None, "", "no energy: no joules of a zone above 0", "add a meter's column")
    reasons = reasons_of(table, zones)
    for row, reason in reasons[reasons != ""].sort_index().items():
        column, what, mend = _ROWS.get(str(reason), _over_most(str(reason)))
        yield Finding(int(str(row)), column, what, mend)


def _over_most(reason: str) -> tuple[str, str, str]:
    column = reason.removesuffix("_over_most")
    return column, f"more {column} than any CPU does", "give the difference to the row before"


def _ceilings(machine: Machine) -> dict[str, float]:
    sockets = machine.get("sockets", 1.0)
    memory = machine.get("memory_gb")
    return ceilings(
        Specification(
            tdp_watts=machine.get("tdp_watts"),
            chips=float(sockets),
            memory_gb_per_chip=None if memory is None else memory / sockets,
        )
    )


def _machines(table: pd.DataFrame, machine: Machine) -> Iterator[Finding]:
    nodes = {
        str(node): sorted(set(n_cpu.dropna().astype(int))) for node, n_cpu in table.groupby("node")["n_cpu"]
    }
    if len(nodes) > 1:
        named = ", ".join(f"{node} with {sizes[0] if sizes else '?'} CPUs" for node, sizes in nodes.items())
        same = len({tuple(sizes) for sizes in nodes.values()}) == 1
        yield Finding(
            None,
            "node",
            f"{len(nodes)} machines: {named}",
            "train one model for each, unless they are alike",
            "doubtful" if same else "wrong",
        )
    for node, sizes in nodes.items():
        if len(sizes) > 1:
            found = f"{node} has {' and '.join(map(str, sizes))} CPUs"
            yield Finding(None, "n_cpu", found, "two machines share a name: give each its own", "doubtful")
        elif sizes and machine.get("n_cpu") and sizes[0] != machine["n_cpu"]:
            found = f"{node} has {sizes[0]} CPUs, the machine {machine['n_cpu']:g}"
            yield Finding(None, "n_cpu", found, "count logical CPUs, as /proc/cpuinfo does")


def _times(table: pd.DataFrame) -> Iterator[Finding]:
    for node, rows in table.groupby("node"):
        since = rows["timestamp_seconds"].diff()
        holes = since[since > _HOLE * rows["interval_seconds"]]
        if len(holes):
            found = f"{node}: {len(holes)} holes longer than {_HOLE:g} rows, of {holes.max():.0f} s at most"
            mend = "none needed where nobody recorded; else check interval_seconds"
            yield Finding(int(str(holes.idxmax())), "timestamp_seconds", found, mend, "doubtful")


def _constant(table: pd.DataFrame) -> Iterator[Finding]:
    joules = [name for name in (f"{zone}_joules" for zone in ZONES) if name in table]
    for name in (*joules, *(name for name in PREDICTORS if name in table)):
        values = table[name].dropna()
        if values.empty:
            yield Finding(None, name, "no row holds it", "leave the column out", "doubtful")
        elif len(values) > 1 and values.nunique() == 1:
            what = f"it is {values.iloc[0]:g} in every row: nothing can be learned from it"
            yield Finding(None, name, what, "leave the column out, or check where it comes from", "doubtful")
