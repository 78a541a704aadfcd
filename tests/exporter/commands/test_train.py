"""`podjoule train`: what is written and printed, and how mistakes end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from estimator.model.file import load_model
from exporter.commands.cli import main
from tests.exporter.commands.mistakes import assert_one_line_and_2

NX12 = Path(__file__).parents[2] / "data" / "nx12_train.csv"


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


@pytest.mark.parametrize(
    ("argv", "parts_of_message"),
    [
        (["train", "--input", "/none.csv", "--output", "m.json"], ["/none.csv", "cannot be read"]),
        (["train", "--input", str(NX12), "--zones", "core", "--output", "m"], ["--zones: core", "package"]),
        (["train", "--input", str(NX12), "--kind", "forest", "--output", "m"], ["forest", "linear"]),
        (["train", "--input", str(NX12)], ["--output"]),
        (["train", "--input", str(NX12), "--zones", "dram", "--output", "/none/m.json"], ["/none/m.json"]),
    ],
)
def test_mistakes_are_one_line_and_2(argv, parts_of_message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert_one_line_and_2(argv, parts_of_message, capsys, tmp_path)


def test_without_the_extra_the_error_names_the_mend(capsys, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("estimator.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert main(["train", "--input", str(NX12), "--output", str(tmp_path / "m.json")]) == 2
    assert "pip install podjoule[train]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "modules",
    ["exporter.commands.run, exporter.tick.assembly", "exporter.commands.cli, estimator.model.modelled"],
)
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


def test_a_prometheus_is_asked_for_the_series_that_are_selected(
    parts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from estimator.training import prometheus_source
    from estimator.training.samples import read_samples

    asked = []
    monkeypatch.setattr(
        prometheus_source,
        "read_prometheus",
        lambda *arguments, **_: asked.append(arguments) or read_samples(parts[:1]),
    )
    selected = ["--selector", '{job="podjoule", cluster="a"}', "--kind", "linear", "--zones", "dram"]
    command = ["train", "--input", "http://127.0.0.1:9", "--output", str(tmp_path / "m.json"), *selected]
    assert main([*command, "--node", "nx12"]) == 0
    assert main([*command, "--node", "a/nx12"]) == 2
    assert asked[0][1].selector == 'job="podjoule", cluster="a"'
