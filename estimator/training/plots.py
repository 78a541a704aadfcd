"""What the notebooks show. Every function draws one figure from a table and returns it."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimator.scores import Score
from estimator.training.samples import FEATURE_UNITS, Samples

_WIDE = (9.0, 3.2)
_HEIGHT_EACH = 1.9
# So many of the last errors make the drift visible without following every row.
_DRIFT_ROWS = 50
_MOST_WORKLOADS = 8


class Plot(Figure):
    """A figure that a notebook shows by itself, without pyplot's global state."""

    def _repr_png_(self) -> bytes:
        picture = BytesIO()
        self.savefig(picture, format="png", dpi=90)
        return picture.getvalue()


def plot_samples(samples: Samples) -> Plot:
    """Power of every zone and the load over time: what there is to learn from."""
    names = [*samples.zones, *samples.features]
    figure, axes = _stacked(len(names))
    minutes = _minutes(samples.frame["timestamp_seconds"])
    for axis, name in zip(axes, names, strict=True):
        if name in FEATURE_UNITS:
            rate = samples.frame[name] / samples.frame["interval_seconds"]
            axis.plot(minutes, rate, linewidth=0.8, color="tab:gray")
            axis.set_ylabel(f"{name}\nper second")
        else:
            axis.plot(minutes, samples.watts(name), linewidth=0.8)
            axis.set_ylabel(f"{name}\nwatts")
    axes[-1].set_xlabel("minutes")
    return figure


def plot_prediction(predictions: pd.DataFrame, zone: str) -> Plot:
    """Measured and predicted power over time, with the interval; rows outside the envelope are marked."""
    figure, (axis,) = _stacked(1, _WIDE[1])
    minutes = _minutes(predictions["timestamp_seconds"])
    axis.fill_between(
        minutes, predictions["low"], predictions["high"], alpha=0.2, color="tab:orange", label="interval"
    )
    axis.plot(minutes, predictions["measured"], linewidth=0.8, label="measured")
    axis.plot(minutes, predictions["predicted"], linewidth=0.8, color="tab:orange", label="predicted")
    outside = predictions["is_outside"].to_numpy(dtype=np.bool_)
    if outside.any():
        axis.plot(minutes[outside], predictions["predicted"][outside], "x", color="tab:red", label="outside")
    axis.set(xlabel="minutes", ylabel=f"{zone}, watts")
    axis.legend(loc="best", fontsize="small")
    return figure


def plot_residuals(predictions: pd.DataFrame, zone: str) -> Plot:
    """Errors against the measured power, and how they are spread."""
    figure = Plot(figsize=_WIDE, layout="constrained")
    against, spread = figure.subplots(1, 2)
    against.axhline(0, color="black", linewidth=0.8)
    against.plot(predictions["measured"], predictions["error"], ".", markersize=3)
    against.set(xlabel=f"{zone} measured, watts", ylabel="predicted - measured, watts")
    spread.hist(predictions["error"], bins=40)
    spread.set(xlabel="predicted - measured, watts", ylabel="rows")
    return figure


def plot_errors_by_load(by_load: pd.DataFrame, zone: str) -> Plot:
    """Mean absolute error and bias by load: estimator.training.predictions.errors_by_load."""
    figure, (axis,) = _stacked(1, _WIDE[1])
    at = np.arange(len(by_load))
    axis.bar(at - 0.2, by_load["mae_watts"], width=0.4, label="mean absolute error")
    axis.bar(at + 0.2, by_load["bias_watts"], width=0.4, label="bias")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(at, [f"{each.left:.0%} to {each.right:.0%}" for each in by_load.index])
    axis.set(xlabel="CPU time used", ylabel=f"{zone}, watts")
    axis.legend(fontsize="small")
    return figure


def plot_drift(predictions: pd.DataFrame, zone: str) -> Plot:
    """The rolling error over time: a model that is going stale leaves zero and stays away."""
    figure, (axis,) = _stacked(1, _WIDE[1])
    minutes = _minutes(predictions["timestamp_seconds"])
    rolling = predictions["error"].rolling(_DRIFT_ROWS, min_periods=5)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.plot(minutes, rolling.mean(), label="bias")
    axis.plot(minutes, predictions["error"].abs().rolling(_DRIFT_ROWS, min_periods=5).mean(), label="|error|")
    axis.set(xlabel="minutes", ylabel=f"{zone}, watts, last {_DRIFT_ROWS} rows")
    axis.legend(fontsize="small")
    return figure


def plot_energy(joules: pd.Series) -> Plot:
    """Joules by workload or namespace, the most first."""
    most = joules.sort_values(ascending=False).head(_MOST_WORKLOADS)[::-1]
    figure = Plot(figsize=(_WIDE[0], 1 + 0.35 * len(most)), layout="constrained")
    axis = figure.subplots()
    axis.barh([str(name) for name in most.index], most)
    axis.set_xlabel("active joules")
    return figure


def plot_power_over_time(watts: pd.DataFrame) -> Plot:
    """Stacked power, a column a workload, the index in unix seconds; the small ones as one."""
    most = watts.mean().sort_values(ascending=False).index[:_MOST_WORKLOADS]
    shown = watts[most].assign(others=watts.drop(columns=most).sum(axis=1))
    figure, (axis,) = _stacked(1, 1.4 * _WIDE[1])
    axis.stackplot(
        _minutes(watts.index.to_series()), shown.T.to_numpy(), labels=[str(name) for name in shown]
    )
    axis.set(xlabel="minutes", ylabel="active watts")
    axis.legend(loc="upper left", fontsize="x-small", ncols=2)
    return figure


def scores_table(scores: Mapping[str, Mapping[str, Score]]) -> pd.DataFrame:
    """One row a split and zone, from the "scores" of a model file."""
    rows = {(split, zone): dict(score) for split, zones in scores.items() for zone, score in zones.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["split", "zone"])


def _stacked(n_axes: int, height: float = _HEIGHT_EACH) -> tuple[Plot, list[Axes]]:
    figure = Plot(figsize=(_WIDE[0], height * n_axes), layout="constrained")
    return figure, list(figure.subplots(n_axes, 1, sharex=True, squeeze=False)[:, 0])


def _minutes(timestamps: pd.Series) -> pd.Series:
    return (timestamps - timestamps.min()) / 60
