"""The shape between idle and full load: learned from SPECpower's eleven levels, held against RAPL and a wall
meter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from estimator.energy import FloatArray
from estimator.machine.catalogue import Catalogue
from estimator.machine.names import family_of_key, key_of, most_chips
from estimator.machine.specification import Specification
from estimator.model.process import AMD_FAMILIES
from estimator.model.specification_zone import throughput_at
from estimator.training.curves.tables import read_rows

TABLE = "specpower_levels.csv"
LEVELS = np.linspace(0.0, 1.0, 11)
FIRST_YEAR = 2017
_DASHES = re.compile(r"\b(e[357]?|d|q\d\d|m\d{3}) (?=\d)")


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """watts: at eleven levels of throughput, NaN where a level is missing."""

    specification: Specification
    watts: FloatArray

    @property
    def draw(self) -> FloatArray:
        """The share of the way from idle to full."""
        return np.asarray((self.watts - self.watts[0]) / (self.watts[-1] - self.watts[0]))


@dataclass(frozen=True, slots=True, eq=False)
class LoadSeries:
    """Power of one machine against its CPU time; load in [0, 1], watts, both of shape (n,)."""

    name: str
    load: FloatArray
    watts: FloatArray


def read_machines(data: Path, catalogue: Catalogue) -> list[Machine]:
    """Those whose CPU came out since 2017 and whose ends are there."""
    machines = [_machine(row, catalogue) for row in read_rows(data / TABLE)]
    return [
        of
        for of in machines
        if (of.specification.year or 0) >= FIRST_YEAR
        and of.specification.cpu
        and np.isfinite(of.watts[[0, -1]]).all()
    ]


def _machine(row: dict[str, str], catalogue: Catalogue) -> Machine:
    name = _DASHES.sub(r"\1-", row["cpu"])
    part, all_chips, cores = catalogue.specification_of(name), float(row["chips"]), float(row["cores"])
    chips = min(all_chips, float(most_chips(key_of(name))))
    of = Specification(
        family=family_of_key(key_of(name)),
        cores_per_chip=cores / all_chips,
        threads_per_core=part.threads_per_core,
        mhz=float(row["mhz"]),
        tdp_watts=part.tdp_watts,
        year=part.year,
        chips=chips,
        memory_gb_per_chip=float(row["memory_gb"]) / all_chips,
        cpu=part.cpu,
    )
    watts = [float(row[f"watts_{level}"] or "nan") for level in range(0, 101, 10)]
    return Machine(of, np.array(watts) * chips / all_chips)


def shapes_of(machines: Sequence[Machine]) -> dict[str, tuple[float, ...]]:
    """The median draw at each level, of AMD's machines, of Intel's, and of any; rising, three digits."""
    amd = [of for of in machines if of.specification.family in AMD_FAMILIES]
    intel = [of for of in machines if of.specification.family not in AMD_FAMILIES]
    return {"AMD": _shape(amd), "Intel": _shape(intel), "any": _shape(machines)}


def _shape(machines: Sequence[Machine]) -> tuple[float, ...]:
    if not machines:
        return tuple(LEVELS.tolist())
    draw = np.nanmedian([of.draw for of in machines], axis=0)
    return tuple(np.round(np.maximum.accumulate(draw), 3).tolist())


def read_load_series(data: Path, load_type: str) -> list[LoadSeries]:
    """RAPL power by load, with busy threads ("some_cores") or throttled ones ("all_cores").

    The rows at no load are left out: their 0.2 to 1.4 W are implausible.
    """
    return [_load_series(path) for path in sorted((data / "load_vs_rapl").glob(f"*/*-{load_type}-*.csv"))]


def _load_series(path: Path) -> LoadSeries:
    rows = [row for row in read_rows(path) if not row["task_name"].startswith("Load for 0 ")]
    load = np.array([float(row["cpu_load"]) / 100 for row in rows])
    return LoadSeries(path.parent.name, load, np.array([float(row["rapl_power"]) for row in rows]))


def read_nx12(data: Path) -> LoadSeries:
    """Wall power (ACPI platform) of one bare-metal node against the share of its CPU time."""
    rows = [row for row in read_rows(data / "nx12_train.csv") if row["platform_joules"]]
    seconds = np.array([float(row["interval_seconds"]) for row in rows])
    load = np.array([float(row["cpu_seconds"]) / float(row["n_cpu"]) for row in rows]) / seconds
    return LoadSeries("nx12", load, np.array([float(row["platform_joules"]) for row in rows]) / seconds)


def second_thread_of(series: Sequence[LoadSeries], shape: Sequence[float]) -> float:
    """What a second thread adds to a core's throughput, so that n busy threads draw what RAPL says they do.

    Of 0.05, 0.10 … 1 the one with the least squared relative error, each machine's ends fitted.
    """
    candidates = np.round(np.arange(0.05, 1.01, 0.05), 2)
    return float(min(candidates, key=lambda second: sum(_misfit(of, shape, second) for of in series)))


def _misfit(of: LoadSeries, shape: Sequence[float], second: float) -> float:
    draw = np.interp(throughput_at(of.load, second), LEVELS, shape)
    design = np.column_stack([np.ones_like(draw), draw]) / of.watts[:, np.newaxis]
    _, residual, *_ = np.linalg.lstsq(design, np.ones_like(of.watts), rcond=None)
    return float(residual.sum()) / len(of.load)
