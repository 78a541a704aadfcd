"""One node's scrapes as steps of time, and what counters grew by in each: pure arithmetic on numpy arrays.

Times are unix seconds. A page of the exporter has all families at one time, so the times of one series that
is always there are those of all. Nothing is extrapolated: what is not known to have been counted is not
counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray
from exporter.reports.hours import HOUR_SECONDS

BoolArray = npt.NDArray[np.bool_]

LONGEST_STEP_SECONDS: Final = 300.0
"""However seldom a server scrapes, nobody knows what happened within more than this."""
AROUND_SECONDS: Final = 600.0
"""So far around an hour its scrapes are known, and those of the hours beside it."""
_OF_MEDIAN = 2.5  # one scrape that failed is no gap, two are


@dataclass(frozen=True, slots=True)
class Steps:
    """What lies between each two consecutive scrapes.

    begin, end: shape (n,). covered: short enough to split by time.
    """

    begin: FloatArray
    end: FloatArray
    covered: BoolArray

    @property
    def seconds(self) -> FloatArray:
        """How long each is."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Longest:
    """Up to how many seconds two scrapes are consecutive: within an hour, and across its begin and its end.

    Across these it is of what lies around them, which the hours beside know as well: no step is covered in
    one of them and late in the other.
    """

    hour: float
    within: float
    at_begin: float
    at_end: float

    def of(self, times: FloatArray) -> FloatArray:
        """That of each step between these times; shape (n - 1,)."""
        begin, end = times[:-1], times[1:]
        after = self.hour + HOUR_SECONDS
        across_begin, across_end = (begin < self.hour) & (end > self.hour), (begin < after) & (end > after)
        return np.where(across_begin, self.at_begin, np.where(across_end, self.at_end, self.within))


def longest_of(times: FloatArray, hour: float) -> Longest:
    """times: ascending, all of the hour's and those up to AROUND_SECONDS around it."""
    around = (
        times[(times > at - AROUND_SECONDS) & (times <= at + AROUND_SECONDS)]
        for at in (hour, hour + HOUR_SECONDS)
    )
    return Longest(hour, longest_step(times), *map(longest_step, around))


def longest_step(times: FloatArray) -> float:
    """Up to how many seconds two scrapes are consecutive.

    times: ascending; of fewer than two the upper bound.
    """
    if len(times) < 2:
        return LONGEST_STEP_SECONDS
    return min(LONGEST_STEP_SECONDS, _OF_MEDIAN * float(np.median(np.diff(times))))


def make_steps(times: FloatArray, longest_seconds: float | FloatArray) -> Steps:
    """The steps between scrapes, one fewer than times.

    times: ascending. longest_seconds: of all of them, or of each.
    """
    begin, end = times[:-1], times[1:]
    return Steps(begin, end, end - begin <= longest_seconds)


def covered_weights(steps: Steps, hour: float) -> FloatArray:
    """The part of each step's increments that is the hour's, by time: over all hours they add up to 1.

    hour: its begin. 0 for a step that is not covered.
    """
    inside = np.minimum(steps.end, hour + HOUR_SECONDS) - np.maximum(steps.begin, hour)
    return np.where(steps.covered, np.clip(inside, 0.0, None) / steps.seconds, 0.0)


def late_weights(steps: Steps, hour: float) -> FloatArray:
    """1 for a step that is not covered and ends in the hour, else 0: it is booked when it is seen."""
    ends_inside = (steps.end > hour) & (steps.end <= hour + HOUR_SECONDS)
    return np.where(~steps.covered & ends_inside, 1.0, 0.0)


def on_scrapes(
    times: FloatArray, pieces: Sequence[tuple[FloatArray, FloatArray]], slack_seconds: float
) -> FloatArray:
    """One value a scrape, NaN where there is none. pieces: times and values of one series.

    slack_seconds: a sample so near to a scrape is of it. A server that merges replicas takes some series from
    one and some from the other.
    """
    row = np.full(len(times), np.nan)
    for at, values in pieces:
        index = np.searchsorted((times[:-1] + times[1:]) / 2, at)
        near = (np.abs(times[index] - at) <= slack_seconds) & np.isfinite(values)
        row[index[near]] = values[near]
    return row


def last_known(values: FloatArray) -> FloatArray:
    """Each value, or where it is NaN the last one before it in its row; NaN before the first.

    values: (n, scrapes).
    """
    return np.take_along_axis(values, _last_scrape(values), axis=1)


def _last_scrape(values: FloatArray) -> npt.NDArray[np.intp]:
    known = np.where(np.isnan(values), 0, np.arange(values.shape[1]))
    return np.maximum.accumulate(known, axis=1)


def nearest_known(row: FloatArray) -> FloatArray:
    """Each value, where it is NaN the last before it, else the first after it; all NaN where none is."""
    known = last_known(row[np.newaxis])[0]
    return known if not np.isnan(known).any() else last_known(known[np.newaxis, ::-1])[0, ::-1]


def begun_anew(*tables: FloatArray) -> BoolArray:
    """Of each step, whether some counter of every table fell in it: then the whole page began at 0 again.

    tables: counters that are always there, (n, scrapes). Several, so that no single one errs.
    """
    fell = [np.any(values[:, 1:] < last_known(values)[:, :-1], axis=0) for values in tables]
    return np.asarray(np.logical_and.reduce(fell), dtype=np.bool_)


def are_new(values: FloatArray) -> BoolArray:
    """Which series come onto the page in which step: shape (n, scrapes - 1). values: (n, scrapes)."""
    return np.isnan(last_known(values)[:, :-1]) & np.isfinite(values[:, 1:])


def increments(
    values: FloatArray, anew: BoolArray | None = None, late: BoolArray | None = None
) -> FloatArray:
    """What each counter grew by from scrape to scrape: shape (n, scrapes - 1), never negative, never NaN.

    values: (n, scrapes), NaN where a series is not on the page. A series that is new counts from 0; one that
    is back from its last known value; one that is lower than before was reset, and counts from 0. What a
    series had counted at the first scrape is not counted. anew: (scrapes - 1,), the steps in which all began
    at 0 again: by then a young series may be higher than it was. late: those in which new ones count nothing.
    """
    before = last_known(values)[:, :-1]
    if anew is not None and anew.any():
        spell = np.concatenate(([0], np.cumsum(anew)))
        before = np.where(spell[_last_scrape(values)[:, :-1]] == spell[1:], before, 0.0)
    grown = values[:, 1:] - np.nan_to_num(before)
    grown = np.nan_to_num(np.where(grown < 0, values[:, 1:], grown))
    return grown if late is None else np.where(are_new(values) & late, 0.0, grown)


def present_weights(values: FloatArray, grown: FloatArray) -> FloatArray:
    """1 for each step in which a workload lived, else 0; shape (steps,).

    values, grown: its counters, (n, steps + 1), and their increments, (n, steps). Its series stay on the page
    for a while after its end: if they end before the page does, it lived until they last grew.
    """
    there = np.asarray(np.isfinite(values).any(axis=0), dtype=np.bool_)
    lived = there[1:].astype(np.float64)
    grew = np.flatnonzero(grown.any(axis=0))
    if len(grew) and not there[-1]:
        lived[grew[-1] + 1 :] = 0.0
    return lived
