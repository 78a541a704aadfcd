"""How far off a prediction may be: the quantiles of errors on rows that were held out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from estimator.energy import FloatArray

COVERAGE = 0.9
_MOST_BINS = 5
# A 90 % quantile of fewer errors hangs on a handful of rows.
_LEAST_PER_BIN = 40


@dataclass(frozen=True, slots=True)
class Margins:
    """Watts per CPU: widest over all bins, one for each bin of load between the edges, and the least of them
    outside the envelope."""

    widest: float
    outside: float
    edges: Sequence[float]
    by_bin: Sequence[float]

    def document(self, unit: str, factor: float = 1.0) -> dict[str, Any]:
        """The zone's "interval" in a model file, in watts · factor."""
        by_load = {"load": list(self.edges), unit: [_up(watts * factor) for watts in self.by_bin]}
        return {
            "coverage": COVERAGE,
            unit: _up(self.widest * factor),
            "outside": {unit: _up(self.outside * factor)},
            "method": "split conformal on time blocks held out, by load",
            **({"by_load": by_load} if self.edges else {}),
        }


def margins(errors: FloatArray, load: FloatArray, outside: Sequence[FloatArray] = ()) -> Margins:
    """Margins from held-out errors (watts per CPU) and the load in each row, NaN where it is not known.

    outside: errors on rows beyond those trained on, a set for each feature; the worst set counts.

    Each is the quantile of |error| over the rows of a bin; bins are quantiles of load with 40 rows
    or more. Source: Lei et al., Distribution-Free Predictive Inference for Regression, JASA 113 (2018); bins:
    Vovk, Conditional validity of inductive conformal predictors, ACML 2012.
    """
    known = np.isfinite(load)
    beyond = max(map(_margin, outside), default=0.0)
    edges = _edges(load[known])
    if not edges:
        return Margins(_margin(errors), beyond, (), ())
    at = np.searchsorted(edges, load[known], side="right")
    by_bin = [_margin(errors[known][at == bin_]) for bin_ in range(len(edges) + 1)]
    return Margins(max(by_bin), beyond, edges, by_bin)


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
