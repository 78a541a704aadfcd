"""The recipe on real data, split in time; and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ebpf.errors import UsageError
from estimator.training.evaluate import evaluate
from estimator.training.rates import choose_features
from estimator.training.samples import Samples, clean_samples
from estimator.training.train import UNKNOWN_MACHINE, Recipe, Title, as_model, train

TITLE = Title("mine", "2026-11-21", UNKNOWN_MACHINE)


def test_later_workloads_are_predicted_within_8_watts_and_the_model_says_where_it_is_new(
    nx12_parts: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    earlier, later = nx12_parts
    content = train(clean_samples(earlier), Recipe(), TITLE)
    assert set(content["zones"]) == {"package", "dram", "platform"}
    evaluation = evaluate(as_model(content), later)
    package, dram = evaluation.scores["package"], evaluation.scores["dram"]
    assert package["mae_watts"] is not None
    assert package["mae_watts"] <= 8.0
    assert dram["mae_watts"] is not None
    assert dram["mae_watts"] <= 4.15
    for zone in (package, dram):
        assert zone["coverage_percent"] is not None
        assert zone["coverage_percent"] >= 85
    known_misses = (earlier["cache_misses"] / earlier["interval_seconds"]).max()
    has_new_misses = (later["cache_misses"] / later["interval_seconds"]).to_numpy() > known_misses
    assert has_new_misses.sum() > 150
    assert evaluation.outside[has_new_misses].all()
    assert not evaluation.outside.all()


def test_the_shuffled_split_is_not_among_the_scores(nx12: Samples) -> None:
    scores = train(nx12, Recipe(zones=("dram",)), TITLE)["scores"]
    assert set(scores) == {"time_blocked_cv", "later_part"}
    assert scores["later_part"]["dram"]["rows"] == 462
    assert scores["later_part"]["dram"]["rows_outside_envelope"] > 200
    assert scores["later_part"]["dram"]["coverage_percent"] > 75
    assert scores["time_blocked_cv"]["dram"]["rows"] == 1541


def test_training_twice_gives_the_same_model(table: pd.DataFrame) -> None:
    content = [train(clean_samples(table), Recipe(kind="trees"), TITLE) for _ in range(2)]
    assert as_model(content[0]).sha256 == as_model(content[1]).sha256


def test_rows_without_a_feature_or_zone_are_left_out_of_that_zone(table: pd.DataFrame) -> None:
    table.loc[:49, "cycles"] = np.nan
    table["dram_joules"] = 5.0 + table["cache_misses"] * 1e-6
    table.loc[200:, "dram_joules"] = np.nan
    training = train(clean_samples(table), Recipe(), TITLE)["training"]
    assert training["rows_by_zone"] == {"package": 250, "dram": 150}


def test_cpu_time_is_taken_where_there_are_no_cycles(table: pd.DataFrame) -> None:
    samples = clean_samples(table)
    assert choose_features(samples) == ("cycles", "instructions", "cache_misses")
    assert choose_features(clean_samples(table.drop(columns="cycles")))[0] == "cpu_seconds"
    assert choose_features(samples, ["cycles", "cpu_seconds"]) == ("cpu_seconds", "cycles")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(zones=("dram",)), "zones: dram not measured in frame; it holds package"),
        (Recipe(features=("switches",)), "features: switches not measured"),
        (Recipe(kind="neural"), "kind: found 'neural'"),
    ],
)
def test_what_cannot_be_had_is_refused(table: pd.DataFrame, recipe: Recipe, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(clean_samples(table), recipe, TITLE)


def test_too_short_a_table_is_refused_with_what_is_wanted(table: pd.DataFrame) -> None:
    recipe = Recipe(kind="linear")
    with pytest.raises(UsageError, match=r"99 rows can be used for package, 100 are needed: record 5 s more"):
        train(clean_samples(table[:99]), recipe, TITLE)
    assert train(clean_samples(table[:100]), recipe, TITLE)["training"]["rows"] == 100
    table.loc[:199, "package_joules"] = np.nan
    # Of the first 70 % of the time too little is left for a model to be judged on the rest.
    assert train(clean_samples(table), recipe, TITLE)["scores"]["later_part"] == {}


def test_a_table_without_energy_is_refused(table: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="no energy is measured"):
        train(clean_samples(table.drop(columns="package_joules")), Recipe(), TITLE)


def test_a_model_is_scored_on_the_rows_that_it_can_predict(table: pd.DataFrame) -> None:
    model = as_model(train(clean_samples(table), Recipe(features=("cycles",)), TITLE))
    table.loc[:9, "cycles"] = np.nan
    score = evaluate(model, clean_samples(table).frame).scores["package"]
    assert score["rows"] == 290
    assert score["mae_watts"] == pytest.approx(0, abs=0.01)
    assert score["r2"] == pytest.approx(1, abs=1e-4)
    assert evaluate(model, table.drop(columns="package_joules")).scores == {}
