"""No zone of a trained model leaves what its machine can draw, however far its features lie beyond."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from estimator.machine.catalogue import Catalogue
from estimator.machine.description import Size, describe_named
from estimator.model.choice import moved_to
from estimator.model.power_model import PowerModel
from estimator.training.ceiling import ceiling_per_cpu
from estimator.training.samples import Samples, clean_samples
from estimator.training.train import UNKNOWN_MACHINE, Recipe, Title, as_model, train

KNOWN = {**UNKNOWN_MACHINE, "microarchitecture": "Haswell", "cores": 16, "sockets": 2, "tdp_watts": 270.0}
WILD = {"cpu_seconds": 96.0, "cycles": 1e15, "instructions": 1e15, "cache_misses": 1e14}


@pytest.fixture(scope="module", params=["linear", "trees"])
def few(request: pytest.FixtureRequest, nx12: Samples) -> PowerModel:
    """Of every fourth row and of all three zones: this is of ceilings, not of errors."""
    samples = clean_samples(nx12.frame.iloc[::4])
    return as_model(train(samples, Recipe(kind=request.param), Title("few", "2026-11-29", KNOWN)))


def test_every_zone_has_a_ceiling_in_what_it_predicts_and_in_its_bounds(few: PowerModel) -> None:
    for name, most in {"package": 270 * 1.25, "dram": 200, "platform": 1000}.items():
        for n_cpu, seconds in ((32, 3.0), (32, 60.0)):
            estimate = few.predict(name, WILD, n_cpu, seconds)
            assert 0 < estimate.low <= estimate.joules <= estimate.high <= most * seconds * (1 + 1e-9)


def test_a_model_that_was_moved_keeps_to_the_ceilings_of_where_it_is(few: PowerModel) -> None:
    size = Size(96, 256.0, chips=1)
    machine = replace(
        describe_named("AMD EPYC 7R13", size, Catalogue(), is_guest=False), is_guessed=False, n_cpu=96
    )
    there, change = moved_to(few, machine)
    assert change
    assert {"package", "dram", "platform"} <= there.ceilings.keys()
    for name, most in there.ceilings.items():
        if name in there.zones:
            assert there.predict(name, WILD, 96, 5.0).high <= most * 5.0 * (1 + 1e-9)
            assert there.idle_watts(name, 96) <= most


def test_without_a_specification_the_ceiling_is_twice_what_full_load_would_draw(table: pd.DataFrame) -> None:
    half = table[table["cpu_seconds"] <= 10.0]
    most = (half["package_joules"] / 5.0 / 4).max()
    load = (half["cpu_seconds"] / 20.0).max()
    assert ceiling_per_cpu(half, "package", UNKNOWN_MACHINE) == pytest.approx(2 * most / load)
    assert ceiling_per_cpu(half.drop(columns="cpu_seconds"), "package", {}) == pytest.approx(2 * most)
    # What was measured is possible, whatever the specification says.
    assert ceiling_per_cpu(half, "package", {"tdp_watts": 1.0, "sockets": 1}) == pytest.approx(most)
    assert ceiling_per_cpu(half, "package", {"tdp_watts": 100.0, "sockets": 1}) == pytest.approx(125 / 4)
