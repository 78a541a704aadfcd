"""Power that is constant from one time to the next, so that its joules are known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Window = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """joules[i]: what was used until times[i], unix seconds, which ascend; straight lines between them."""

    times: Floats
    joules: Floats

    def at(self, seconds: Floats) -> Floats:
        """Joules used until then; nothing before the first time and nothing more after the last."""
        return np.interp(seconds, self.times, self.joules)

    def between(self, begin: float, end: float) -> float:
        """Joules used from begin to end."""
        first, last = self.at(np.array([begin, max(begin, end)]))
        return float(last - first)


def together(curves: Sequence[Curve], parts: Sequence[float]) -> Curve:
    """The sum of curves, of each its part."""
    knots, turns = [], []
    for one, part in zip(curves, parts, strict=True):
        watts = part * np.diff(one.joules) / np.diff(one.times)
        knots.append(one.times)
        turns.append(np.diff(watts, prepend=0.0, append=0.0))
    times, back = np.unique(np.concatenate(knots), return_inverse=True)
    watts = np.bincount(back, np.concatenate(turns)).cumsum()[:-1]
    return Curve(times, np.concatenate([[0.0], np.cumsum(watts * np.diff(times))]))


def curve(times: Floats, watts: Floats, off: Sequence[Window] = ()) -> Curve:
    """watts[i] from times[i] to times[i + 1], and none within the windows `off`."""
    edges = np.array([edge for window in off for edge in window if times[0] < edge < times[-1]])
    knots = np.union1d(times, edges)
    middles = (knots[:-1] + knots[1:]) / 2
    power = watts[np.searchsorted(times, middles, side="right") - 1]
    for begin, end in off:
        power = np.where((middles > begin) & (middles < end), 0.0, power)
    return Curve(knots, np.concatenate([[0.0], np.cumsum(power * np.diff(knots))]))


def wandering(
    random: np.random.Generator, begin: float, end: float, watts: float, piece: float, off: Sequence[Window]
) -> Curve:
    """Power that goes up and down by a third around `watts`, for some `piece` seconds each."""
    steps = random.exponential(piece, int(2 * (end - begin) / piece) + 2).cumsum()
    times = np.concatenate([[begin], begin + steps[steps < end - begin], [end]])
    return curve(times, watts * random.uniform(0.67, 1.33, len(times) - 1), off)


def steady(begin: float, end: float, watts: float, off: Sequence[Window] = ()) -> Curve:
    """The same power all the time."""
    return curve(np.array([begin, end]), np.array([watts]), off)
