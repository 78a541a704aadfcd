"""`podjoule evaluate`: scores as JSON and as a table, and how mistakes end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporter.commands.cli import main
from tests.exporter.commands.mistakes import assert_one_line_and_2

NX12 = Path(__file__).parents[2] / "data" / "nx12_train.csv"
FIGURES = ["rows", "mae_watts", "mape_percent", "wape_percent", "bias_watts", "r2", "coverage_percent"]


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


def test_online_scores_the_calibration(capsys):
    assert main(["evaluate", "--online", "--input", str(NX12), "--format", "json"]) == 0
    zones = json.loads(capsys.readouterr().out)["zones"]
    assert list(zones["package"]) == FIGURES
    assert zones["package"]["mae_watts"] <= 4.5
    assert zones["dram"]["mae_watts"] <= 1.7


@pytest.mark.parametrize(
    ("argv", "parts_of_message"),
    [
        (["evaluate", "--input", str(NX12)], ["no MODEL", "--online"]),
        (["evaluate", "x.json", "--online", "--input", str(NX12)], ["takes no MODEL"]),
        (["evaluate", "/none.json", "--input", str(NX12)], ["/none.json"]),
    ],
)
def test_mistakes_are_one_line_and_2(argv, parts_of_message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert_one_line_and_2(argv, parts_of_message, capsys, tmp_path)
