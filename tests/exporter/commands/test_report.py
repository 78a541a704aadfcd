"""`podjoule report close` and `show`: what they print, and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporter.commands.cli import main
from exporter.reports.months import Span, Store
from tests.exporter.reports.made_up import Fleet, row, work, write_hours

# Long over, whenever this is run.
MONTH = Span("2025-03")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three hours of March 2025."""
    Fleet(workloads=2).write(tmp_path / "store", MONTH.from_seconds, 3)
    return tmp_path / "store"


def run(word: str, store: Path, *arguments: str) -> int:
    return main(["report", word, "--store", str(store), *arguments])


def test_a_month_is_closed_once_and_shown(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("2025-03", "--cluster", "prod")
    assert run("close", store, *arguments) == 1
    assert "741 hours of 2025-03 are missing" in capsys.readouterr().err
    assert run("close", store, *arguments, "--allow-missing") == 0
    said = capsys.readouterr().out
    assert said.startswith("prod 2025-03: closed, 48 rows, ")
    assert run("close", store, *arguments) == 1
    assert "is closed already" in capsys.readouterr().err
    assert run("show", store, "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert said.endswith(f"741 hours missing, sha256 {document['closed_sha256']}\n")
    assert document["title"] == "prod: 2025-03"


def test_who_writes_there_is_waited_for(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(str(store)).held("prod"):
        assert run("close", store, "2025-03", "--cluster", "prod", "--allow-missing") == 2
    assert "another podjoule report writes there" in capsys.readouterr().err
    assert run("close", store, "2025-03", "--cluster", "prod", "--allow-missing") == 0


def test_a_closed_file_that_was_changed_is_refused(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("close", store, "2025-03", "--cluster", "prod", "--allow-missing")
    file = store / "cluster=prod/month=2025-03/closed.parquet"
    file.write_bytes(file.read_bytes() + b" ")
    capsys.readouterr()
    assert run("show", store) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "closed.parquet: was changed after the month was closed" in said.err


def test_corrections_are_told_as_files_more(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("2025-03", "--cluster", "prod")
    run("close", store, *arguments, "--allow-missing")
    write_hours(tmp_path / "again", [work(MONTH.from_seconds, "a/x", 1.0, 1.0)])
    assert run("close", store, *arguments, "--correct", "--from", str(tmp_path / "again")) == 0
    assert "J in 3 files, 741 hours missing" in capsys.readouterr().out


def test_rows_that_do_not_add_up_to_the_nodes_end_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hour = MONTH.from_seconds
    write_hours(tmp_path, [work(hour, "a/x", 99.0, 1.0), row(hour, "difference", 1.0)])
    assert run("show", tmp_path) == 1
    said = capsys.readouterr()
    assert "(difference)" in said.out
    assert "differ from what the nodes counted by 1.0e-02, more than 1e-06" in said.err
    assert run("show", tmp_path, "--difference-bound", "0.011") == 0


def test_a_file_is_written_in_the_place_of_stdout(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("csv", "parquet", "focus"):
        file = tmp_path / f"report.{name}"
        assert run("show", store, "--format", name, "--output", str(file)) == 0
        assert file.stat().st_size > 500
    assert capsys.readouterr().out == ""


def test_embodied_carbon_is_that_of_the_span(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "machines.yaml").write_text("big: {kgCO2e: 876, lifetimeYears: 1, machines: 2}\n")
    assert run("show", store, "--embodied", str(tmp_path / "machines.yaml"), "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["embodied_grams"] == pytest.approx(2 * 100.0 * 744)


def test_a_prometheus_that_is_not_there_ends_with_1(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", store, "--sci", "up", "--prometheus", "http://127.0.0.1:9") == 1
    assert "--sci: http://127.0.0.1:9: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "arguments", "said"),
    [
        ("show", ["2025-13"], "wanted a month such as 2026-10, or a year, found '2025-13'"),
        ("show", ["2024"], "nothing of 2024 is there; there are prod: 2025-03"),
        ("show", ["--by", "pod"], "--by: wanted namespace"),
        ("show", ["--cluster", "nowhere"], "has no nowhere; it has prod"),
        ("show", ["2025-03", "--against", "2025-04"], "--against: wanted a span before 2025-03"),
        ("show", ["--format", "parquet"], "--output FILE"),
        ("show", ["--sci", "up"], "--sci and --prometheus go together"),
        ("show", ["--output", "/nowhere/report"], "--output: /nowhere/report cannot be written"),
        ("close", ["2025", "--cluster", "prod"], "months are closed one by one"),
        (
            "close",
            ["9000-01", "--cluster", "prod"],
            "9000-01 is not over: it can be closed from 9000-02-01T00:10Z on",
        ),
        (
            "close",
            ["2025-02", "--cluster", "prod"],
            "no hours of 2025-02 are there; there are months: 2025-03",
        ),
        ("close", ["2025-03", "--cluster", "prod", "--correct"], "--correct and --from go together"),
    ],
)
def test_wrong_usage_is_told_with_the_mend(
    word: str, arguments: list[str], said: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(word, store, *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_scheme_that_nobody_serves_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "show", "--store", "nosuch://host/path"]) == 2
    assert "--store nosuch://host/path: cannot be opened: Protocol not known" in capsys.readouterr().err


def test_a_file_that_was_cut_is_told_without_a_traceback(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hour = next(store.rglob("hour=*.parquet"))
    hour.write_bytes(hour.read_bytes()[:200])
    assert run("show", store) == 1
    assert "files of rows cannot be read" in capsys.readouterr().err


def test_a_store_that_lists_nobody_is_told_without_a_traceback(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Store, "clusters", refused)
    assert run("show", store) == 1
    assert f"--store {store}: Permission denied" in capsys.readouterr().err
