"""What a figure's sentence says is what its data hold; every figure can be read without colours."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from estimator.model.power_model import PowerModel
from estimator.training import energy_plots, plots
from estimator.training.figure import STACKED, Plot
from estimator.training.samples import clean_samples
from estimator.training.train import UNKNOWN_MACHINE, Recipe, Title, as_model, train

TITLE = Title("test", "2026-11-29", UNKNOWN_MACHINE)


@pytest.fixture
def model(table: pd.DataFrame) -> PowerModel:
    """Of a machine that draws 10 W, and 2 nJ a cycle: at 4 CPUs of 3 GHz 24 W more."""
    return as_model(train(clean_samples(table), Recipe(features=("cycles",), kind="linear"), TITLE))


def numbers(figure: Plot) -> list[float]:
    return [float(each) for each in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", figure.caption)]


def test_a_curve_says_idle_half_and_full_load(table: pd.DataFrame, model: PowerModel) -> None:
    assert numbers(plots.power_against_load(table, model))[:3] == [10.0, 22.0, 34.0]
    assert "as much as the first" in plots.power_against_load(table, model).caption


def test_a_curve_that_bends_says_by_how_much(table: pd.DataFrame) -> None:
    load = table["cpu_seconds"] / 20
    table["package_joules"] = 5 * (10 + 40 * load**0.5)
    bent = as_model(train(clean_samples(table), Recipe(features=("cpu_seconds",), kind="trees"), TITLE))
    ratio = numbers(plots.power_against_load(table, bent))[3]
    assert ratio == pytest.approx((1 - 0.5**0.5) / 0.5**0.5, abs=0.1)


def test_recorded_says_what_there_is_to_learn_from(table: pd.DataFrame) -> None:
    rows, least, most, low, high, idle = numbers(plots.recorded(table))
    watts, load = table["package_joules"] / 5, table["cpu_seconds"] / 20
    assert rows == 300
    assert (least, most) == (pytest.approx(watts.min(), abs=0.1), pytest.approx(watts.max(), abs=0.1))
    assert (low, high) == (round(100 * load.min()), round(100 * load.max()))
    assert idle == round(100 * (load < 0.05).mean())


def test_residuals_find_what_a_model_lacks(table: pd.DataFrame, model: PowerModel) -> None:
    rng = np.random.default_rng(1)
    table["package_joules"] *= rng.normal(1, 0.01, len(table))
    assert "none of these" in plots.residuals(table, model).caption
    table["package_joules"] += 1e-9 * table["instructions"]
    said = plots.residuals(table, model).caption
    assert "told of them by instructions" in said
    assert "does not know" in said


def test_coverage_says_where_the_interval_is_too_narrow(table: pd.DataFrame, model: PowerModel) -> None:
    rng = np.random.default_rng(1)
    table["package_joules"] += rng.normal(0, 50, len(table)).clip(-40, 40)
    held, rows, promised, least, most, short, of = numbers(plots.coverage(table, model))
    assert (rows, promised, of) == (300, 90, 5)
    assert least <= held <= most < 50
    assert short == 5


def test_energy_says_how_far_it_is_from_the_truth() -> None:
    found = pd.Series({"a": 90.0, "b": 10.0})
    figure = energy_plots.energy(found, pd.Series({"a": 80.0, "b": 11.0}))
    assert numbers(figure) == [90, 100, 12.5, 12.5, pytest.approx(100 * (100 / 91 - 1), abs=0.01)]
    assert "a used 90 % of 100 J" in figure.caption


def test_a_stack_that_does_not_end_at_the_meter_says_so() -> None:
    watts = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=[100.0, 105.0])
    idle = pd.Series(10.0, watts.index)
    whole, half = (
        energy_plots.energy_over_time(watts, watts.sum(axis=1) * part + idle, idle) for part in (1.0, 2.0)
    )
    assert whole.caption.endswith("exactly.")
    assert half.caption.endswith("but for 25 %.")


def test_the_table_of_attribution_is_drawn_as_its_command_writes_it() -> None:
    rows = [
        {"physics": physics, "zone": zone, "error": error, "wanted": 3.5}
        for physics, error in (("plain", 3.0), ("package sleeps", 41.0))
        for zone in ("package", "dram")
    ]
    figure = energy_plots.attribution({"seeds": 6, "rows": rows})
    assert numbers(figure) == [6, 2, 1, 41.0]
    assert "package sleeps" in figure.caption


def test_colours_differ_in_lightness_where_they_touch() -> None:
    """So that a stack can be read in grey: WCAG's relative luminance of neighbours."""
    light = [_luminance(color) for color in STACKED]
    for above, below in pairwise(light):
        high, low = max(above, below), min(above, below)
        assert (high + 0.05) / (low + 0.05) > 1.25


def _luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_a_picture_is_the_same_bytes_each_time(table: pd.DataFrame, model: PowerModel) -> None:
    first, again = (plots.by_load(table, model) for _ in range(2))
    assert first.png() == again.png()
    assert repr(first) == first.caption
