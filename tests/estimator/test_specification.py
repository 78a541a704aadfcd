"""Power from specification: judged on CPU models that were not seen, and honest about where it fails."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from estimator.curve_fit import Tables, read_tables
from estimator.model_file import load_shipped
from estimator.power_model import CurveZone
from estimator.specification import Specification, read_specification
from estimator.specification_fit import (
    fit_across,
    fit_within,
    unseen_cpu_score,
    unseen_microarchitecture_score,
)

DATA = Path(__file__).parents[1] / "data"
XEON = "Intel(R) Xeon(R) CPU E5-2667 v3 @ 3.20GHz"


@pytest.fixture(scope="module")
def tables() -> Tables:
    return read_tables(DATA)


def test_specification_halves_the_error_on_unseen_microarchitectures(tables: Tables) -> None:
    score = unseen_microarchitecture_score(tables.servers)
    for end in ("idle", "full"):
        assert score[f"specified_{end}_median_ape_percent"] < 0.5 * score[f"{end}_median_ape_percent"]


def test_unseen_cpu_models_are_predicted_within_20_percent_idle_and_12_at_full_load(tables: Tables) -> None:
    score = unseen_cpu_score(tables.servers, *tables.servers)
    assert score["cpu_models"] == 67
    assert score["specified_idle_median_ape_percent"] < 20
    assert score["specified_full_median_ape_percent"] < 12
    assert score["specified_full_median_ape_percent"] < score["full_median_ape_percent"]


def test_the_error_is_stated_for_every_microarchitecture_and_where_not_to_trust_it(tables: Tables) -> None:
    card = resources.files("models").joinpath("power-from-specification.md").read_text(encoding="utf-8")
    for name in tables.servers:
        (line,) = [line for line in card.splitlines() if line.startswith(f"| {name} |")]
        score = unseen_cpu_score(tables.servers, name)
        assert f"| {score['specified_full_median_ape_percent']:g} % |" in line
        assert line.endswith(("| yes |", "off too far |", "CPU models |"))
    assert "Not to be trusted at all" in card


def test_a_machine_beyond_the_table_is_taken_for_the_last_one_in_it(tables: Tables) -> None:
    scaling = fit_across(tables.servers)
    largest = Specification(scaling.high[0], scaling.high[1], scaling.high[2])
    beyond = Specification(9 * scaling.high[0], 9 * scaling.high[1], 9 * scaling.high[2])
    assert scaling.watts(beyond) == scaling.watts(largest)


def test_full_load_is_never_below_idle(tables: Tables) -> None:
    for name in tables.servers:
        for mhz in (1000.0, 2400.0, 4000.0):
            for threads in (2.0, 32.0, 256.0):
                idle, full = fit_within(tables.servers, name).watts(Specification(mhz, threads, 2.0))
                assert 0 < idle <= full


def test_the_file_says_what_the_fit_does(tables: Tables) -> None:
    zone = load_shipped("power-curve-skylake-sp").zones["platform"]
    assert isinstance(zone, CurveZone)
    here = Specification(2500.0, 56.0, 2.0)
    scaled = zone.for_machine(here)
    expected = fit_within(tables.servers, "Skylake-SP").watts(here)
    assert (scaled.idle_watts_per_cpu, scaled.full_watts_per_cpu) == pytest.approx(expected, rel=1e-3)


def test_the_nominal_clock_is_the_name_s_or_the_kernel_s(tmp_path: Path) -> None:
    assert read_specification(tmp_path, XEON, 32, 2) == Specification(3200.0, 16.0, 2)
    assert read_specification(tmp_path, "AMD EPYC 9654", 192, 1) is None
    frequency = tmp_path / "devices/system/cpu/cpu0/cpufreq/base_frequency"
    frequency.parent.mkdir(parents=True)
    frequency.write_text("2100000\n")
    assert read_specification(tmp_path, "Intel(R) Xeon(R) Gold 6530", 64, 2) == Specification(2100.0, 32.0, 2)
