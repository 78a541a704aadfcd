"""The shipped models are what the tables say, byte for byte, and are as good as they claim."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from estimator.curve_fit import COVERAGE, generic_curve, read_tables
from estimator.curve_scores import conformal_factor, watts_of, weighted_factor
from estimator.model_choice import shipped_for
from estimator.model_file import list_models, load_shipped
from estimator.power_curves import main
from estimator.power_model import CurveZone
from estimator.specpower import read_nx12, read_published, read_servers

CURVES = [name for name in list_models() if name.startswith("power-curve-")]
DATA = Path(__file__).parents[1] / "data"
CCF_NAMES = {
    "Broadwell",
    "Coffee Lake",
    "EPYC 1st Gen",
    "EPYC 2nd Gen",
    "Haswell",
    "Ivy Bridge",
    "Sandy Bridge",
}


def zone_of(name: str) -> CurveZone:
    zone = load_shipped(name).zones["platform"]
    assert isinstance(zone, CurveZone)
    return zone


def test_the_documented_command_writes_the_shipped_files_byte_for_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--output", str(tmp_path), "--data", str(DATA)])
    shipped = {
        entry.name: entry.read_bytes()
        for entry in map(Path, map(str, resources.files("models").iterdir()))
        if entry.name.startswith("power-")
    }
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == shipped
    assert "models in" in capsys.readouterr().out


def test_every_model_has_a_card_that_names_its_hash() -> None:
    for name in CURVES:
        card = resources.files("models").joinpath(f"{name}.md").read_text(encoding="utf-8")
        assert load_shipped(name).sha256 in card
        assert "wall power of a whole server" in card


def test_the_published_table_is_the_mean_of_the_results_it_rests_on() -> None:
    servers, published = read_servers(DATA), read_published(DATA)
    for name in CCF_NAMES:
        watts = watts_of([server for server in servers if server.microarchitecture == name])
        assert watts.mean(axis=0) == pytest.approx(published[name], rel=1e-9)


def test_every_published_microarchitecture_has_a_model() -> None:
    other_names = {"Sky Lake": "Skylake-SP", "Graviton": "Cortex-A72", "Graviton2": "Neoverse N1"}
    for name in read_published(DATA):
        assert shipped_for(other_names.get(name, name)) is not None


def test_the_median_does_better_than_the_published_mean_when_idle() -> None:
    for name in CCF_NAMES:
        model = load_shipped(f"power-curve-{name.lower().replace(' ', '-')}")
        unseen = model.scores["leave_one_machine_out"]["platform"]
        same = model.scores["published_mean_same_machines"]["platform"]
        assert unseen["idle_mape_percent"] < same["idle_mape_percent"]


@pytest.mark.parametrize("name", CURVES)
def test_scores_are_named_by_split_and_sane(name: str) -> None:
    scores = load_shipped(name).scores
    assert "shape_busy_threads" in scores
    for split in scores.values():
        assert split["platform"]["rows"] > 0
    unseen = scores.get("leave_one_machine_out", {"platform": {}})["platform"]
    assert unseen.get("full_mape_percent", 0) < 40
    assert unseen.get("idle_coverage_percent", 100) >= 90
    assert unseen.get("full_coverage_percent", 100) >= 90


def test_microarchitectures_with_too_few_machines_take_the_generic_interval() -> None:
    generic = zone_of("power-curve-generic")
    for name in ("power-curve-ice-lake-sp", "power-curve-neoverse-n1", "power-curve-cortex-a72"):
        zone = zone_of(name)
        assert (zone.idle_factor, zone.full_factor) == (generic.idle_factor, generic.full_factor)


def test_the_generic_interval_holds_nine_in_ten_of_an_unseen_microarchitecture_s_machines_on_average() -> (
    None
):
    tables = read_tables(DATA)
    curve = generic_curve(tables)
    assert min(curve.factors) > 1
    medians = {name: np.median(watts_of(of), axis=0) for name, of in tables.servers.items()}
    inside = []
    for name, servers in tables.servers.items():
        others = [median for other, median in medians.items() if other != name]
        predicted = np.exp(np.mean(np.log(others), axis=0))
        inside.append((np.abs(np.log(watts_of(servers) / predicted)) <= np.log(curve.factors)).mean(axis=0))
    assert (np.mean(inside, axis=0) >= COVERAGE - 1e-9).all()


def test_a_conformal_factor_needs_enough_machines() -> None:
    actual = np.exp(np.arange(1.0, 10.0))
    assert conformal_factor(np.ones(9), actual, 0.9) == pytest.approx(np.exp(9))
    assert conformal_factor(np.ones(8), actual[:8], 0.9) is None


def test_a_weighted_factor_gives_a_small_group_the_weight_of_a_large_one() -> None:
    assert weighted_factor([np.zeros(99), np.ones(1)], 0.5) == pytest.approx(1.0)
    assert weighted_factor([np.zeros(99), np.ones(1)], 0.51) == pytest.approx(np.e)


def test_results_without_watts_are_left_out() -> None:
    assert len(read_servers(DATA)) == 721
    assert all(0 < server.idle <= server.full for server in read_servers(DATA))


def test_nx12_is_read_as_watts_against_cpu_time() -> None:
    series, n_cpu = read_nx12(DATA)
    assert (len(series.load), n_cpu) == (1541, 32)
    assert 0 <= series.load.min() <= series.load.max() <= 1
