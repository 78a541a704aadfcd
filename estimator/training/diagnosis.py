"""What more rows, and what each feature, bring to a model; by blocks of time, never by shuffled rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import learning_curve as sklearn_learning_curve

from estimator.training.samples import watts_of

_SHUFFLES = 5


def learning_curve(
    model: Any, samples: pd.DataFrame, zone: str, cv: Any, sizes: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 1.0)
) -> pd.DataFrame:
    """scikit-learn's learning_curve as a table: a row a number of rows to train on.

    model: an estimator such as podjoule.PowerModel of that one zone; cv: podjoule.BlockedSplit. Columns:
    seen_mae_watts, on the rows trained on; held_out_mae_watts, and its held_out_least and held_out_most.
    """
    watts = watts_of(samples, zone)
    rows, seen, held_out = sklearn_learning_curve(
        model,
        samples,
        watts,
        cv=cv,
        train_sizes=list(sizes),
        scoring="neg_mean_absolute_error",
        error_score="raise",
    )
    return pd.DataFrame(
        {
            "seen_mae_watts": -seen.mean(axis=1),
            "held_out_mae_watts": -held_out.mean(axis=1),
            "held_out_least": -held_out.max(axis=1),
            "held_out_most": -held_out.min(axis=1),
        },
        index=pd.Index(rows, name="rows"),
    )


def importance_by_blocks(
    model: Any, samples: pd.DataFrame, zone: str, cv: Any, seed: int = 0
) -> pd.DataFrame:
    """By how many watts the mean absolute error on a block held out grows when a feature is shuffled in it.

    A row a block, a column a feature of the model. The model is fitted anew without each block.
    """
    watts = watts_of(samples, zone)
    rng = np.random.default_rng(seed)
    rows = []
    for train, test in cv.split(samples):
        fitted = clone(model).fit(samples.iloc[train], watts[train])
        rows.append(_losses(fitted, samples.iloc[test], watts[test], rng))
    return pd.DataFrame(rows).rename_axis("block")


def _losses(fitted: Any, block: pd.DataFrame, watts: Any, rng: np.random.Generator) -> dict[str, float]:
    """Each feature's rate is shuffled, so that a long row does not become a busy one."""
    error = np.abs(fitted.predict(block) - watts).mean()
    losses = {}
    for name in fitted.features_in_use_:
        rate = (block[name] / block["interval_seconds"]).to_numpy()
        shuffled = [
            block.assign(**{name: rng.permutation(rate) * block["interval_seconds"].to_numpy()})
            for _ in range(_SHUFFLES)
        ]
        losses[name] = float(
            np.mean([np.abs(fitted.predict(each) - watts).mean() for each in shuffled]) - error
        )
    return losses
