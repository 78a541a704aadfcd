"""From values to places in a chart, in percent of its width or height."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_ROUNDING = 1e-9
_LEAST_SPAN = 1e-12  # of what is drawn nothing is smaller, whatever its unit


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear, from low to high; low < high."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Where a value is: 0 is low, 100 is high; what lies outside is put on the edge."""
        part = (value - self.low) / (self.high - self.low)
        return 100.0 * min(1.0, max(0.0, part))

    def span(self, start: float, end: float) -> tuple[float, float]:
        """Where a bar between two values begins, and how long it is."""
        places = sorted((self.place(start), self.place(end)))
        return places[0], places[1] - places[0]


def ticks(low: float, high: float, at_most: int = 6) -> tuple[float, ...]:
    """Round values, evenly spaced, from at most low to at least high; at_most: how many, three or more."""
    if high - low < _LEAST_SPAN:
        high = low + 1.0
    step = _round_step((high - low) / (at_most - 1))
    while (count := _count(low, high, step)) > at_most:
        step = _round_step(step * 1.01)
    first = math.floor(low / step + _ROUNDING)
    return tuple((first + i) * step for i in range(count))


def scale_of(values: Sequence[float]) -> Scale:
    """A scale that holds zero and all values, and ends on its ticks."""
    marks = ticks(min(0.0, *values), max(0.0, *values))
    return Scale(marks[0], marks[-1])


def decimals_of(step: float) -> int:
    """How many decimals tell ticks of this step apart."""
    for decimals in range(9):
        scaled = step * 10**decimals
        if abs(scaled - round(scaled)) < 1e-6 * scaled:
            return decimals
    return 9


def _count(low: float, high: float, step: float) -> int:
    return math.ceil(high / step - _ROUNDING) - math.floor(low / step + _ROUNDING) + 1


def _round_step(least: float) -> float:
    size = 10.0 ** math.floor(math.log10(least))
    return next(size * factor for factor in _STEPS if size * factor >= least * (1 - _ROUNDING))
