"""PowerModel recovers what a meter is made of, is scikit-learn's, and says what the exporter says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import podjoule
from ebpf.counters import FIELDS
from estimator.features import PREDICTORS
from estimator.model.file import load_model
from estimator.model.modelled import ModelledEnergy
from exporter.commands.cli import main
from tests.estimator.usages import usage_of
from tests.library.conftest import BUSY, IDLE, linear_meter

NX12 = Path(__file__).parents[1] / "data/nx12_train.csv"


def assert_recovered(model: podjoule.PowerModel, within: float = 0.05) -> None:
    found = model.coefficients_["value"]
    assert found["package", "idle"] == pytest.approx(IDLE, rel=within)
    assert found["package", "cpu_seconds"] == pytest.approx(BUSY, rel=within)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_180_rows_of_a_linear_meter_give_its_coefficients_by_the_api(seed: int) -> None:
    model = podjoule.PowerModel(kind="linear").fit(linear_meter(seed=seed))
    assert_recovered(model)
    assert list(model.coefficients_["unit"]) == ["W", "W per busy CPU"]


def test_the_kind_that_is_chosen_for_a_linear_meter_is_linear(table: pd.DataFrame) -> None:
    model = podjoule.PowerModel().fit(table)
    assert set(model.coefficients_["kind"]) == {"linear"}
    assert_recovered(model)


def test_the_command_gives_the_same_model(
    table: pd.DataFrame,
    model: podjoule.PowerModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table.to_csv(tmp_path / "t.csv", index=False)
    command = ["train", "--input", str(tmp_path / "t.csv"), "--kind", "linear"]
    assert main([*command, "--output", str(tmp_path / "m.json")]) == 0
    by_command = podjoule.PowerModel.load(tmp_path / "m.json")
    assert_recovered(by_command)
    assert by_command.predict(table) == pytest.approx(model.predict(table), rel=1e-9)
    assert "would help: no cycles" in capsys.readouterr().out


def _exported(path: Path, table: pd.DataFrame) -> list[float]:
    """Watts of the package as the exporter would export them, row by row."""
    source, watts = ModelledEnergy(load_model(path)), []
    for row in table.to_dict("records"):
        features = {name: of for name, of in PREDICTORS.items() if name in row and row[name] == row[name]}
        used = np.zeros((1, 1, len(FIELDS)))
        for name, feature in features.items():
            used[0, 0, feature.field] = row[name] * feature.counts_per_unit
        usage = usage_of(
            used,
            available=frozenset(FIELDS[feature.field] for feature in features.values()),
            interval_seconds=row["interval_seconds"],
            n_cpu=int(row["n_cpu"]),
        )
        (energy,) = (energy for energy in source.measure(usage) if energy.zone == "package")
        watts.append(energy.joules / energy.interval_seconds)
    return watts


def test_it_predicts_what_the_exporter_exports(
    table: pd.DataFrame, model: podjoule.PowerModel, tmp_path: Path
) -> None:
    path = model.save(tmp_path / "m.json")
    assert model.predict(table) == pytest.approx(_exported(path, table), rel=1e-9)


def test_trees_predict_what_the_exporter_exports(tmp_path: Path) -> None:
    samples = podjoule.read_samples(NX12)[:200]
    shipped = podjoule.PowerModel.load("bare-metal-counters")
    path = shipped.save(tmp_path / "m.json")
    at = shipped.zones_.index("package")
    assert shipped.predict(samples)[:, at] == pytest.approx(_exported(path, samples), rel=1e-9)


def test_a_round_trip_through_a_file_runs_no_code_and_changes_nothing(
    table: pd.DataFrame, model: podjoule.PowerModel, tmp_path: Path
) -> None:
    path = model.save(str(tmp_path / "m.json"))
    assert json.loads(path.read_text())["schema"] == "podjoule.model/1"
    again = podjoule.PowerModel.load(str(path))
    assert (again.predict(table) == model.predict(table)).all()
    assert again.save(tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert again.get_params()["zones"] == ("package",)


def test_the_interval_holds_what_it_promises(table: pd.DataFrame, model: podjoule.PowerModel) -> None:
    low, high = model.predict_interval(later := linear_meter(seed=9))
    watts = later["package_joules"] / later["interval_seconds"]
    assert ((low <= watts) & (watts <= high)).mean() > model.coverage_ - 0.05
    assert (low <= model.predict(later)).all()


def test_in_a_pipeline_and_a_grid_search_over_blocks_of_time(table: pd.DataFrame) -> None:
    pipeline = make_pipeline(
        FunctionTransformer(lambda frame: frame[frame["n_cpu"] > 0]), podjoule.PowerModel(least_rows=50)
    )
    grid = {"powermodel__kind": ["linear"], "powermodel__features": ["cpu_seconds", ("cpu_seconds",)]}
    search = GridSearchCV(pipeline, grid, cv=podjoule.BlockedSplit(3)).fit(table)
    assert search.best_score_ > 0.98
    assert_recovered(search.best_estimator_[-1])


def test_scikit_learns_own_tools_take_watts_as_y(table: pd.DataFrame) -> None:
    watts = (table["package_joules"] / table["interval_seconds"]).to_numpy()
    unmeasured = table.drop(columns="package_joules")
    model = podjoule.PowerModel(kind="linear", least_rows=50)
    held_out = cross_val_predict(model, unmeasured, watts, cv=podjoule.BlockedSplit())
    assert held_out == pytest.approx(watts, rel=0.15)
    rates = unmeasured[["cpu_seconds"]] / 5.0
    by_rates = clone(model).set_params(n_cpu=8).fit(rates, watts)
    assert_recovered(by_rates)
    assert list(by_rates.feature_names_in_) == ["cpu_seconds"]


def test_a_zone_is_named_by_a_word_or_several(table: pd.DataFrame) -> None:
    both = table.assign(dram_joules=table["package_joules"] / 10)
    assert podjoule.PowerModel("package", kind="linear").fit(both).zones_ == ("package",)
    two = podjoule.PowerModel(("package", "dram"), kind="linear").fit(both)
    assert two.predict(both).shape == (len(both), 2)
    assert two.score(both) > 0.98


def test_a_row_without_its_features_has_no_watts(table: pd.DataFrame, model: podjoule.PowerModel) -> None:
    table = table.copy()
    table.loc[3, "cpu_seconds"] = np.nan
    assert np.flatnonzero(np.isnan(model.predict(table))).tolist() == [3]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"zones": "dram"}, "^zones: dram not measured"),
        ({"features": ("cycles",)}, "^features: cycles not measured"),
        ({"kind": "forest"}, "^kind: found 'forest'"),
    ],
)
def test_what_is_wrong_speaks_of_arguments(
    table: pd.DataFrame, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(podjoule.ArgumentInvalid, match=message) as error:
        podjoule.PowerModel(**parameters).fit(table)
    assert "--" not in str(error.value)
    assert isinstance(error.value, podjoule.PodjouleError)


def test_what_cannot_be_loaded_or_saved_says_so(model: podjoule.PowerModel, tmp_path: Path) -> None:
    with pytest.raises(podjoule.ModelUnavailable, match="cannot be read"):
        podjoule.PowerModel.load(tmp_path / "none.json")
    (tmp_path / "m.json").write_text("{}")
    with pytest.raises(podjoule.ModelInvalid):
        podjoule.PowerModel.load(tmp_path / "m.json")
    with pytest.raises(podjoule.ArgumentInvalid, match=r"^path: .* cannot be written"):
        model.save(tmp_path / "none" / "m.json")


# Linear, since trees take a second a fit, and from two rows, since scikit-learn gives few. No check is left
# out; the one allowance is the tag poor_score: power never falls while work rises, and their targets do.
@parametrize_with_checks([podjoule.PowerModel(kind="linear", least_rows=2)])
def test_scikit_learns_checks_pass(estimator: podjoule.PowerModel, check: object) -> None:
    if "array_api" in str(check):
        return  # it asks for SCIPY_ARRAY_API in the environment: arrays on other devices than the CPU
    check(estimator)  # type: ignore[operator]
