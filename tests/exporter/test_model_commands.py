"""train, evaluate and models: what is printed, what is written, and how mistakes end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from estimator.model_file import list_models, load_model
from exporter.cli import main

NX12 = Path(__file__).parents[1] / "data" / "nx12_train.csv"
FIGURES = ["rows", "mae_watts", "mape_percent", "wape_percent", "bias_watts", "r2", "coverage_percent"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The first 70 % of the table in time, and the rest."""
    directory = tmp_path_factory.mktemp("parts")
    table = pd.read_csv(NX12)
    cut = round(0.7 * len(table))
    table[:cut].to_csv(directory / "earlier.csv", index=False)
    table[cut:].to_csv(directory / "later.csv", index=False)
    return directory / "earlier.csv", directory / "later.csv"


@pytest.fixture(scope="module")
def trained(parts, tmp_path_factory):
    output = tmp_path_factory.mktemp("model") / "mine.json"
    assert main(["train", "--input", str(parts[0]), "--zones", "package,dram", "--output", str(output)]) == 0
    return output


def test_train_then_evaluate_on_later_data(trained, parts, capsys):
    assert main(["evaluate", str(trained), "--input", str(parts[1]), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["zones"]) == ["dram", "package"]
    for zone, most in (("package", 10), ("dram", 5)):
        assert list(document["zones"][zone]) == FIGURES
        assert document["zones"][zone]["mae_watts"] <= most
    outside = document["outside_envelope"]
    assert outside["of"] == document["zones"]["package"]["rows"] == 462
    assert sum(count for _, _, count in outside["spans"]) == outside["rows"] > 200


def test_the_table_names_figures_and_rows_outside(trained, parts, capsys):
    assert main(["evaluate", str(trained), "--input", str(parts[1])]) == 0
    out = capsys.readouterr().out
    assert out.startswith("ZONE     ROWS   MAE W  MAPE %")
    assert "set aside: no row" in out
    assert "outside the envelope: 263 of 462 rows" in out


def test_what_was_trained_says_where_it_comes_from(trained, parts):
    model = load_model(trained)
    assert model.name == "mine"
    assert model.training["source"] == str(parts[0])
    assert model.machine.microarchitecture is None
    assert [path.name for path in trained.parent.iterdir()] == ["mine.json"]


def test_train_prints_the_splits_and_takes_kind_features_and_microarchitecture(parts, tmp_path, capsys):
    command = ["train", "--input", str(parts[0]), "--zones", "dram", "--kind", "linear", "--output"]
    more = ["--features", "cycles,cache_misses", "--microarchitecture", "Haswell"]
    assert main([*command, str(tmp_path / "m.json"), *more]) == 0
    out = capsys.readouterr().out
    assert "later_part       dram  linear" in out
    assert "time_blocked_cv  dram  linear" in out
    model = load_model(tmp_path / "m.json")
    assert sorted(model.features) == ["cache_misses", "cycles"]
    assert model.machine.microarchitecture == "Haswell"


def test_the_machine_is_told_where_the_table_is_its_own(parts, tmp_path):
    node = ["--kube.node-name", "nx12", "--host.procfs", str(tmp_path)]
    (tmp_path / "cpuinfo").write_text(
        "processor : 0\nvendor_id : GenuineIntel\ncpu family : 6\nmodel : 63\nstepping : 2\n"
    )
    command = ["train", "--input", str(parts[0]), "--zones", "dram", "--kind", "linear"]
    assert main([*command, "--output", str(tmp_path / "m.json"), *node]) == 0
    machine = load_model(tmp_path / "m.json").machine
    assert (machine.vendor, machine.family, machine.model, machine.microarchitecture) == (
        "GenuineIntel",
        6,
        63,
        "Haswell",
    )


def test_online_scores_the_calibration(capsys):
    assert main(["evaluate", "--online", "--input", str(NX12), "--format", "json"]) == 0
    zones = json.loads(capsys.readouterr().out)["zones"]
    assert list(zones["package"]) == FIGURES
    assert zones["package"]["mae_watts"] <= 4.5
    assert zones["dram"]["mae_watts"] <= 1.7


def test_models_are_listed_shown_and_verified(trained, tmp_path, capsys):
    assert main(["models", "list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed[1:]] == list(list_models())
    assert main(["models", "show", "bare-metal-counters"]) == 0
    assert main(["models", "show", str(trained)]) == 0
    shown = capsys.readouterr().out
    assert "# bare-metal-counters" in shown
    assert "# mine" in shown
    broken = tmp_path / "broken.json"
    broken.write_text(trained.read_text().replace('"share": 0.5', '"share": 0.6', 1))
    assert main(["models", "verify", str(trained)]) == 0
    assert main(["models", "verify", str(broken), str(trained), str(tmp_path / "none.json")]) == 1
    refused, ok, missing = capsys.readouterr().out.splitlines()[-3:]
    assert refused.startswith(f"refused  model {broken}: field sha256:")
    assert ok.startswith(f"ok       {trained}: mine, sha256 ")
    assert "cannot be read" in missing


@pytest.mark.parametrize(
    ("argv", "parts_of_message"),
    [
        (["train", "--input", "/none.csv", "--output", "m.json"], ["/none.csv", "cannot be read"]),
        (["train", "--input", str(NX12), "--zones", "core", "--output", "m"], ["--zones: core", "package"]),
        (["train", "--input", str(NX12), "--kind", "forest", "--output", "m"], ["forest", "linear"]),
        (["train", "--input", str(NX12)], ["--output"]),
        (["train", "--input", str(NX12), "--zones", "dram", "--output", "/none/m.json"], ["/none/m.json"]),
        (["evaluate", "--input", str(NX12)], ["no MODEL", "--online"]),
        (["evaluate", "x.json", "--online", "--input", str(NX12)], ["takes no MODEL"]),
        (["evaluate", "/none.json", "--input", str(NX12)], ["/none.json"]),
        (["models", "show", "nothing"], ["nothing"]),
        (["models"], ["COMMAND"]),
    ],
)
def test_mistakes_are_one_line_and_2(argv, parts_of_message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert all(part in err for part in parts_of_message), err
    assert not list(tmp_path.iterdir())


def test_without_the_extra_the_error_names_the_mend(capsys, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("estimator.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert main(["train", "--input", str(NX12), "--output", str(tmp_path / "m.json")]) == 2
    assert "pip install podjoule[train]" in capsys.readouterr().err


@pytest.mark.parametrize("modules", ["exporter.run, exporter.assembly", "exporter.cli, estimator.modelled"])
def test_the_exporter_imports_nothing_of_training(modules):
    heavy = {"sklearn", "pandas", "pyarrow", "scipy"}
    code = f"import sys, {modules}; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["http://127.0.0.1:9", "table.csv"], "one Prometheus, or files"),
        (["http://127.0.0.1:9", "--range", "soon"], "--range: found 'soon'"),
        (["http://127.0.0.1:9"], "Prometheus does not answer"),
    ],
)
def test_a_prometheus_is_an_input_and_what_is_wrong_with_it_is_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--output", str(tmp_path / "m.json"), "--input", *arguments]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
