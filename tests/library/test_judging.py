"""Scores, and what to know before they are believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import podjoule
from exporter.commands.cli import main
from tests.library.conftest import linear_meter


def test_a_good_model_is_scored_without_a_word(model: podjoule.PowerModel) -> None:
    scores = podjoule.evaluate(model, linear_meter(seed=5))
    assert scores.loc["package", "mape_percent"] < 3
    assert scores.loc["package", "rows_outside_envelope"] < 10


def test_rows_of_the_training_are_told(
    table: pd.DataFrame, model: podjoule.PowerModel, tmp_path: Path, capsys
) -> None:
    with pytest.warns(podjoule.SamplesWarning, match="rows that it was trained on"):
        podjoule.evaluate(model, table)
    table.to_csv(tmp_path / "t.csv", index=False)
    again = podjoule.PowerModel(kind="linear").fit(podjoule.read_samples(tmp_path / "t.csv"))
    path = again.save(tmp_path / "m.json")
    assert main(["evaluate", str(path), "--input", str(tmp_path / "t.csv")]) == 0
    assert "beware: these are the rows that it was trained on" in capsys.readouterr().out


def test_another_machine_is_told(model: podjoule.PowerModel) -> None:
    with pytest.warns(podjoule.SamplesWarning) as told:
        scores = podjoule.evaluate(model, linear_meter(n_cpu=64))
    said = " ".join(str(each.message) for each in told)
    assert "made on 8 CPUs, and these rows are of 64 CPUs" in said
    assert "180 of 180 rows lie outside" in said
    assert scores.loc["package", "rows_outside_envelope"] == 180


def test_a_model_that_is_none_of_this_machine_is_told(model: podjoule.PowerModel) -> None:
    other = linear_meter().assign(package_joules=lambda t: t["package_joules"] * 3)
    with pytest.warns(podjoule.SamplesWarning, match="R² below 0"):
        podjoule.evaluate(model, other)


def test_features_that_no_row_holds_are_an_error(
    model: podjoule.PowerModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = linear_meter().assign(cycles=1.0, cpu_seconds=np.nan)
    with pytest.raises(podjoule.SamplesInvalid, match="no row holds both"):
        podjoule.evaluate(model, table)
    table.to_csv(tmp_path / "t.csv", index=False)
    path = model.save(tmp_path / "m.json")
    assert main(["evaluate", str(path), "--input", str(tmp_path / "t.csv")]) == 2
    assert "no row holds both" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::podjoule.SamplesWarning")
def test_models_are_compared_on_the_same_rows(model: podjoule.PowerModel) -> None:
    scores = podjoule.compare({"mine": model, "theirs": "bare-metal-cpu-time"}, linear_meter(seed=5))
    assert list(scores.loc["package"].index) == ["mine", "theirs"]
    assert scores.loc[("package", "mine"), "mae_watts"] < scores.loc[("package", "theirs"), "mae_watts"]


def test_the_calibration_is_scored_one_row_ahead() -> None:
    online = podjoule.calibrate_online(linear_meter())
    assert online.scores.loc["package", "wape_percent"] < 5
    assert len(online.ahead) == 179


def test_pictures_have_units_and_a_sentence(model: podjoule.PowerModel) -> None:
    table = linear_meter(seed=5)
    plots = podjoule.plots
    for draw in (plots.over_time, plots.power_against_load, plots.residuals, plots.coverage, plots.by_load):
        figure = draw(table, model)
        label = figure.axes[0].get_ylabel()
        assert "W" in label or "%" in label
        assert figure.caption.endswith(".")
