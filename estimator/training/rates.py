"""What a model predicts from: rates of features per CPU-second of capacity, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from estimator.energy import FloatArray
from estimator.errors import ArgumentInvalid
from estimator.features import PREDICTORS
from estimator.training.samples import Samples

# A cgroup's cycles hold its CPU time and the clock it ran at; CPU time itself misses work that the cycles
# show (interrupts, a thread that has not switched), so it is taken only where there are no cycles.
_COUNTERS = tuple(name for name in PREDICTORS if name != "cpu_seconds")
# Watts grow with the root of the cycles where the package wakes up, with the cycles, and with their square
# and cube where voltage rises with the clock (P = C V² f). Of CPU time only the first two can be told.
_POWERS: Mapping[str, tuple[float, ...]] = {"cpu_seconds": (0.5, 1.0), "cycles": (0.5, 1.0, 2.0, 3.0)}
# Memory leaves its sleep with the first work of any core, and most of what it then draws it draws for being
# awake; the more lines come from it, the more of them lie in rows that are open.
_KNEES: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "dram": {"cycles": (0.02, 0.1), "cache_misses": (0.1,)}
}
# The feature whose energy adds up without end in a zone: each line that comes from memory costs the DRAM the
# same, each cycle costs the cores. A core that waits for memory draws no more for waiting on more of it.
EXTENSIVE: Mapping[str, str] = {
    "package": "cycles",
    "core": "cycles",
    "psys": "cycles",
    "platform": "cycles",
    "uncore": "cache_misses",
    "dram": "cache_misses",
}
# The envelope is where 99 % of the rows lie: its edge is not to hang on a single strange row.
QUANTILE = 0.995


def choose_features(samples: Samples, wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """The features to train on: those asked for, else the counters if cycles are there, else CPU time.

    Raises ArgumentInvalid for one that the table does not hold or has never measured.
    """
    if wanted:
        lacking = [name for name in wanted if name not in samples.features]
        if lacking:
            raise ArgumentInvalid(
                "features",
                f"{', '.join(lacking)} not measured in {samples.source}; "
                f"it holds {', '.join(samples.features) or 'none'}",
            )
        return tuple(name for name in samples.features if name in wanted)
    if "cycles" in samples.features:
        return tuple(name for name in _COUNTERS if name in samples.features)
    return samples.features


def powers_of(feature: str) -> tuple[float, ...]:
    """The powers of its rate that power may grow with: with itself alone, unless more is known."""
    return _POWERS.get(feature, (1.0,))


def knees_of(zone: str, feature: str) -> tuple[float, ...]:
    """The shares of its limit by which most of what the feature adds to a zone is there."""
    return _KNEES.get(zone, {}).get(feature, ())


def extends_along(zone: str, features: Sequence[str]) -> tuple[str, ...]:
    """The features along which a zone's power is taken to go on beyond what was seen."""
    return tuple(name for name in features if name == EXTENSIVE.get(zone))


def capacity_seconds(frame: pd.DataFrame) -> FloatArray:
    """n_cpu · Δt of each row, CPU seconds; shape (n,)."""
    return np.asarray(frame["n_cpu"] * frame["interval_seconds"], dtype=np.float64)


class Rates(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The first step of every pipeline: a samples table to rates per CPU-second of capacity."""

    def __init__(self, features: Sequence[str]) -> None:
        self.features = features

    def fit(self, frame: pd.DataFrame, y: object = None) -> Rates:  # noqa: ARG002
        """Nothing to learn."""
        return self

    def transform(self, frame: pd.DataFrame) -> FloatArray:
        """Shape (n, n_features), units per CPU-second."""
        values = frame[list(self.features)].to_numpy(dtype=np.float64)
        return np.asarray(values / capacity_seconds(frame)[:, np.newaxis], dtype=np.float64)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def has_features(frame: pd.DataFrame, features: Sequence[str]) -> npt.NDArray[np.bool_]:
    """The rows in which all of them were measured; shape (n,)."""
    return np.asarray(frame[list(features)].notna().all(axis=1), dtype=np.bool_)


def envelope(frame: pd.DataFrame, features: Sequence[str]) -> dict[str, list[float]]:
    """Per feature the least and the most seen per CPU-second, of capacity for CPU time, else of CPU time."""
    return {name: bounds for name in features if (bounds := _bounds(name, frame)) is not None}


def _bounds(name: str, frame: pd.DataFrame) -> list[float] | None:
    if name == "cpu_seconds":
        return [0.0, float((frame[name] / capacity_seconds(frame)).max())]
    if "cpu_seconds" not in frame:
        return None
    busy = frame["cpu_seconds"]
    per_cpu_second = (frame[name] / busy.where(busy > 0)).dropna()
    if per_cpu_second.empty:
        return None
    return [float(per_cpu_second.quantile(1 - QUANTILE)), float(per_cpu_second.quantile(QUANTILE))]
