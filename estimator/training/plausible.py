"""What a samples table cannot mean: columns in another unit, sums where differences belong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from estimator.energy import FloatArray
from estimator.errors import SamplesInvalid
from estimator.features import PREDICTORS
from estimator.meters.port import ZONES

# Watts a logical CPU: a desktop's package at its limit has some 35; a memory controller that sleeps 0.005.
MOST_WATTS_PER_CPU = 100.0
_LEAST_WATTS_PER_CPU = 0.0005
_JOULES_IN = {"µJ": 1e-6, "mJ": 1e-3, "kJ": 1e3, "Wh": 3600.0}
# So many rows that never fall, each of them so much more than what it adds, are a counter's readings.
_LEAST_RISING, _MOST_FALLS, _OVER_STEP = 10, 0.02, 5.0

Severity = Literal["wrong", "doubtful"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a table. row: of the file, its first below the head is 1; None where it is
    the whole column, or the table. column: empty where it is none's. mend: what to do.

    severity: wrong, the rows cannot be used as they are; doubtful, they can, and may not mean what they seem.
    """

    row: int | None
    column: str
    what: str
    mend: str
    severity: Severity = "wrong"


def require_plausible(frame: pd.DataFrame, source: str) -> None:
    """Raise SamplesInvalid for the first column that cannot be what its name says."""
    found = next(implausible_columns(frame), None)
    if found is not None:
        raise SamplesInvalid(f"{source}: column {found.column}: {found.what}; {found.mend}")


def implausible_columns(
    frame: pd.DataFrame, ceilings: Mapping[str, float] | None = None
) -> Iterator[Finding]:
    """Columns that are sums, or in another unit. ceilings: by zone the most watts that the machine draws."""
    zones = [zone for zone in ZONES if f"{zone}_joules" in frame and frame[f"{zone}_joules"].notna().any()]
    names = [name for name in PREDICTORS if name in frame]
    cumulative = [
        name for name in (*(f"{zone}_joules" for zone in zones), *names) if is_cumulative(frame, name)
    ]
    for name in cumulative:
        yield Finding(
            None,
            name,
            "it never falls: these are readings of a counter, not what each row added",
            "give the difference to the row before, as pandas' diff() does",
        )
    for zone in zones:
        if f"{zone}_joules" not in cumulative:
            yield from _implausible_watts(frame, zone, (ceilings or {}).get(zone))


def is_cumulative(frame: pd.DataFrame, column: str) -> bool:
    """Whether a column holds the readings of a counter rather than their differences."""
    return any(_rises(rows[column].dropna().to_numpy(np.float64)) for _, rows in frame.groupby("node"))


def _rises(values: FloatArray) -> bool:
    steps = np.diff(values)
    if len(values) < _LEAST_RISING or (steps < 0).mean() > _MOST_FALLS or not (steps > 0).mean() > 0.5:
        return False
    return bool(np.median(values) > _OVER_STEP * np.median(np.abs(steps)))


def _implausible_watts(frame: pd.DataFrame, zone: str, ceiling: float | None) -> Iterator[Finding]:
    column = f"{zone}_joules"
    n_cpu = float(frame["n_cpu"].median())
    watts = float((frame[column] / frame["interval_seconds"]).replace(np.inf, np.nan).median())
    most = ceiling or MOST_WATTS_PER_CPU * n_cpu
    least = _LEAST_WATTS_PER_CPU * n_cpu
    if not np.isfinite(watts) or watts <= 0 or least <= watts <= most:
        return
    units = [unit for unit, joules in _JOULES_IN.items() if least * 100 <= watts * joules <= most]
    likely = (
        f"it may be in {units[0]}: multiply it by {_JOULES_IN[units[0]]:g}" if units else "check its unit"
    )
    of = f"{n_cpu:g} CPUs" if ceiling is None else f"this machine, which draws {ceiling:.0f} W at most"
    yield Finding(None, column, f"{watts:.3g} W in the median of {of} cannot be joules", likely)
