"""The notebooks run as they are, hold no logic of their own, and say nothing that is not so."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn", reason="the notebooks train: pip install podjoule[train]")
pytest.importorskip("nbclient", reason="no nbclient to execute notebooks: pip install podjoule[dev]")
nbformat = pytest.importorskip("nbformat")

from estimator.model.file import load_model  # noqa: E402
from tests.exporter.recording import fleet, shop  # noqa: E402
from tests.exporter.recording.bundled import FOLDER as RECORDING  # noqa: E402
from tests.exporter.recording.bundled import TRUTH  # noqa: E402
from tests.notebooks.executed import NOTEBOOKS, Executed, execute  # noqa: E402

Run = Callable[[str], Executed]

NUMBERS = ("01", "02", "03", "04", "05")
LOGIC = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.For,
    ast.While,
    ast.If,
    ast.Try,
)

# The first that asks runs the notebook.
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("default"),  # of the Jupyter libraries, about each other
]


def code_of(path: Path) -> str:
    return "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")


def prose_of(number: str) -> str:
    (path,) = (path for path in NOTEBOOKS if path.name.startswith(number))
    return "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")


def figure(executed: Executed, words: str) -> str:
    """The sentence of the only figure that has these words."""
    (sentence,) = (sentence for sentence, _ in executed.figures if words in sentence)
    return sentence


def numbers(sentence: str) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(r"-?\d[\d,]*\.?\d*(?:e-?\d+)?", sentence)]


def test_they_are_numbered_from_one() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == list(NUMBERS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_defines_nothing(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(code_of(path))))
    assert [type(node).__name__ for node in nodes if isinstance(node, LOGIC)] == []
    assert not re.search(r"^\s*[%!]", code_of(path), re.MULTILINE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.metadata == {}
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_notebook_runs_and_every_figure_says_what_it_shows(number: str, executed: Run) -> None:
    ran = executed(number)
    assert ran.figures
    for sentence, picture in ran.figures:
        assert picture.startswith(b"\x89PNG")
        assert numbers(sentence), sentence
        assert sentence.endswith("."), sentence
    assert not [output["text"] for output in ran.outputs if output.get("name") == "stderr"]


# 01


def test_01_tells_the_truth_of_the_node_and_finds_it(executed: Run) -> None:
    """The prose has the simulation's figures; the model has them from the meter."""
    package = [1e9 * cost for cost in shop.COSTS["package"]]
    told = (
        f"draws {shop.IDLE_WATTS['package']:g} W idle, {package[0]:g} nJ a cycle,"
        f" {package[1]:g} nJ an instruction and {package[2]:g} nJ a cache line, memory that draws"
        f" {shop.IDLE_WATTS['dram']:g} W and {1e9 * shop.COSTS['dram'][2]:g} nJ a cache line, and a meter"
        f" with {100 * shop.METER_NOISE:g} % noise"
    )
    assert told in prose_of("01")
    found = {(zone, term): value for zone, term, value in executed("01").answer["coefficients"]}
    for zone, idle in shop.IDLE_WATTS.items():
        assert found[zone, "idle"] == pytest.approx(idle, rel=0.05)
    for term, cost in zip(("cycles", "instructions"), shop.COSTS["package"][:2], strict=True):
        assert found["package", term] == pytest.approx(cost, rel=0.05)
    assert found["dram", "cache_misses"] == pytest.approx(shop.COSTS["dram"][2], rel=0.05)


def test_01_saves_a_model_that_serves_and_shows_its_card(executed: Run) -> None:
    ran = executed("01")
    model = load_model(Path(ran.answer["path"]))
    assert model.zones["package"].idle_watts(shop.N_CPU) == pytest.approx(20.0, rel=0.05)
    cards = [
        output["data"]["text/markdown"] for output in ran.outputs if "text/markdown" in output.get("data", {})
    ]
    assert len(cards) == 1
    assert model.sha256 in cards[0]


def test_01_says_how_power_goes_with_load(executed: Run) -> None:
    """Idle, half and full load of the package, as the curve's own coefficients have them."""
    idle, half, full, *_ = numbers(figure(executed("01"), "For work of the median kind"))
    assert idle == pytest.approx(20.0, rel=0.05)
    assert half - idle == pytest.approx((full - idle) / 2, rel=0.02)


