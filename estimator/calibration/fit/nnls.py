"""Non-negative least squares from normal equations, many small problems at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray

# A gradient this far below zero, relative to the moment, is rounding.
_TOLERANCE = 1e-9


BoolArray = npt.NDArray[np.bool_]


def solve_nonnegative(gram: FloatArray, moment: FloatArray, free: BoolArray, held: BoolArray) -> FloatArray:
    """The w ≥ 0 that minimises w'·gram·w / 2 - moment'·w, with 0 where held.

    gram: shape (…, p, p), symmetric and positive definite. moment, free, held: shape (…, p); free is a guess
    at which w are above 0: a good one saves rounds. Block pivoting: all that turned negative leave at once
    and all whose gradient wants them come back; a problem that has not settled after a few rounds only lets
    go of members, which ends, with w ≥ 0 that need not be the least. Source: Portugal, Júdice, Vicente,
    A comparison of block pivoting and interior-point algorithms for linear least squares problems with
    nonnegative variables, Math. Comp. 63 (1994).
    """
    n_features = moment.shape[-1]
    tolerance = _TOLERANCE * np.abs(moment).max(axis=-1, keepdims=True)
    free = free & ~held
    for rounds_left in range(4 * n_features, 0, -1):
        weights = _solve_free(gram, moment, free)
        leave = free & (weights < 0)
        gradient = moment - (gram @ weights[..., np.newaxis])[..., 0]
        enter = ~(free | held) & (gradient > tolerance) & (rounds_left > n_features)
        if not (leave | enter).any():
            break
        free = (free & ~leave) | enter
    return np.maximum(weights, 0.0)


def _solve_free(gram: FloatArray, moment: FloatArray, free: BoolArray) -> FloatArray:
    """The unconstrained solution over the free features; the others are exactly 0."""
    pairs = free[..., :, np.newaxis] & free[..., np.newaxis, :]
    system = np.where(pairs, gram, np.eye(gram.shape[-1]))
    solution: FloatArray = np.linalg.solve(system, np.where(free, moment, 0.0)[..., np.newaxis])[..., 0]
    return solution
