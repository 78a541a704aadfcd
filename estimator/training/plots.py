"""Pictures of samples and of models: one figure each, with the sentence beneath that says what it shows.

samples: a samples table (podjoule.read_samples); model: a podjoule.PowerModel, or a model file that was read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from estimator.energy import FloatArray
from estimator.features import PREDICTORS
from estimator.model.power_model import PowerModel
from estimator.training.accuracy import IDLE_LOAD, load_of_rows
from estimator.training.figure import (
    BLACK,
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    RED,
    Plot,
    beside,
    listed,
    minutes,
    stacked,
)
from estimator.training.predictions import errors_by_load, predict_joules, predict_rows
from estimator.training.samples import watts_of

# So many of the last errors make the drift visible without following every row.
_DRIFT_ROWS = 50
_STEPS = 60
_FIFTHS = 5
# A share of the errors' variance that is worth a look: of a hundred rows, chance makes some 0.04 of it.
_TOLD = 0.2
_ALIKE = 0.02
_DOTS: dict[str, Any] = {"markersize": 3, "alpha": 0.5, "linestyle": "none", "marker": "."}
_PER_SECOND = {"cpu_seconds": "CPUs busy"}


def recorded(samples: pd.DataFrame) -> Plot:
    """Power of every zone, and what the CPUs did, over time: what there is to learn from."""
    zones = _zones(samples)
    features = [name for name in PREDICTORS if name in samples and samples[name].notna().any()]
    figure, axes = stacked(len(zones) + len(features), 1.3)
    at = minutes(samples["timestamp_seconds"])
    for axis, zone in zip(axes, zones, strict=False):
        axis.plot(at, watts_of(samples, zone), linewidth=0.9, color=BLUE)
        axis.set(ylabel=f"{zone}\nW", ylim=(0, None))
    for axis, name in zip(axes[len(zones) :], features, strict=True):
        axis.plot(at, samples[name] / samples["interval_seconds"], linewidth=0.9, color=GRAY)
        axis.set(ylabel=_PER_SECOND.get(name, f"{name}\n1/s"), ylim=(0, None))
    axes[-1].set_xlabel("minutes")
    load = load_of_rows(samples)
    drawn = listed([f"{zone} drew {_span(watts_of(samples, zone))} W" for zone in zones])
    return figure.say(
        f"{len(samples)} rows: {drawn}, at {100 * np.nanmin(load):.0f} to {100 * np.nanmax(load):.0f} % of"
        f" the CPU time; in {100 * np.mean(load < IDLE_LOAD):.0f} % of the rows next to nothing ran, which is"
        " where idle power is learned."
    )


def over_time(samples: pd.DataFrame, model: Any, zone: str = "package") -> Plot:
    """Measured and predicted power over time, with the interval; rows outside the envelope are marked."""
    rows = predict_rows(_served(model), samples, zone)
    figure, (axis,) = stacked(1, 3.0)
    at = minutes(rows["timestamp_seconds"])
    axis.fill_between(at, rows["low"], rows["high"], alpha=0.3, color=ORANGE, label="interval")
    axis.plot(at, rows["measured"], linewidth=0.9, color=BLACK, label="measured")
    axis.plot(at, rows["predicted"], linewidth=0.9, color=BLUE, linestyle="--", label="predicted")
    outside = rows["is_outside"].to_numpy(dtype=np.bool_)
    if outside.any():
        axis.plot(at[outside], rows["predicted"][outside], "x", color=RED, label="outside the envelope")
    axis.set(xlabel="minutes", ylabel=f"{zone}, W", ylim=(0, None))
    axis.legend(loc="best", fontsize="small", ncols=4)
    return figure.say(
        f"Of {len(rows)} rows {_share(_inside(rows))} lie within the interval, which promises"
        f" {_promised(model, zone):.0%}; the mean error is {rows['error'].abs().mean():.2g} W where"
        f" {rows['measured'].mean():.3g} W are drawn in the mean, and {outside.sum()} rows lie outside what"
        " the model has seen."
    )


def power_against_load(samples: pd.DataFrame, model: Any, zone: str | None = None) -> Plot:
    """Measured power against the share of CPU time used, and the curve that the model has learned.

    zone: one, or None for all that both have. The curve is for work of the samples' median kind: as many
    cycles, instructions and so on a busy CPU.
    """
    served = _served(model)
    zones = [each for each in _zones(samples) if each in served.zones and zone in (None, each)]
    figure, axes = beside(len(zones), 3.2)
    said = [_power_against_load(axis, samples, served, each) for axis, each in zip(axes, zones, strict=True)]
    axes[0].legend(fontsize="small")
    return figure.say("For work of the median kind, the curve: " + "; ".join(said) + ".")


def _power_against_load(axis: Axes, samples: pd.DataFrame, model: PowerModel, zone: str) -> str:
    sweep = _sweep(samples)
    curve, low, high = predict_joules(model, zone, sweep).T
    at = 100 * load_of_rows(sweep)
    measured = watts_of(samples, zone)
    axis.plot(100 * load_of_rows(samples), measured, color=BLUE, label="measured", **_DOTS)
    axis.fill_between(at, low, high, alpha=0.3, color=ORANGE, label="interval")
    axis.plot(at, curve, color=BLACK, label="model, median kind of work")
    axis.set(xlabel="CPU time used, %", ylabel=f"{zone}, W")
    axis.set(xlim=(0, 102), ylim=(0, 1.25 * max(np.nanmax(measured), curve.max())))
    half = curve[_STEPS // 2]
    ratio = (curve[-1] - half) / max(half - curve[0], 1e-9)
    second = "as much as" if abs(ratio - 1) < _ALIKE else f"{ratio:.2f} times"
    return (
        f"{zone} draws {curve[0]:.3g} W idle, {half:.3g} W at half load and {curve[-1]:.3g} W at full load,"
        f" where the second half of the load costs {second} the first"
    )


def residuals(samples: pd.DataFrame, model: Any, zone: str = "package") -> Plot:
    """Errors against what was predicted, and against each feature that was measured.

    Not against what was measured: there they slope by construction, since a row that is high by chance is
    predicted too low.
    """
    rows = predict_rows(_served(model), samples, zone)
    known = samples[samples["timestamp_seconds"].isin(rows["timestamp_seconds"])]
    names = [name for name in PREDICTORS if name in known and known[name].notna().all()]
    per_second = {name: (known[name] / known["interval_seconds"]).to_numpy() for name in names}
    against = {f"{zone} predicted, W": rows["predicted"].to_numpy()} | {
        _PER_SECOND.get(name, f"{name}, 1/s"): values for name, values in per_second.items()
    }
    figure, axes = beside(len(against), 2.4)
    for axis, (label, values) in zip(axes, against.items(), strict=True):
        _errors_against(axis, values, rows["error"].to_numpy(), label)
    axes[0].set_ylabel("predicted - measured, W")
    told = {label: _explained(values, rows["error"]) for label, values in against.items()}
    label, most = max(told.items(), key=lambda each: each[1])
    if most > _TOLD:
        verdict = "there is something in it that the model does not know"
    else:
        verdict = "none of these would make the model better"
    return figure.say(
        f"Half of the errors are within {rows['error'].abs().median():.2g} W. Most is told of them by"
        f" {label.split(',')[0]}: the means of its fifths (the black line) explain {100 * most:.0f} % of"
        f" their variance; {verdict}."
    )


def _errors_against(axis: Axes, values: FloatArray, errors: FloatArray, label: str) -> None:
    axis.axhline(0, color=GRAY, linewidth=0.8)
    axis.plot(values, errors, color=BLUE, **_DOTS)
    fifths = pd.DataFrame({"at": values, "error": errors}).groupby(_fifths(values), observed=True).mean()
    axis.plot(fifths["at"], fifths["error"], color=BLACK, marker="o", markersize=3)
    axis.set_xlabel(label)


def coverage(samples: pd.DataFrame, model: Any, zone: str = "package") -> Plot:
    """How often the interval held what was measured, by fifths of the load, beside what it promises."""
    rows = predict_rows(_served(model), samples, zone)
    promised, inside = 100 * _promised(model, zone), 100.0 * _inside(rows)
    by_load = inside.groupby(_fifths(rows["load"].to_numpy()), observed=True)
    held, n = by_load.mean(), by_load.size()
    figure, (axis,) = stacked(1, 2.6)
    labels = [
        f"{max(0.0, 100 * each.left):.0f} to {100 * each.right:.0f} %\n{n[each]} rows" for each in held.index
    ]
    # Of so few rows, this much is chance.
    chance = 1.96 * np.sqrt(promised * (100 - promised) / n)
    axis.bar(labels, held, color=BLUE, width=0.6)
    axis.errorbar(labels, np.full(len(n), promised), chance, fmt="none", color=BLACK, capsize=4)
    axis.axhline(promised, color=ORANGE, label=f"promised: {promised:.0f} %, and what of it is chance")
    axis.set(xlabel="CPU time used", ylabel="rows within the interval, %", ylim=(0, 105))
    axis.legend(fontsize="small", loc="lower right")
    short = int((held < promised - chance).sum())
    return figure.say(
        f"The interval held {inside.mean():.0f} % of {len(rows)} rows where {promised:.0f} % are promised,"
        f" from {held.min():.0f} to {held.max():.0f} % by load; in {short} of {len(held)} fifths it held"
        " fewer than chance would have it."
    )


def by_load(samples: pd.DataFrame, model: Any, zone: str = "package") -> Plot:
    """Mean absolute error and bias by load."""
    table = errors_by_load(predict_rows(_served(model), samples, zone))
    figure, (axis,) = stacked(1, 2.6)
    at = np.arange(len(table))
    axis.bar(at - 0.2, table["mae_watts"], width=0.4, label="mean absolute error", color=BLUE)
    axis.bar(at + 0.2, table["bias_watts"], width=0.4, label="bias", color=ORANGE, hatch="///")
    axis.axhline(0, color=BLACK, linewidth=0.8)
    labels = [
        f"{max(0.0, 100 * each.left):.0f} to {min(100.0, 100 * each.right):.0f} %\n{rows:.0f} rows"
        for each, rows in table["rows"].items()
    ]
    axis.set_xticks(at, labels)
    axis.set(xlabel="CPU time used", ylabel=f"{zone}, W")
    axis.legend(fontsize="small")
    worst, best = table["mape_percent"].max(), table["mape_percent"].min()
    return figure.say(
        f"By load the mean error is {_span(table['mae_watts'])} W, {best:.1f} to {worst:.1f} % of what is"
        f" drawn there; the bias is {table['bias_watts'].min():.2g} to {table['bias_watts'].max():.2g} W."
    )


def drift(
    samples: pd.DataFrame, model: Any, zone: str = "package", trained_until: float | None = None
) -> Plot:
    """The rolling error over time: a model that goes stale leaves zero and stays away.

    trained_until: unix seconds up to which the model has seen the rows.
    """
    rows = predict_rows(_served(model), samples, zone)
    at, error = minutes(rows["timestamp_seconds"]), rows["error"]
    figure, (axis,) = stacked(1, 2.6)
    axis.axhline(0, color=GRAY, linewidth=0.8)
    axis.plot(at, error.rolling(_DRIFT_ROWS, min_periods=5).mean(), color=BLACK, label="bias")
    of_size = error.abs().rolling(_DRIFT_ROWS, min_periods=5).mean()
    axis.plot(at, of_size, color=ORANGE, linestyle="--", label="|error|")
    seen = np.zeros(len(rows), np.bool_)
    if trained_until is not None:
        seen = rows["timestamp_seconds"].to_numpy() <= trained_until
        axis.axvspan(0, float(at[seen].max()), alpha=0.12, color=BLUE, label="trained on")
    axis.set(xlabel="minutes", ylabel=f"{zone}, W\nover the last {_DRIFT_ROWS} rows")
    axis.legend(fontsize="small", ncols=3)
    later = error[~seen]
    return figure.say(
        f"On {len(later)} rows that it has not seen the bias is {later.mean():.2g} W and the mean error"
        f" {later.abs().mean():.2g} W"
        + (f"; on those it was trained on {error[seen].abs().mean():.2g} W." if seen.any() else ".")
    )


def learning(curve: pd.DataFrame) -> Plot:
    """What more rows bring: podjoule.learning_curve."""
    figure, (axis,) = stacked(1, 2.6)
    axis.plot(
        curve.index,
        curve["seen_mae_watts"],
        color=ORANGE,
        marker="s",
        linestyle="--",
        label="on rows it was trained on",
    )
    axis.plot(curve.index, curve["held_out_mae_watts"], color=BLUE, marker="o", label="on blocks held out")
    axis.fill_between(
        curve.index,
        curve["held_out_least"],
        curve["held_out_most"],
        color=BLUE,
        alpha=0.15,
        label="from block to block",
    )
    axis.set(xlabel="rows to train on", ylabel="mean absolute error, W", ylim=(0, None))
    axis.legend(fontsize="small")
    held_out = curve["held_out_mae_watts"]
    change = 100 * (held_out.iloc[-1] / held_out.iloc[-2] - 1)
    verdict = (
        "more of the same would still help"
        if change < -10
        else "more rows of the same kind would not help much"
    )
    return figure.say(
        f"From {curve.index[0]} to {curve.index[-1]} rows the error on blocks held out goes from"
        f" {held_out.iloc[0]:.2g} to {held_out.iloc[-1]:.2g} W, the last step changes it by"
        f" {change:+.0f} %: {verdict}."
    )


def importance(losses: pd.DataFrame) -> Plot:
    """How much worse without each feature: podjoule.importance_by_blocks."""
    ordered = losses.mean().sort_values()
    figure, (axis,) = stacked(1, 0.6 + 0.4 * len(ordered))
    for at, name in enumerate(ordered.index):
        axis.plot(losses[name], np.full(len(losses), at), "o", color=GRAY, markersize=4)
    axis.barh(range(len(ordered)), ordered, color=BLUE, alpha=0.8, height=0.5)
    axis.set_yticks(range(len(ordered)), [str(name) for name in ordered.index])
    axis.set_xlabel("mean absolute error added when the feature is shuffled within a block, W")
    said = listed([f"{name} {ordered[name]:.2g} W" for name in ordered.index[::-1]])
    return figure.say(
        f"Shuffled, they add to the error: {said} (a dot a block of time, {len(losses)} of them; the bar is"
        " their mean). Features that rise and fall together stand in for each other, so each alone may seem"
        " to matter less or more than it does."
    )


def online(ahead: pd.DataFrame, zone: str = "package") -> Plot:
    """The calibration that learns as it goes: podjoule.calibrate_online(...).ahead."""
    rows = ahead[ahead["zone"] == zone].reset_index(drop=True)
    figure, (axis,) = stacked(1, 2.6)
    error = (rows["predicted"] - rows["measured"]).abs()
    axis.plot(rows.index, error, color=GREEN, linewidth=0.7, alpha=0.7, label="|error| one step ahead")
    axis.plot(
        rows.index,
        error.rolling(_DRIFT_ROWS, min_periods=5).mean(),
        color=BLACK,
        label=f"mean of {_DRIFT_ROWS}",
    )
    axis.set(xlabel="rows since the start", ylabel=f"{zone}, W", yscale="symlog", ylim=(0, None))
    axis.legend(fontsize="small")
    return figure.say(
        f"It knows nothing at first: its first {_DRIFT_ROWS} predictions are off by"
        f" {error[:_DRIFT_ROWS].mean():.2g} W in the mean, its last {_DRIFT_ROWS} by"
        f" {error[-_DRIFT_ROWS:].mean():.2g} W."
    )


def _served(model: Any) -> PowerModel:
    served: PowerModel = getattr(model, "model_", model)
    return served


def _zones(samples: pd.DataFrame) -> list[str]:
    named = (str(name).removesuffix("_joules") for name in samples if str(name).endswith("_joules"))
    return [zone for zone in named if samples[f"{zone}_joules"].notna().any()]


def _sweep(samples: pd.DataFrame) -> pd.DataFrame:
    """Rows of a second from idle to full load, of work of the median kind."""
    n_cpu, load = float(samples["n_cpu"].median()), np.linspace(0.0, 1.0, _STEPS + 1)
    names = [name for name in PREDICTORS if name in samples and samples[name].notna().any()]
    busy = samples["cpu_seconds"].where(samples["cpu_seconds"] > 0)
    kind = {name: float((samples[name] / busy).median()) for name in names}
    features = {name: load * n_cpu * of for name, of in kind.items()}
    return pd.DataFrame({"interval_seconds": 1.0, "n_cpu": n_cpu, **features}, index=range(len(load)))


def _inside(rows: pd.DataFrame) -> pd.Series:
    return rows["measured"].between(rows["low"], rows["high"])


def _promised(model: Any, zone: str) -> float:
    margin = getattr(_served(model).zones[zone], "margin", None)
    return float(getattr(margin, "coverage", 0.9))


def _fifths(values: FloatArray) -> pd.Series:
    return pd.qcut(pd.Series(values), _FIFTHS, duplicates="drop")


def _explained(values: FloatArray, errors: pd.Series) -> float:
    """The share of the errors' variance that lies between the fifths of the values."""
    means = errors.groupby(_fifths(values), observed=True).transform("mean")
    spread = float(errors.var())
    return float(means.var()) / spread if spread > 0 else 0.0


def _share(inside: pd.Series) -> str:
    return f"{100 * inside.mean():.0f} %"


def _span(values: FloatArray | pd.Series) -> str:
    return f"{np.nanmin(values):.3g} to {np.nanmax(values):.3g}"