def test_01_recovers_a_linear_meter_from_180_rows(output: Path, tmp_path: Path) -> None:
    """20 W + 15 W a busy CPU, 2 % noise: within 5 %."""
    rng = np.random.default_rng(0)
    load = np.repeat(rng.uniform(0, 1, 60), 3)
    load[:12] = 0.0
    watts = (20 + 15 * 8 * load) * rng.normal(1, 0.02, 180)
    table = pd.DataFrame(
        {
            "timestamp_seconds": 1_795_269_600 + 5.0 * np.arange(180),
            "node": "n1",
            "interval_seconds": 5.0,
            "n_cpu": 8,
            "cpu_seconds": load * 8 * 5,
            "package_joules": watts * 5,
        }
    )
    table.to_csv(tmp_path / "linear.csv", index=False)
    (path,) = (path for path in NOTEBOOKS if path.name.startswith("01"))
    ask = "[[*key, value] for key, value in model.coefficients_['value'].items()]"
    ran = execute(path, output, ask, PODJOULE_RECORDING=str(tmp_path / "linear.csv"))
    found = {term: value for _, term, value in ran.answer}
    assert found == {"idle": pytest.approx(20, rel=0.05), "cpu_seconds": pytest.approx(15, rel=0.05)}


# 02


def test_02_says_how_far_off_both_models_are(executed: Run) -> None:
    ran = executed("02")
    measured = np.array(ran.answer["measured"])
    said = [sentence for sentence, _ in ran.figures if "which promises" in sentence]
    errors = []
    for sentence, predicted in zip(said, ran.answer["predicted"].values(), strict=True):
        errors.append(float(np.abs(np.array(predicted) - measured).mean()))
        rows, _, promised, mae, mean, _ = numbers(sentence)
        assert (rows, promised) == (ran.answer["later"], 90)
        assert mae == pytest.approx(errors[-1], rel=0.1)
        assert mean == pytest.approx(measured.mean(), rel=0.01)
    assert errors[1] > 4 * errors[0]


def test_02_says_how_often_the_interval_held(executed: Run) -> None:
    ran = executed("02")
    low, high = np.array(ran.answer["interval"])
    measured = np.array(ran.answer["measured"])
    held = 100 * np.mean((low <= measured) & (measured <= high))
    inside, rows, promised, *_ = numbers(figure(ran, "The interval held"))
    assert (rows, promised) == (ran.answer["later"], 90)
    assert inside == pytest.approx(held, abs=0.6)


def test_02_is_right_that_r2_compares_on_the_same_rows_alone(executed: Run) -> None:
    """Its R² falls on the busy rows, though in watts it is no further off."""
    all_rows, busy = (executed("02").answer["narrow"][name] for name in ("all later rows", "busy ones"))
    assert busy["r2"] < all_rows["r2"] - 0.1
    assert busy["mae_watts"] <= all_rows["mae_watts"]


def test_02_finds_in_the_residuals_which_model_lacks_something(executed: Run) -> None:
    good, bad = (
        sentence for sentence, _ in executed("02").figures if sentence.startswith("Half of the errors")
    )
    assert "none of these would make the model better" in good
    assert "there is something in it that the model does not know" in bad


def test_02_says_what_rows_and_features_bring(executed: Run) -> None:
    ran = executed("02")
    curve = {float(rows): error for rows, error in ran.answer["curve"].items()}
    first, last, from_error, to_error, _ = numbers(figure(ran, "rows the error on blocks held out"))
    assert (first, last) == (min(curve), max(curve))
    assert from_error == pytest.approx(curve[first], rel=0.05)
    assert to_error == pytest.approx(curve[last], rel=0.05)
    losses = ran.answer["losses"]
    said = figure(ran, "Shuffled, they add to the error")
    most = max(losses, key=lambda name: losses[name])
    assert said.startswith(f"Shuffled, they add to the error: {most} {losses[most]:.2g} W")


# 03


