"""The power curves fitted to the tables: watts per CPU, and an interval from errors on what was left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from estimator.curve_scores import (
    Score,
    conformal_factor,
    ends_score,
    geometric_mean,
    left_out_medians,
    level_shape_score,
    log_errors,
    published_score,
    series_shape_score,
    watts_of,
    weighted_factor,
)
from estimator.energy import FloatArray
from estimator.specification import Scaling
from estimator.specification_fit import (
    fit_across,
    fit_within,
    unseen_cpu_score,
    unseen_microarchitecture_score,
)
from estimator.specpower import Server, read_load_series, read_nx12, read_published, read_servers

COVERAGE = 0.9
# Names of the published table where they are not those of CpuIdentity.
_PUBLISHED_NAMES = {"Skylake-SP": "Sky Lake", "Cortex-A72": "Graviton", "Neoverse N1": "Graviton2"}
# No SPECpower machine has these; the published figures for them are those of EPYC 2nd Gen.
WITHOUT_MACHINES = ("Cortex-A72", "Neoverse N1")


@dataclass(frozen=True, slots=True)
class Tables:
    """All that was read. servers: by microarchitecture."""

    servers: Mapping[str, Sequence[Server]]
    published: Mapping[str, tuple[float, float]]
    shape_scores: Mapping[str, Score]
    data: Path


@dataclass(frozen=True, slots=True)
class Curve:
    """What a model says: idle and full-load watts per CPU and the factors of the interval."""

    microarchitecture: str | None
    watts: tuple[float, float]
    factors: tuple[float, float]
    method: str
    rows: int
    scores: Mapping[str, Score]
    scaling: Scaling | None = None


def read_tables(data: Path) -> Tables:
    """Read every table and score the shape, which all the curves share."""
    servers: dict[str, list[Server]] = {}
    for server in read_servers(data):
        if server.microarchitecture is not None:
            servers.setdefault(server.microarchitecture, []).append(server)
    shape = {
        "shape_busy_threads": series_shape_score(read_load_series(data, "some_cores")),
        "shape_throttled_load": series_shape_score(read_load_series(data, "all_cores")),
        "shape_nx12_wall": series_shape_score([read_nx12(data)[0]]),
    }
    return Tables(servers, read_published(data), shape, data)


def generic_curve(tables: Tables) -> Curve:
    """The geometric mean of the microarchitectures; its interval leaves each of them out in turn."""
    watts = {name: watts_of(servers) for name, servers in tables.servers.items()}
    medians = {name: np.median(of, axis=0) for name, of in watts.items()}
    unseen = {name: _without(medians, name) for name in medians}
    errors = [log_errors(unseen[name], of) for name, of in watts.items()]
    factors = _factors([weighted_factor([error[:, end] for error in errors], COVERAGE) for end in (0, 1)])
    predicted = np.concatenate([np.tile(unseen[name], (len(of), 1)) for name, of in watts.items()])
    every = [server for servers in tables.servers.values() for server in servers]
    return Curve(
        microarchitecture=None,
        watts=_watts(geometric_mean(medians)),
        factors=factors,
        method="leave one microarchitecture out, each weighing the same",
        rows=len(every),
        scores={
            "leave_one_microarchitecture_out": ends_score(
                predicted, np.concatenate(list(watts.values())), factors
            ),
            "leave_one_microarchitecture_out_by_specification": unseen_microarchitecture_score(
                tables.servers
            ),
            "shape_specpower_levels": level_shape_score(every),
        },
        scaling=fit_across(tables.servers),
    )


def own_curve(tables: Tables, name: str, generic: Curve) -> Curve:
    """The median of a microarchitecture's machines; its interval leaves each of them out in turn.

    The median, where the published table has the mean: a single desktop among Haswell's servers doubles that.
    """
    servers = tables.servers[name]
    watts = watts_of(servers)
    predicted = left_out_medians(watts)
    own = [conformal_factor(predicted[:, end], watts[:, end], COVERAGE) for end in (0, 1)]
    factors = generic.factors if None in own else _factors([factor or 1.0 for factor in own])
    scores = {
        "leave_one_cpu_model_out": unseen_cpu_score(tables.servers, name),
        "leave_one_machine_out": ends_score(predicted, watts, factors),
        "shape_specpower_levels": level_shape_score(servers),
    }
    if published := tables.published.get(_PUBLISHED_NAMES.get(name, name)):
        scores["published_mean_same_machines"] = published_score(published, watts)
    method = "leave one machine out, conformal"
    return Curve(
        microarchitecture=name,
        watts=_watts(np.median(watts, axis=0)),
        factors=factors,
        method=f"the generic model's: {len(servers)} machines are too few" if None in own else method,
        rows=len(servers),
        scores=scores,
        scaling=fit_within(tables.servers, name),
    )


def published_curve(tables: Tables, name: str, generic: Curve) -> Curve:
    """The published figures of a microarchitecture without machines, in the generic interval."""
    published = tables.published[_PUBLISHED_NAMES[name]]
    method = "the generic model's: no machine of this microarchitecture was measured"
    return Curve(name, _watts(np.array(published)), generic.factors, method, 0, {})


def _without(medians: Mapping[str, FloatArray], name: str) -> FloatArray:
    return geometric_mean({other: of for other, of in medians.items() if other != name})


def _watts(watts: FloatArray) -> tuple[float, float]:
    return _rounded(float(watts[0])), _rounded(float(watts[1]))


def _factors(factors: Sequence[float]) -> tuple[float, float]:
    """Rounded up, so that the machine that set the factor stays inside."""
    return math.ceil(factors[0] * 1000) / 1000, math.ceil(factors[1] * 1000) / 1000


def _rounded(value: float) -> float:
    """Five significant digits: more than the data holds, few enough that every machine writes the same."""
    return float(f"{value:.5g}")
