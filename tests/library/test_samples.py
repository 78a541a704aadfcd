"""Samples tables: read from anything, and what is wrong with one is said before it teaches."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import podjoule
from estimator.library.reading import samples_of
from estimator.model.file import render_model
from exporter.commands.cli import main
from tests.library.conftest import linear_meter

ROOT = Path(__file__).parents[2]


def found(table: pd.DataFrame, **machine: float) -> list[tuple[int | None, str, str]]:
    return [(each.row, each.column, each.what) for each in podjoule.check_samples(table, machine)]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_paths_and_strings_and_frames_give_the_same_rows_with_units(
    table: pd.DataFrame, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"t.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    read = podjoule.read_samples(path)
    for other in (
        podjoule.read_samples(str(path)),
        podjoule.read_samples([path]),
        podjoule.read_samples(table),
    ):
        pd.testing.assert_frame_equal(read, other, check_like=True)
    assert read.attrs["units"]["package_joules"] == "J"
    assert read.attrs["units"]["cpu_seconds"] == "s"


def test_a_range_is_of_a_prometheus(tmp_path: Path) -> None:
    with pytest.raises(podjoule.ArgumentInvalid, match=r"^range: it is of a Prometheus"):
        podjoule.read_samples(tmp_path / "t.csv", range="5m")
    for span in ("tomorrow", timedelta(0), (5.0, 4.0)):
        with pytest.raises(podjoule.ArgumentInvalid, match=r"^range: "):
            podjoule.read_samples("http://127.0.0.1:9", range=span)


def test_a_good_table_has_nothing_wrong(table: pd.DataFrame) -> None:
    assert found(table) == []
    assert found(table, n_cpu=8, tdp_watts=165.0) == []


def test_times_in_iso_8601_are_read(table: pd.DataFrame, model: podjoule.PowerModel) -> None:
    times = pd.to_datetime(table["timestamp_seconds"], unit="s", utc=True)
    written = table.assign(timestamp_seconds=times.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert found(written) == []
    again = podjoule.PowerModel(kind="linear").fit(written)
    assert again.predict(table) == pytest.approx(model.predict(table))


@pytest.mark.parametrize(
    ("spoil", "column", "what"),
    [
        (lambda t: t.assign(package_joules=t["package_joules"] * 1e6), "package_joules", "cannot be joules"),
        (lambda t: t.assign(package_joules=t["package_joules"].cumsum()), "package_joules", "never falls"),
        (lambda t: t.assign(cpu_seconds=t["cpu_seconds"].cumsum()), "cpu_seconds", "never falls"),
        (lambda t: t.assign(cpu_seconds=1.0), "cpu_seconds", "in every row"),
        (lambda t: t.assign(cycles=np.nan), "cycles", "no row holds it"),
        (lambda t: pd.concat([t, t.assign(node="n2", n_cpu=2)]), "node", "2 machines: n1 with 8 CPUs"),
        (lambda t: t.drop(range(40, 90)), "timestamp_seconds", "1 holes longer than 3 rows, of 255 s"),
        (lambda t: t.drop(columns="package_joules"), "", "no energy"),
        (lambda t: t.drop(columns="n_cpu"), "", "no column n_cpu"),
    ],
)
def test_what_is_wrong_as_a_whole_is_said(table, spoil, column: str, what: str) -> None:
    assert any(
        (row is None or "holes" in text) and at == column and what in text
        for row, at, text in found(spoil(table))
    )


def test_what_is_wrong_in_a_row_is_said_with_its_number(table: pd.DataFrame) -> None:
    table = table.copy()
    table.loc[10, "package_joules"] = 0.0
    table.loc[20, "cpu_seconds"] = 100.0
    table.loc[30, "package_joules"] *= 1000
    assert [(row, column) for row, column, _ in found(table)] == [(11, ""), (21, "cpu_seconds"), (31, "")]


def test_a_machine_says_which_watts_it_cannot_draw(table: pd.DataFrame) -> None:
    assert "draws 50 W at most" in found(table, tdp_watts=40.0)[0][2]
    assert "the machine 4" in found(table, n_cpu=4)[0][2]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda t: t.assign(package_joules=t["package_joules"] * 1e6),
            "it may be in µJ: multiply it by 1e-0",
        ),
        (lambda t: t.assign(package_joules=t["package_joules"].cumsum()), "readings of a counter"),
    ],
)
def test_microjoules_and_sums_teach_nothing(table: pd.DataFrame, spoil, message: str) -> None:
    with pytest.raises(podjoule.SamplesInvalid, match=message):
        podjoule.PowerModel(kind="linear").fit(spoil(table))


def test_the_command_says_the_same_in_a_line_each(
    table: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    table.to_csv(path, index=False)
    assert main(["samples", "check", str(path)]) == 0
    assert capsys.readouterr().out == "ok: nothing is wrong with it\n"
    table = table.copy()
    table.loc[10:16, "package_joules"] = 0.0
    table.assign(package_joules=table["package_joules"] * 1e6).to_csv(path, index=False)
    assert main(["samples", "check", str(path)]) == 1
    out = capsys.readouterr().out
    assert "wrong     column package_joules: " in out
    assert "rows 11, 12, 13, 14, 15 and 2 more: no energy" in out
    assert main(["samples", "check", str(path), "--format", "json"]) == 1


def test_too_few_rows_are_counted_as_whoever_gives_them_counts(table: pd.DataFrame) -> None:
    short = table[:80].copy()
    short.loc[:4, "package_joules"] = 0.0
    message = (
        r"75 rows of 80 \(5 zero_energy\) can be used for package, 100 are needed: record 3 minutes more"
    )
    with pytest.raises(podjoule.SamplesInvalid, match=message):
        podjoule.PowerModel().fit(short)
    assert podjoule.PowerModel(kind="linear").fit(table[:100]).zones_ == ("package",)


def test_what_more_would_help_is_said() -> None:
    table = linear_meter()
    table = table[table["cpu_seconds"].between(10, 22)]
    model = podjoule.PowerModel(kind="linear", least_rows=20).fit(table)
    advice = "\n".join(model.advice_)
    assert all(part in advice for part in ("no idle rows", "no full load", "hardly varies", "no cycles"))
    table = linear_meter().assign(
        cycles=lambda t: 3e9 * t["cpu_seconds"], instructions=lambda t: 1e9 * t["cpu_seconds"]
    )
    (advice,) = podjoule.PowerModel(kind="linear").fit(table).advice_
    assert "one kind of load: cycles, instructions" in advice


def test_a_file_of_megawatts_is_refused_by_verify(
    model: podjoule.PowerModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {name: of for name, of in model.content_.items() if name != "sha256"}
    zone = content["zones"]["package"]
    spoilt = {**zone, "idle_watts": zone["idle_watts"] * 1e6}
    (tmp_path / "m.json").write_text(render_model({**content, "zones": {"package": spoilt}}))
    assert main(["models", "verify", str(tmp_path / "m.json")]) == 1
    assert "zone package: 2.5" in (out := capsys.readouterr().out)
    assert "W a CPU is more than any draws" in out


def test_rows_that_were_changed_are_no_longer_those_of_the_file(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "t.csv", index=False)
    read = podjoule.read_samples(tmp_path / "t.csv")
    assert samples_of(read).sha256 == read.attrs["sha256"]
    assert samples_of(read.assign(package_joules=1.0)).sha256 != read.attrs["sha256"]


def test_without_the_extra_the_mend_is_named() -> None:
    program = "import sys; sys.modules['sklearn'] = None; import podjoule"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert "import podjoule needs sklearn, which is not installed; pip install podjoule[train]" in done.stderr
