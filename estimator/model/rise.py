"""How the terms of a curve rise with a rate, held at the limit: 0 at no rate, 1 at the limit."""

from __future__ import annotations

import numpy as np

from estimator.energy import FloatArray


def rise(held: FloatArray, power: FloatArray, knee: FloatArray) -> FloatArray:
    """held: rates over their limits, shape (n, n_terms), in [0, 1]. held ^ power where the knee is 0, else
    held · (1 + knee) / (held + knee): half of the way at about the knee, as what wakes with the first work.
    """
    bent = held * (1 + knee) / np.where(knee > 0, held + knee, 1.0)
    return np.asarray(np.where(knee > 0, bent, held**power), dtype=np.float64)


def slope_at_limit(power: FloatArray, knee: FloatArray) -> FloatArray:
    """Of each term, by the rate over its limit: of the tangent that goes on beyond it; shape (n_terms,)."""
    return np.asarray(np.where(knee > 0, knee / (1 + knee), power), dtype=np.float64)
