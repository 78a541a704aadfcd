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

    def up_to(self, most: float) -> Estimate:
        """The same, none of it above so many joules."""
        return Estimate(*(min(of, most) for of in self))
