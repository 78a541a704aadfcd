"""`podjoule models`: listed, shown and verified."""

from __future__ import annotations

import pytest

from estimator.model.file import list_models
from exporter.commands.cli import main
from tests.exporter.commands.mistakes import assert_one_line_and_2


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
        (["models", "show", "nothing"], ["nothing"]),
        (["models"], ["COMMAND"]),
    ],
)
def test_mistakes_are_one_line_and_2(argv, parts_of_message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert_one_line_and_2(argv, parts_of_message, capsys, tmp_path)