def joules(rows: list[list[Any]]) -> pd.Series:
    found = pd.Series({(namespace, workload): value for namespace, workload, value in rows})
    return found.rename_axis(["namespace", "workload"])


@pytest.mark.parametrize("zone", ["package", "dram"])
def test_03_is_the_truth_of_the_simulation(zone: str, executed: Run) -> None:
    """Every workload within 3 %, all of them within 0.5 %."""
    truth = pd.read_csv(RECORDING.with_name(TRUTH), index_col=["namespace", "workload"])[f"{zone}_joules"]
    found = joules(executed("03").answer[zone])
    assert set(found.index) == set(truth.index)
    assert (found / truth - 1).abs().max() < 0.03
    assert found.sum() == pytest.approx(truth.sum(), rel=0.005)


def test_03_says_how_far_off_it_is(executed: Run) -> None:
    ran = executed("03")
    truth = pd.read_csv(RECORDING.with_name(TRUTH), index_col=["namespace", "workload"])["package_joules"]
    errors = 100 * (joules(ran.answer["package"]) / truth - 1)
    sentences = [sentence for sentence, _ in ran.figures]
    share, total, within, *_ = numbers(sentences[0].partition(" used ")[2])
    assert total == pytest.approx(truth.sum(), rel=0.005)
    assert share == pytest.approx(100 * truth.max() / truth.sum(), abs=0.6)
    assert within == pytest.approx(errors.abs().max(), abs=0.06)
    by_counters, by_cpu_time = numbers(figure(ran, "How far off a workload's joules are"))
    assert by_counters == pytest.approx(ran.answer["by counters"], abs=0.06)
    assert by_cpu_time == pytest.approx(ran.answer["by CPU time"], abs=0.06)
    assert by_cpu_time > 20


def test_03_loses_no_energy_on_the_way(executed: Run) -> None:
    assert figure(executed("03"), "draws the most").endswith("what the meter shows, exactly.")


# 04


def test_04_says_what_moving_costs(executed: Run) -> None:
    ran = executed("04")
    said = [sentence for sentence, _ in ran.figures if "elsewhere" in sentence]
    for sentence, name in zip(said, ("moved", "specified"), strict=True):
        errors = pd.DataFrame(ran.answer[name])
        away = errors.where(~np.eye(len(errors), dtype=bool)).stack()
        least_home, most_home, least, most, median = numbers(sentence)
        assert least_home == pytest.approx(np.diag(errors).min(), abs=0.6)
        assert most_home == pytest.approx(np.diag(errors).max(), abs=0.6)
        assert (least, most) == (pytest.approx(away.min(), abs=0.6), pytest.approx(away.max(), abs=0.6))
        assert median == pytest.approx(away.median(), abs=0.6)


def test_04_is_right_about_what_helps(executed: Run) -> None:
    summary = pd.DataFrame(executed("04").answer["summary"])
    by_cpu, specified, two, own = (summary[name] for name in summary)
    assert specified.mean() > by_cpu.mean()  # no better than CPU by CPU,
    assert specified["AMD_Threadripper"] > 2 * by_cpu["AMD_Threadripper"]  # and there worse
    assert (two < by_cpu).all()
    assert (two < specified).all()
    assert (two < 1.5 * own).all()
    assert own["nx12"] > 25  # off by more than a quarter


# 05


def test_05_chooses_keeps_and_renews_as_it_says(executed: Run) -> None:
    told: Mapping[str, Any] = executed("05").answer
    assert {name: found["kind"] for name, found in told["kinds"].items()} == {
        "small": "linear",
        "large": "linear",
    }
    assert all(found["features"] is None for found in told["kinds"].values())
    assert told["wape"]["new"]["large"] < 0.8 * told["wape"]["old"]["large"]
    assert told["wape"]["new"]["small"] > 0.8 * told["wape"]["old"]["small"]
    assert [name.split("-")[0] for name in told["files"]] == ["large", "large", "small"]


def test_05_runs_on_the_fleet_that_its_command_makes() -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(fleet.TABLE), fleet.make())
    large = next(of for of in fleet.TYPES if of.name == "large")
    assert f"idles at {large.idle_watts[1] - large.idle_watts[0]:g} W more" in prose_of("05")
