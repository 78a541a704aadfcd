"""What a table must hold to teach a model, and what more would help: counted as whoever gives it counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from estimator.errors import ArgumentInvalid, SamplesInvalid
from estimator.training.accuracy import load_of_rows
from estimator.training.blocks import BLOCKS
from estimator.training.samples import Samples
from estimator.training.zone_fit import LEAST_ROWS, usable_rows

# Of the machine's CPU time: what nobody works in, what a full load is, and how far apart loads must be.
_IDLE, _FULL, _APART = 0.05, 0.8, 0.3
# Counts of work that go with CPU time so closely tell nothing that CPU time does not.
_ALIKE = 0.999


def require_enough(samples: Samples, zone: str, features: Sequence[str], least: int = LEAST_ROWS) -> None:
    """Raise SamplesInvalid where a zone has too few rows, with how many there are and how long more takes."""
    n_rows = len(usable_rows(samples.frame, zone, features))
    # A block of time has to be left out, and the rest to be a fit.
    least = max(least, BLOCKS)
    if n_rows >= least:
        return
    given = len(samples) + sum(samples.set_aside.values())
    lost = dict(samples.set_aside)
    if len(samples) > n_rows:
        lost[f"without {zone} or {', '.join(features)}"] = len(samples) - n_rows
    of_them = f" of {given} ({_listed(lost)})" if lost else ""
    seconds = float(samples.frame["interval_seconds"].median())
    longer = (least - n_rows) * seconds
    more = f"{longer:.0f} s" if longer < 100 else f"{math.ceil(longer / 60)} minutes"
    raise SamplesInvalid(
        f"{samples.source}: {n_rows} rows{of_them} can be used for {zone}, {least} are needed: record"
        f" {more} more at {seconds:g} s a row, while the load varies"
    )


def require_room(argument: str, span_seconds: float, step_seconds: float, least: int) -> None:
    """Raise ArgumentInvalid where a span of time cannot hold that many rows, before it is read."""
    most = math.floor(span_seconds / step_seconds)
    if most < least:
        wanted = math.ceil(1.2 * least * step_seconds / 60)
        raise ArgumentInvalid(
            argument,
            f"it spans {most} scrapes of {step_seconds:g} s at most, and {least} rows are needed;"
            f" give {wanted}m or more",
        )


def what_would_help(samples: Samples, features: Sequence[str]) -> list[str]:
    """What the rows lack that a model learns from, each with what to do; empty where nothing does."""
    load = load_of_rows(samples.frame)
    load = load[np.isfinite(load)]
    advice = []
    if len(load):
        advice += _of_load(load)
    if "cycles" not in samples.features:
        advice.append(
            "no cycles: CPU time alone does not tell a fast clock from a slow one; record where a PMU is"
        )
    return advice + _of_likeness(samples, features)


def _of_load(load: np.ndarray) -> list[str]:
    low, high = float(np.quantile(load, 0.02)), float(np.quantile(load, 0.98))
    advice = []
    if low > _IDLE:
        advice.append(
            f"no idle rows: the load is never below {low:.0%}, so the idle power is a guess; record some"
            " minutes in which nothing runs"
        )
    if high < _FULL:
        advice.append(
            f"no full load: the load is never above {high:.0%}; beyond that the model guesses; record some"
            " minutes with every CPU busy"
        )
    if high - low < _APART:
        advice.append(
            f"the load hardly varies ({low:.0%} to {high:.0%}): what work costs cannot be told from what"
            " idling does; let the load rise and fall in steps"
        )
    return advice


def _of_likeness(samples: Samples, features: Sequence[str]) -> list[str]:
    """Counters that always rise together come from one kind of load."""
    if len(features) < 2 or len(samples) < 3:
        return []
    rates = samples.frame[list(features)].dropna()
    rates = rates.loc[:, rates.std() > 0]
    if rates.shape[1] < 2:
        return []
    alike = np.corrcoef(rates.to_numpy().T)
    if float(np.abs(alike).min()) < _ALIKE:
        return []
    return [
        f"one kind of load: {', '.join(rates.columns)} rise and fall together, so what each of them costs"
        " cannot be told apart; run something else as well, such as what waits for memory"
    ]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items())
