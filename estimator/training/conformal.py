"""How far off a prediction may be: the quantiles of errors on rows that were held out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LinearRegression

from estimator.energy import FloatArray

COVERAGE = 0.9
_MOST_BINS = 5
# A 90 % quantile of fewer errors hangs on a handful of rows.
_LEAST_PER_BIN = 40
# Of a block of its own; with fewer rows in a bin it counts with all others alone.
_LEAST_OF_A_BLOCK = 20


@dataclass(frozen=True, slots=True)
class Beyond:
    """Rows beyond those trained on. errors: shape (n,), watts per CPU; excess: shape (n, n_features), by how
    many e-folds each feature exceeds what was seen, ≥ 0."""

    errors: FloatArray
    excess: FloatArray


@dataclass(frozen=True, slots=True)
class Margins:
    """Watts per CPU: widest over all bins, one for each bin of load between the edges; outside the envelope
    the least of them, and what each e-fold beyond the limit of a feature adds: {feature: (limit, watts)}."""

    widest: float
    outside: float
    edges: Sequence[float]
    by_bin: Sequence[float]
    growth: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def document(self, unit: str, factor: float = 1.0) -> dict[str, Any]:
        """The zone's "interval" in a model file, in watts · factor."""
        by_load = {"load": list(self.edges), unit: [_up(watts * factor) for watts in self.by_bin]}
        growth = {
            name: {"limit": limit, unit: _up(watts * factor)} for name, (limit, watts) in self.growth.items()
        }
        return {
            "coverage": COVERAGE,
            unit: _up(self.widest * factor),
            "outside": {unit: _up(self.outside * factor), **({"growth": growth} if growth else {})},
            "method": "conformal on time blocks held out, of the worst of them, by load",
            **({"by_load": by_load} if self.edges else {}),
        }


def margins(
    errors: FloatArray,
    load: FloatArray,
    blocks: npt.NDArray[np.intp] | None = None,
    beyond: Beyond | None = None,
    limits: Mapping[str, float] | None = None,
) -> Margins:
    """Margins from held-out errors (watts per CPU) and the load in each row, NaN where it is not known.

    blocks: which of the blocks held out each row is of; what comes later may be as unlike the training as the
    worst of them. beyond: what leaving out the rows with most of a feature shows; limits: by feature the edge
    of all that was seen, in the order of beyond.

    Each is the quantile of |error| over the rows of a bin, of the block where it is largest, and no less than
    that of any lower load; bins are quantiles of load with 40 rows or more. Source: Lei et al., Distribution-Free Predictive Inference for
    Regression, JASA 113 (2018); bins: Vovk, Conditional validity of inductive conformal predictors, ACML
    2012; blocks: Dunn, Wasserman and Ramdas, Distribution-Free Prediction Sets for Two-Layer Hierarchical
    Models, JASA 118 (2023).
    """
    of_block = np.zeros(len(errors), dtype=np.intp) if blocks is None else blocks
    known = np.isfinite(load)
    outside, growth = _growth(beyond, limits or {})
    edges = _edges(load[known])
    if not edges:
        return Margins(_worst(errors, of_block), outside, (), (), growth)
    at = np.searchsorted(edges, load[known], side="right")
    by_bin = [
        _worst(errors[known][at == bin_], of_block[known][at == bin_]) for bin_ in range(len(edges) + 1)
    ]
    # Narrower at more load is luck: of the kinds of work that were held out none was far off there.
    rising = np.maximum.accumulate(by_bin).tolist()
    return Margins(rising[-1], outside, edges, rising, growth)


def coverage_of(document: Mapping[str, Any]) -> float:
    """What the intervals of a model's JSON are meant to hold of rows like those of the training."""
    zones = document["zones"].values()
    return max(
        (float(zone["interval"]["coverage"]) for zone in zones if "interval" in zone), default=COVERAGE
    )


def quantile(errors: FloatArray, coverage: float = COVERAGE) -> float:
    """The smallest of the absolute errors, shape (n,), that a further one stays within with this coverage.

    It is the ⌈(n + 1) · coverage⌉-th smallest; inf where there are too few.
    """
    rank = math.ceil((len(errors) + 1) * coverage)
    return float(np.partition(errors, rank - 1)[rank - 1]) if rank <= len(errors) else math.inf


def _margin(errors: FloatArray) -> float:
    """The quantile, or the largest error where they are too few."""
    absolute = np.abs(errors)
    return min(quantile(absolute), float(absolute.max(initial=0.0)))


def _worst(errors: FloatArray, blocks: npt.NDArray[np.intp]) -> float:
    """The margin of all rows, or of the block where it is largest."""
    each = [errors[blocks == block] for block in np.unique(blocks)]
    return max(map(_margin, [errors, *(of for of in each if len(of) >= _LEAST_OF_A_BLOCK)]))


def _growth(
    beyond: Beyond | None, limits: Mapping[str, float]
) -> tuple[float, dict[str, tuple[float, float]]]:
    """The margin at the limit, and what an e-fold beyond it adds by feature.

    The mean of |error| is fitted as a sum of non-negative terms of the excess, and scaled so that it holds.
    Source: normalised nonconformity, Papadopoulos, Gammerman and Vovk, AIA 2008.
    """
    if beyond is None or not len(beyond.errors):
        return 0.0, {}
    absolute = np.abs(beyond.errors)
    fit = LinearRegression(positive=True, fit_intercept=False)
    expected = fit.fit(np.column_stack([np.ones(len(absolute)), beyond.excess]), absolute)
    at_limit, *each = expected.coef_.tolist()
    mean = at_limit + beyond.excess @ np.array(each)
    scale = _margin(absolute[mean > 0] / mean[mean > 0])
    growth = {
        name: (limit, scale * watts)
        for (name, limit), watts in zip(limits.items(), each, strict=True)
        if watts > 0
    }
    return scale * at_limit, growth


def _edges(load: FloatArray) -> tuple[float, ...]:
    """Loads that part the rows into bins of the same number, rising, none with too few rows."""
    n_bins = min(_MOST_BINS, len(load) // _LEAST_PER_BIN)
    if n_bins < 2:
        return ()
    cuts = np.unique(np.round(np.quantile(load, np.linspace(0, 1, n_bins + 1)[1:-1]), 4))
    return tuple(float(cut) for cut in cuts if load.min() < cut <= load.max())


def _up(watts: float) -> float:
    """Rounded up, so that the row that set the margin stays inside."""
    return math.ceil(watts * 1e6) / 1e6
