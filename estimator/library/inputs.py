"""What a power model is given, in the forms that scikit-learn and people give it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from estimator.errors import ArgumentInvalid
from estimator.features import PREDICTORS
from estimator.model.file import SHIPPED, list_models

Names = str | Sequence[str] | None
_TIMES = ("interval_seconds", "n_cpu")


def document_of(name: str) -> dict[str, Any]:
    """The content of a model file, or of a shipped model by its name, unchecked."""
    file = SHIPPED / f"{name}.json" if name in list_models() else Path(name)
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def in_order(features: Iterable[str]) -> tuple[str, ...]:
    """As samples tables have them; what is in none comes last."""
    known = list(PREDICTORS)
    return tuple(sorted(features, key=lambda name: known.index(name) if name in known else len(known)))


def listed(names: Names) -> tuple[str, ...]:
    """Names given as a list, as one, or as some with commas between."""
    parts = names.split(",") if isinstance(names, str) else names or ()
    return tuple(part.strip() for part in parts if part.strip())


def is_samples(X: Any) -> bool:  # noqa: N803
    """Whether it is a samples table, which tells how long its rows are and of how many CPUs."""
    return isinstance(X, pd.DataFrame) and all(name in X for name in _TIMES)


def with_watts(frame: pd.DataFrame, y: Any, zones: Sequence[str]) -> pd.DataFrame:
    """The table with these watts in place of its own joules."""
    watts = np.asarray(y, dtype=np.float64).reshape(len(frame), -1)
    if watts.shape[1] != len(zones):
        raise ArgumentInvalid("y", f"it has {watts.shape[1]} columns, and there are {len(zones)} zones")
    seconds = frame["interval_seconds"].to_numpy(dtype=np.float64)
    columns = {f"{zone}_joules": watts[:, at] * seconds for at, zone in enumerate(zones)}
    whole = frame if "timestamp_seconds" in frame else frame.assign(timestamp_seconds=seconds.cumsum())
    return (whole if "node" in whole else whole.assign(node="")).assign(**columns)


def today() -> str:
    """The date, or that of SOURCE_DATE_EPOCH, by which builds are the same again."""
    return time.strftime("%Y-%m-%d", time.gmtime(float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())))
