"""What the reader predicts in numpy is what scikit-learn predicts, to 1e-9, for every kind and any row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor

from estimator.model.document import Field
from estimator.model.forest import read_forest
from estimator.model.power_model import LinearZone, PowerModel
from estimator.model.trees import TreesZone
from estimator.training.export import forest_document
from estimator.training.samples import Samples, clean_samples
from estimator.training.train import UNKNOWN_MACHINE, Recipe, Title, as_model, train
from estimator.training.trees_power import TreesPower
from estimator.training.zone_fit import fit_zone, make_zone_pipeline

TITLE = Title("mine", "2026-11-21", UNKNOWN_MACHINE)
FEATURES = ("cycles", "instructions", "cache_misses")
WITH_CPU_TIME = ("cpu_seconds", *FEATURES)


def model_of(samples: Samples, kind: str, features: tuple[str, ...] = FEATURES) -> PowerModel:
    recipe = Recipe(zones=("package", "dram"), features=features, kind=kind)
    return as_model(train(samples, recipe, TITLE))


def random_rows(seed: int, n: int, n_cpu: int, seconds: float) -> pd.DataFrame:
    """From nothing to far outside of anything trained on."""
    rng = np.random.default_rng(seed)
    capacity = n_cpu * seconds
    scale = {"cpu_seconds": 1.0, "cycles": 4e9, "instructions": 1e10, "cache_misses": 1e7}
    columns = {name: capacity * most * rng.uniform(0, 1, n) ** 3 for name, most in scale.items()}
    zero = rng.uniform(0, 1, (n, len(scale))) < 0.05
    frame = pd.DataFrame(columns).mask(zero, 0.0)
    return frame.assign(n_cpu=n_cpu, interval_seconds=seconds)


@pytest.mark.parametrize("kind", ["linear", "trees"])
@pytest.mark.parametrize("features", [FEATURES, ("cpu_seconds",), WITH_CPU_TIME])
def test_every_kind_predicts_as_scikit_learn_does(
    nx12: Samples, kind: str, features: tuple[str, ...]
) -> None:
    for zone in ("package", "dram"):
        fit = fit_zone(nx12.frame, zone, features, kind)
        read = model_of_zone(nx12, fit.document, zone, features).zones[zone]
        rows = random_rows(1, 2000, 32, 3.0)
        expected = fit.pipeline.predict(rows) * 32 * 3.0
        predicted = [
            read.predict({name: row[name] for name in WITH_CPU_TIME}, 32, 3.0)
            for row in rows.to_dict("records")
        ]
        assert [estimate.joules for estimate in predicted] == pytest.approx(expected, rel=1e-9)
        assert all(low <= joules <= high for joules, low, high in predicted)


def model_of_zone(samples: Samples, document: object, zone: str, features: tuple[str, ...]) -> PowerModel:
    return as_model(
        {
            "name": "one",
            "created": "2026-11-21",
            "machine": dict(UNKNOWN_MACHINE),
            "features": dict.fromkeys(features, "1"),
            "zones": {zone: document},
            "envelope": {},
            "scores": {},
            "training": {},
        }
    )


def test_the_trees_alone_predict_as_scikit_learn_s_do() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(0, 1, (3000, 4)).round(2)  # many rows lie on the edges of others
    watts = rows[:, 0] * rows[:, 1] + np.sin(3 * rows[:, 2])
    boosted = HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=31, random_state=0).fit(rows, watts)
    forest = read_forest(Field("f", "trees", forest_document(boosted)), 4)
    for these in (rows, rng.normal(0, 2, (3000, 4))):
        assert forest.predict(these) == pytest.approx(boosted.predict(these), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", ["linear", "trees"])
def test_a_prediction_does_not_depend_on_the_interval_s_length(nx12: Samples, kind: str) -> None:
    model = model_of(nx12, kind)
    for row in random_rows(3, 50, 32, 3.0).to_dict("records"):
        features = {name: row[name] for name in WITH_CPU_TIME}
        longer = {name: 7 * value for name, value in features.items()}
        for zone in model.zones.values():
            short, long = zone.predict(features, 32, 3.0), zone.predict(longer, 32, 21.0)
            assert tuple(7 * value for value in short) == pytest.approx(tuple(long), rel=1e-9)


@pytest.fixture(scope="module")
def fitted(nx12: Samples) -> PowerModel:
    return model_of(nx12, "trees")


rates = st.tuples(st.floats(0, 5e9), st.floats(0, 1e10), st.floats(0, 1e7))


@settings(max_examples=150)
@given(rates, rates)
def test_more_of_any_feature_never_draws_less(
    fitted: PowerModel, a: tuple[float, ...], b: tuple[float, ...]
) -> None:
    low, high = np.minimum(a, b), np.maximum(a, b)
    for zone in fitted.zones.values():
        assert isinstance(zone, TreesZone)
        watts = zone.watts_per_cpu(np.array([low, high]))
        assert zone.idle_watts(1) <= watts[0] * (1 + 1e-12)
        assert watts[0] <= watts[1] * (1 + 1e-12)


def test_idle_power_is_below_the_least_that_was_measured_and_close_to_it(
    nx12: Samples, fitted: PowerModel
) -> None:
    for name, zone in fitted.zones.items():
        least = float(nx12.watts(name).min())
        assert 0.9 * least <= zone.idle_watts(32) <= 1.02 * least


def test_beyond_the_envelope_only_the_extensive_feature_goes_on(fitted: PowerModel) -> None:
    package, dram = fitted.zones["package"], fitted.zones["dram"]
    assert isinstance(package, TreesZone)
    assert isinstance(dram, TreesZone)
    inside = dict(zip(FEATURES, 0.5 * package.limits * 96, strict=True))
    missing = inside | {"cache_misses": 2 * package.limits[2] * 96}
    more = inside | {"cache_misses": 3 * package.limits[2] * 96}
    assert package.predict(missing, 32, 3.0).joules == package.predict(more, 32, 3.0).joules
    assert dram.predict(missing, 32, 3.0).joules < dram.predict(more, 32, 3.0).joules
    assert package.covers(inside, 32, 3.0)
    assert not package.covers(missing, 32, 3.0)
    wide, narrow = package.predict(missing, 32, 3.0), package.predict(inside, 32, 3.0)
    assert wide.high - wide.joules > narrow.high - narrow.joules


def test_a_linear_table_is_given_back_and_stays_linear(table: pd.DataFrame) -> None:
    zone = as_model(train(clean_samples(table), Recipe(features=("cycles",)), TITLE)).zones["package"]
    assert isinstance(zone, LinearZone)
    assert zone.idle == pytest.approx(10, abs=0.01)
    assert zone.coefficients() == pytest.approx({"cycles": 2e-9}, rel=1e-3)


def test_pipelines_are_scikit_learn_s(nx12: Samples) -> None:
    pipeline = make_zone_pipeline("trees", "package", FEATURES)
    assert isinstance(pipeline[-1], TreesPower)
    assert pipeline[-1].get_params()["share"] == 0.5
    watts = nx12.watts("package") / 32
    assert pipeline.fit(nx12.frame, watts).score(nx12.frame, watts) > 0.9
