"""Power from specification: fitted to SPECpower's machines, and judged on CPU models it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from estimator.curve_scores import Score, watts_of
from estimator.energy import FloatArray
from estimator.specification import Scaling, by_term
from estimator.specpower import Server

# Shrinks what few machines speak for: exponents, in units of the terms' own spread, and levels.
_RIDGE = 1.0
Groups = Mapping[str, Sequence[Server]]
Fit = Callable[[Sequence[Server]], Scaling]


def fit_within(groups: Groups, name: str) -> Scaling:
    """One microarchitecture's: exponents that all share, and its own level, drawn a little to the mean."""
    every = [server for servers in groups.values() for server in servers]
    of = np.repeat(np.arange(len(groups)), [len(servers) for servers in groups.values()])
    levels = (of[:, np.newaxis] == np.arange(len(groups))).astype(np.float64)
    return _scaling(every, levels, groups[name], list(groups).index(name))


def fit_across(groups: Groups) -> Scaling:
    """Of any: the exponents tell the microarchitectures apart too, so far as clock and size do."""
    every = [server for servers in groups.values() for server in servers]
    return _scaling(every, np.empty((len(every), 0)), every, None)


def _scaling(
    every: Sequence[Server], levels: FloatArray, own: Sequence[Server], level: int | None
) -> Scaling:
    """Ridge regression of log watts (idle, full) on the terms and, one column each, on the levels."""
    terms, watts = _logs(every), np.log(watts_of(every))
    centre, spread = terms.mean(axis=0), np.maximum(terms.std(axis=0), 1e-9)
    design = np.column_stack([(terms - centre) / spread, levels])
    means = design.mean(axis=0), watts.mean(axis=0)
    gram = (design - means[0]).T @ (design - means[0]) + _RIDGE * np.eye(design.shape[1])
    weights = np.linalg.solve(gram, (design - means[0]).T @ (watts - means[1]))
    exponents = weights[: len(centre)] / spread[:, np.newaxis]
    reference = _logs(own).mean(axis=0)
    at_reference = means[1] - means[0] @ weights + (reference - centre) @ exponents
    if level is not None:
        at_reference = at_reference + weights[len(centre) + level]
    return Scaling(
        reference=tuple(np.exp(reference).tolist()),
        low=tuple(np.exp(terms.min(axis=0)).tolist()),
        high=tuple(np.exp(terms.max(axis=0)).tolist()),
        idle=tuple(exponents[:, 0].tolist()),
        full=tuple(exponents[:, 1].tolist()),
        idle_watts_per_cpu=float(np.exp(at_reference[0])),
        full_watts_per_cpu=float(np.exp(at_reference[1])),
    )


def _logs(servers: Sequence[Server]) -> FloatArray:
    """Shape (n, n_terms)."""
    return np.array([server.specification.logarithms() for server in servers])


def unseen_cpu_score(groups: Groups, *names: str) -> Score:
    """Each CPU model (by CPU description) of some microarchitectures predicted by the other ones.

    Median absolute percentage errors: of the median of the others' watts per CPU, and ("specified") of what
    their clock, threads per chip and chips make of it.
    """
    servers = [server for name in names for server in groups[name]]
    predicted = [_predict_unseen(groups, name) for name in names]
    plain, specified = (np.concatenate(of) for of in zip(*predicted, strict=True))
    models = len({server.cpu for server in servers})
    return {"rows": len(servers), "cpu_models": models, **_apes(plain, specified, watts_of(servers))}


def _predict_unseen(groups: Groups, name: str) -> tuple[FloatArray, FloatArray]:
    """By the median and by specification; a microarchitecture with a single CPU model has NaN."""
    servers = groups[name]
    descriptions = np.array([server.cpu for server in servers])
    plain, specified = np.full((2, len(servers), 2), np.nan)
    for model in np.unique(descriptions):
        unseen = descriptions == model
        others = _without(groups, name, unseen)
        if others[name]:
            plain[unseen] = np.median(watts_of(others[name]), axis=0)
            specified[unseen] = _predict(fit_within(others, name), servers, unseen)
    return plain, specified


def unseen_microarchitecture_score(groups: Groups) -> Score:
    """The machines of each microarchitecture predicted by those of the others; as unseen_cpu_score."""
    plain, specified = [], []
    for name, servers in groups.items():
        others = {other: of for other, of in groups.items() if other != name}
        medians = [np.median(watts_of(of), axis=0) for of in others.values()]
        plain.append(np.tile(np.exp(np.mean(np.log(medians), axis=0)), (len(servers), 1)))
        specified.append(_predict(fit_across(others), servers, np.ones(len(servers), dtype=np.bool_)))
    every = [server for servers in groups.values() for server in servers]
    models = len({server.cpu for server in every})
    return {
        "rows": len(every),
        "cpu_models": models,
        **_apes(np.concatenate(plain), np.concatenate(specified), watts_of(every)),
    }


def _without(groups: Groups, name: str, unseen: npt.NDArray[np.bool_]) -> Groups:
    kept = [server for server, gone in zip(groups[name], unseen, strict=True) if not gone]
    return {**groups, name: kept}


def _predict(scaling: Scaling, servers: Sequence[Server], which: npt.NDArray[np.bool_]) -> FloatArray:
    chosen = [server for server, wanted in zip(servers, which, strict=True) if wanted]
    return np.array([scaling.watts(server.specification) for server in chosen])


def _apes(plain: FloatArray, specified: FloatArray, watts: FloatArray) -> Score:
    score = {}
    for prefix, predicted in (("", plain), ("specified_", specified)):
        error = np.nanmedian(np.abs(predicted / watts - 1), axis=0)
        score[f"{prefix}idle_median_ape_percent"] = round(100 * float(error[0]), 1)
        score[f"{prefix}full_median_ape_percent"] = round(100 * float(error[1]), 1)
    return score


def scaling_document(scaling: Scaling) -> dict[str, Any]:
    """The "scaling" of a curve in a model file."""
    return {
        "reference": by_term(scaling.reference),
        "least": by_term(scaling.low),
        "most": by_term(scaling.high),
        "idle_exponents": by_term(scaling.idle),
        "full_exponents": by_term(scaling.full),
        "idle_watts_per_cpu": float(f"{scaling.idle_watts_per_cpu:.5g}"),
        "full_watts_per_cpu": float(f"{scaling.full_watts_per_cpu:.5g}"),
    }
