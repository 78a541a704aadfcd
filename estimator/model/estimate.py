"""What a model takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Features = Mapping[str, float]


class Estimate(NamedTuple):
    """Joules of one zone over an interval; low ≤ joules ≤ high."""

    joules: float
    low: float
    high: float
