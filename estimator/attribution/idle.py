"""The split of a zone's energy into idle and active, and the policies that share out the idle part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from estimator.energy import FloatArray


@dataclass(frozen=True, slots=True)
class IdleSplit:
    """One zone's joules in two parts that add up to the whole exactly; method says how they were told apart.

    method: "idle_watts" where the idle power is known, "usage_ratio" where it is not.
    """

    idle: float
    active: float
    method: str


def split_idle(
    joules: float, idle_watts: float | None, interval_seconds: float, cpu_ratio: float
) -> IdleSplit:
    """Split energy into what the zone draws when nothing runs and the rest.

    joules ≥ 0; idle_watts ≥ 0 or None while not established; cpu_ratio in [0, 1], the node's.
    idle + active == joules exactly. Raises ValueError outside these ranges.
    Source: DESIGN section 4, step 2.
    """
    if not (joules >= 0 and interval_seconds >= 0 and 0 <= cpu_ratio <= 1):
        raise ValueError(f"cannot split {joules} J over {interval_seconds} s at CPU ratio {cpu_ratio}")
    if idle_watts is None:
        active, idle = two_parts(joules, joules * cpu_ratio)
        return IdleSplit(idle, active, "usage_ratio")
    if not idle_watts >= 0:
        raise ValueError(f"idle power must be at least 0 W, found {idle_watts}")
    idle, active = two_parts(joules, min(joules, idle_watts * interval_seconds))
    return IdleSplit(idle, active, "idle_watts")


def idle_shares(idle_joules: float, weights: FloatArray) -> FloatArray:
    """Share out one zone's idle energy in proportion to the weights, which an idle policy gives; shape (n,).

    weights ≥ 0: shape (n,). Where all of them are 0, or there are none, all shares are 0.
    Source: DESIGN section 4, step 6.
    """
    total = float(weights.sum())
    return idle_joules * (weights / total) if total > 0 else np.zeros(len(weights))


def two_parts(total: float, part: float) -> tuple[float, float]:
    """A part of a total and the rest of it, rounded so that they add up exactly: the smaller is always the
    remainder of the larger, and x - y is exact for y within [x/2, 2x] (Sterbenz, 1974)."""
    rest = total - part
    return total - rest, rest
