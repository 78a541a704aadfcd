"""How well a power curve does: against servers it has not seen, and in its shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from estimator.energy import FloatArray
from estimator.power_model import CurveZone
from estimator.specpower import LoadSeries, Server

Score = dict[str, float]

# Typical server draw is 0.12, 0.32, 0.75 and 1.02 of TDP at 0, 10, 50 and 100 % of CPU time; these are the
# same points between idle (0) and full load (1). Source: B. Davy, "Estimating AWS EC2 Instances Power
# Consumption", Teads Engineering, 2021.
LOAD = (0.0, 0.1, 0.5, 1.0)
DRAW = (0.0, 0.222222, 0.7, 1.0)
SPECPOWER_LEVELS = np.linspace(0, 1, 11)


def bend(load: FloatArray) -> FloatArray:
    """g(load), the share of the way from idle to full-load power."""
    return np.asarray(np.interp(load, LOAD, DRAW), dtype=np.float64)


def straight(load: FloatArray) -> FloatArray:
    """The line that the bend is compared with."""
    return load


def watts_of(servers: Sequence[Server]) -> FloatArray:
    """Idle and full-load watts per CPU; shape (n, 2)."""
    return np.array([(server.idle, server.full) for server in servers])


def left_out_medians(watts: FloatArray) -> FloatArray:
    """For each machine the median of all the others: what a model that has not seen it says; shape (n, 2)."""
    return np.array([np.median(np.delete(watts, at, axis=0), axis=0) for at in range(len(watts))])


def conformal_factor(predicted: FloatArray, actual: FloatArray, coverage: float) -> float | None:
    """The factor within which a further machine lies with the given coverage; None if there are too few.

    The ⌈(n + 1) · coverage⌉-th smallest of |ln(actual / predicted)|; needs 9 machines for 90 %. Source: Vovk,
    Gammerman, Shafer, Algorithmic Learning in a Random World, 2005; left-out residuals: Barber et al., 2021.
    """
    rank = math.ceil((len(actual) + 1) * coverage)
    if rank > len(actual):
        return None
    return float(np.exp(np.sort(np.abs(np.log(actual / predicted)))[rank - 1]))


def weighted_factor(log_errors: Sequence[FloatArray], coverage: float) -> float:
    """The factor that covers the share of machines, each group of machines weighing the same."""
    errors = np.concatenate(log_errors)
    weights = np.concatenate([np.full(len(group), 1 / len(group) / len(log_errors)) for group in log_errors])
    order = np.argsort(errors, kind="stable")
    at = int(np.searchsorted(np.cumsum(weights[order]), coverage - 1e-12))
    return float(np.exp(errors[order][min(at, len(errors) - 1)]))


def ends_score(predicted: FloatArray, actual: FloatArray, factors: tuple[float, float]) -> Score:
    """Error and coverage at idle and at full load; predicted, actual: shape (n, 2)."""
    score: Score = {"rows": len(actual)}
    for at, end in enumerate(("idle", "full")):
        ratio = actual[:, at] / predicted[:, at]
        inside = np.abs(np.log(ratio)) <= math.log(factors[at]) + 1e-9
        score[f"{end}_mape_percent"] = _percent(np.abs(1 / ratio - 1))
        score[f"{end}_bias_percent"] = _percent(1 / ratio - 1)
        score[f"{end}_coverage_percent"] = _percent(inside.astype(float))
    return score


def level_shape_score(servers: Sequence[Server]) -> Score:
    """Mean power over SPECpower's eleven levels, between each machine's own ends: the shape alone."""
    watts, mean = watts_of(servers), np.array([server.mean for server in servers])
    return _compare(lambda shape: _between(watts, float(shape(SPECPOWER_LEVELS).mean())), mean)


def series_shape_score(series: Sequence[LoadSeries]) -> Score:
    """The shape against measured series, between the ends that fit each best (least relative squares)."""
    watts = np.concatenate([one.watts for one in series])
    return _compare(lambda shape: np.concatenate([_fitted(one, shape) for one in series]), watts)


def absolute_score(zone: CurveZone, series: LoadSeries, n_cpu: int) -> Score:
    """The model as it is, on a machine that no table knows: watts, interval and all."""
    estimates = [zone.predict({"cpu_seconds": load * n_cpu}, n_cpu, 1.0) for load in series.load]
    joules, low, high = np.array(estimates).T
    return {
        "rows": len(series.watts),
        "mape_percent": _percent(np.abs(joules / series.watts - 1)),
        "bias_percent": _percent(joules / series.watts - 1),
        "coverage_percent": _percent(((low <= series.watts) & (series.watts <= high)).astype(float)),
    }


def published_score(published: tuple[float, float], watts: FloatArray) -> Score:
    """The published mean of the very same machines, for comparison."""
    error = np.abs(np.array(published) / watts - 1)
    return {
        "rows": len(watts),
        "idle_mape_percent": _percent(error[:, 0]),
        "full_mape_percent": _percent(error[:, 1]),
    }


def log_errors(predicted: FloatArray, watts: FloatArray) -> FloatArray:
    """|ln(actual / predicted)| at idle and at full load; shape (n, 2)."""
    return np.asarray(np.abs(np.log(watts / predicted)), dtype=np.float64)


def geometric_mean(medians: Mapping[str, FloatArray]) -> FloatArray:
    """One idle and one full-load figure for all microarchitectures, each weighing the same; shape (2,)."""
    return np.asarray(np.exp(np.mean(np.log(list(medians.values())), axis=0)), dtype=np.float64)


def _compare(
    predict: Callable[[Callable[[FloatArray], FloatArray]], FloatArray], actual: FloatArray
) -> Score:
    curve, line = predict(bend) / actual - 1, predict(straight) / actual - 1
    return {
        "rows": len(actual),
        "mape_percent": _percent(np.abs(curve)),
        "bias_percent": _percent(curve),
        "line_mape_percent": _percent(np.abs(line)),
        "line_bias_percent": _percent(line),
    }


def _between(watts: FloatArray, share: float) -> FloatArray:
    return np.asarray(watts[:, 0] + (watts[:, 1] - watts[:, 0]) * share, dtype=np.float64)


def _fitted(series: LoadSeries, shape: Callable[[FloatArray], FloatArray]) -> FloatArray:
    design = np.column_stack([np.ones_like(series.load), shape(series.load)])
    ends, *_ = np.linalg.lstsq(design / series.watts[:, np.newaxis], np.ones_like(series.watts), rcond=None)
    return np.asarray(design @ ends, dtype=np.float64)


def _percent(values: FloatArray) -> float:
    return round(100 * float(values.mean()), 1)
