"""Pictures of who used the energy, and of models on other machines than theirs; as those of plots.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from estimator.training.figure import (
    BLACK,
    BLUE,
    GRAY,
    HATCHES,
    ORANGE,
    STACKED,
    WIDTH,
    Plot,
    minutes,
    stacked,
)

_MOST_WORKLOADS = 7
_ROUNDING = 1e-9


def energy(joules: pd.Series, truth: pd.Series | None = None) -> Plot:
    """Joules by workload or namespace, the most on top; truth: what each really drew, where that is known."""
    most = joules.sort_values(ascending=False).head(2 * _MOST_WORKLOADS)[::-1]
    figure = Plot(figsize=(WIDTH, 1.6 + 0.35 * len(most)), layout="constrained")
    axis = figure.subplots()
    at = range(len(most))
    axis.barh(at, most, color=BLUE, height=0.6, label="podjoule")
    axis.set_yticks(at, [_name(name) for name in most.index])
    axis.set_xlabel("active energy, J")
    first = (
        f"{_name(joules.idxmax())} used {100 * joules.max() / joules.sum():.0f} % of {joules.sum():,.0f} J"
    )
    if truth is None:
        return figure.say(f"{first}; energy that idling costs is nobody's and not in it.")
    axis.plot(truth.reindex(most.index), at, "D", color=ORANGE, markeredgecolor=BLACK, label="the truth")
    axis.legend(loc="lower right", fontsize="small")
    errors = 100 * (joules.reindex(truth.index) / truth - 1)
    worst = errors.abs().idxmax()
    return figure.say(
        f"{first}; each is within {errors.abs().max():.1f} % of what it truly drew (the furthest is"
        f" {_name(worst)}, {errors[worst]:+.1f} %), and all together within"
        f" {100 * abs(joules.sum() / truth.sum() - 1):.2f} %."
    )


def attribution_errors(errors: pd.DataFrame) -> Plot:
    """Errors by workload of several ways to share energy out: a column a way, percent of the truth."""
    figure = Plot(figsize=(WIDTH, 1.6 + 0.42 * len(errors)), layout="constrained")
    axis = figure.subplots()
    height = 0.8 / len(errors.columns)
    for at, name in enumerate(errors):
        places = np.arange(len(errors)) + at * height
        axis.barh(places, errors[name], height=height, color=STACKED[at], hatch=HATCHES[at], label=str(name))
    axis.axvline(0, color=BLACK, linewidth=0.8)
    axis.set_yticks(np.arange(len(errors)) + 0.4 - height / 2, [_name(name) for name in errors.index])
    axis.set_xlabel("error against the truth, %")
    axis.legend(fontsize="small")
    said = "; ".join(f"{name}: up to {errors[name].abs().max():.1f} %" for name in errors)
    return figure.say(f"How far off a workload's joules are, {said}.")


def energy_over_time(
    watts: pd.DataFrame, measured: pd.Series | None = None, idle: pd.Series | None = None
) -> Plot:
    """Stacked power, a column a workload, the index in unix seconds; the small ones as one.

    measured: the meter's watts at the same times, drawn as a line; idle: the part of it that nobody's work
    cost, drawn beneath.
    """
    most = watts.mean().sort_values(ascending=False).index[:_MOST_WORKLOADS]
    shown = watts[most].assign(others=watts.drop(columns=most).sum(axis=1))
    figure, (axis,) = stacked(1, 4.2)
    at = minutes(watts.index.to_series())
    base = np.zeros(len(watts)) if idle is None else idle.reindex(watts.index).to_numpy(dtype=np.float64)
    axis.fill_between(at, 0, base, color=GRAY, alpha=0.35, linewidth=0, label="idle")
    for at_column, name in enumerate(shown):
        top = base + shown[name].to_numpy()
        axis.fill_between(
            at,
            base,
            top,
            color=STACKED[at_column],
            hatch=HATCHES[at_column],
            edgecolor=BLACK,
            linewidth=0,
            label=_name(name),
        )
        base = top
    sentence = f"{_name(most[0])} draws the most, {shown[most[0]].mean():.1f} W in the mean"
    if measured is not None:
        meter = measured.reindex(watts.index)
        axis.plot(at, meter, color=BLACK, linewidth=1.0, label="the meter")
        left = float(np.abs(base - meter).sum() / meter.sum())
        exactly = "exactly" if left < _ROUNDING else f"but for {100 * left:.2g} %"
        sentence += f"; the parts add up to what the meter shows, {exactly}"
    axis.set(xlabel="minutes", ylabel="W", ylim=(0, 1.3 * float(base.max())))
    axis.legend(loc="upper left", fontsize="x-small", ncols=3)
    return figure.say(sentence + ".")


def transfer(errors: pd.DataFrame, title: str = "") -> Plot:
    """Errors in percent of models (a row each) on machines (a column each)."""
    figure = Plot(figsize=(WIDTH, 1.5 + 0.55 * len(errors)), layout="constrained")
    axis = figure.subplots()
    # Yellow is little, dark is much: cividis looks alike to those who see colours otherwise.
    axis.imshow(np.log10(errors.clip(lower=1)), cmap="cividis_r", aspect="auto", vmin=0, vmax=2.5)
    axis.set_xticks(range(len(errors.columns)), [str(name) for name in errors.columns])
    axis.set_yticks(range(len(errors)), [str(name) for name in errors.index])
    axis.set(xlabel="used on", ylabel="trained on", title=title)
    for at, row in enumerate(errors.to_numpy()):
        for column, value in enumerate(row):
            dark = value > 10**1.25
            axis.text(
                column, at, f"{value:.0f} %", ha="center", va="center", color="white" if dark else BLACK
            )
    values = errors.to_numpy()
    own = np.equal.outer(errors.index.to_numpy(), errors.columns.to_numpy())
    return figure.say(
        f"Σ |error| over Σ measured: at home {values[own].min():.0f} to {values[own].max():.0f} %, elsewhere"
        f" {values[~own].min():.0f} to {values[~own].max():.0f} % (median {np.median(values[~own]):.0f} %)."
    )


def by_node(errors: pd.DataFrame) -> Plot:
    """Errors in percent on machines (a row each); a column a way to know their power."""
    figure, (axis,) = stacked(1, 2.6)
    width = 0.8 / len(errors.columns)
    for at, name in enumerate(errors):
        axis.bar(
            np.arange(len(errors)) + at * width,
            errors[name],
            width=width,
            color=STACKED[at],
            hatch=HATCHES[at],
            label=str(name),
        )
    axis.set_xticks(np.arange(len(errors)) + 0.4 - width / 2, [str(name) for name in errors.index])
    axis.set(ylabel="error, % of what was measured")
    axis.legend(fontsize="small")
    said = "; ".join(f"{name} {errors[name].mean():.1f} % in the mean" for name in errors)
    worst = errors.max()
    return figure.say(f"Over all: {said}; the worst is {worst.idxmax()} with {worst.max():.1f} %.")


def specified(servers: pd.DataFrame) -> Plot:
    """Watts at the wall against the TDP, of a chip: columns tdp_watts, idle_watts, full_watts."""
    figure, (axis,) = stacked(1, 3.0)
    for name, color, marker in (("full", BLUE, "o"), ("idle", ORANGE, "^")):
        drawn = servers[f"{name}_watts"]
        axis.plot(servers["tdp_watts"], drawn, marker, color=color, markersize=4, alpha=0.6, label=name)
    axis.set(xlabel="TDP of a chip, W", ylabel="at the wall, W a chip", ylim=(0, None))
    axis.legend(fontsize="small")
    full, idle = (servers[f"{name}_watts"] / servers["tdp_watts"] for name in ("full", "idle"))
    return figure.say(
        f"Of {len(servers)} servers half draw {full.quantile(0.25):.2f} to {full.quantile(0.75):.2f} times"
        f" their TDP at full load, and {idle.quantile(0.25):.2f} to {idle.quantile(0.75):.2f} times idle: the"
        " TDP says something of the first and little of the second, which is why cores, clock, year and maker"
        " are asked."
    )


def attribution(table: Mapping[str, Any]) -> Plot:
    """How far off joules by container are on machines as they are, physics by physics.

    table: what tests.estimator.physics writes as JSON: seeds, and rows of physics, zone, error and
    wanted, percent.
    """
    rows = pd.DataFrame(table["rows"])
    errors = rows.pivot(index="physics", columns="zone", values="error").loc[rows["physics"].unique()[::-1]]
    package = rows[rows["zone"] == "package"].set_index("physics")
    wanted = package["wanted"].astype(float)[errors.index]
    figure = Plot(figsize=(WIDTH, 1.6 + 0.38 * len(errors)), layout="constrained")
    axis, at = figure.subplots(), np.arange(len(errors))
    for zone, shift, color, hatch in (("package", 0.2, BLUE, ""), ("dram", -0.2, ORANGE, "///")):
        axis.barh(at + shift, errors[zone], height=0.4, label=zone, color=color, hatch=hatch)
    axis.plot(wanted, at + 0.2, "|", markersize=12, color=BLACK, label="wanted at most, package")
    axis.set_yticks(at, [str(name) for name in errors.index])
    axis.set_xlabel("Σ |error| over Σ true joules of an hour, %")
    axis.legend(loc="lower right", fontsize="small")
    of_package = package["error"].astype(float)
    met = int((of_package <= package["wanted"].astype(float)).sum())
    return figure.say(
        f"Mean of {table['seeds']} runs: of {len(package)} kinds of machine {met} are as near as is wanted in"
        f" the package; the furthest off is {of_package.idxmax()}, by {of_package.max():.1f} %."
    )


def _name(name: object) -> str:
    """The last part of a path, and of a (namespace, workload) both."""
    if isinstance(name, tuple):
        return ", ".join(map(_name, name))
    text = str(name)
    return text.rsplit("/", 1)[-1] or text
