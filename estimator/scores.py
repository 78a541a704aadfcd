"""How good predictions of power are: the figures of `podjoule evaluate` and of the model cards."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray

Score = dict[str, float | None]

_ERRORS = ("mae_watts", "mape_percent", "wape_percent", "bias_watts", "r2", "coverage_percent")
FIGURES = ("rows", *_ERRORS)


def score_watts(
    measured: FloatArray, predicted: FloatArray, inside: npt.NDArray[np.bool_] | None = None
) -> Score:
    """Errors of predicted - measured, watts; measured > 0, shapes (n,). inside: the interval held the row.

    wape_percent: Σ |error| / Σ measured, which no row near zero can blow up as it can mape_percent. None
    where a figure cannot be told (no rows, all rows the same, no interval).
    """
    error = predicted - measured
    if not len(error):
        return {"rows": 0, **dict.fromkeys(_ERRORS)}
    spread = float(((measured - measured.mean()) ** 2).sum())
    figures = {
        "mae_watts": float(np.abs(error).mean()),
        "mape_percent": 100 * float(np.abs(error / measured).mean()),
        "wape_percent": 100 * float(np.abs(error).sum() / measured.sum()),
        "bias_watts": float(error.mean()),
        "r2": 1 - float((error**2).sum()) / spread if spread > 0 else None,
        "coverage_percent": None if inside is None else 100 * float(inside.mean()),
    }
    return {"rows": len(error), **{name: _rounded(value) for name, value in figures.items()}}


def _rounded(value: float | None) -> float | None:
    """Six digits: more than any table holds."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def as_plain(score: Mapping[str, float]) -> Score:
    """The figures of DESIGN section 7 in their order, null for what could not be told."""
    return {name: int(score[name]) if name == "rows" else _rounded(score.get(name)) for name in FIGURES}
