"""A fleet's recordings, reduced: sums that hold what the rows held, whatever runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ebpf.errors import UsageError
from exporter.commands.cli import main
from exporter.reports.engine import opened
from exporter.reports.place import open_root
from exporter.reports.recordings import AMOUNTS, read_reduced

T0 = 1_760_000_040.0  # a full minute
COLUMNS = ("cpu_seconds", "cycles", "instructions", "package_joules", "dram_joules")


def recording(node: str, n_cpu: int = 8, n_rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """Rows of 5 s, the last of which ends at T0 + 5 · n_rows."""
    rng = np.random.default_rng(seed)
    cpu = rng.uniform(0.0, 5.0 * n_cpu, n_rows)
    watts = 30 + 8 * cpu / 5
    return pd.DataFrame(
        {
            "timestamp_seconds": T0 + 5.0 * np.arange(1, n_rows + 1),
            "node": node,
            "interval_seconds": 5.0,
            "n_cpu": n_cpu,
            "cpu_seconds": cpu,
            "cycles": 2.5e9 * cpu,
            "instructions": 3e9 * cpu,
            "package_joules": 5 * watts,
            "dram_joules": 25.0 + cpu,
        }
    )


def written(folder: Path, **frames: pd.DataFrame) -> list[Path]:
    files = [folder / f"{name}.parquet" for name in frames]
    for file, frame in zip(files, frames.values(), strict=True):
        frame.to_parquet(file)
    return files


def reduce_(files: list[Path], seconds: float = 60.0, engine: str = "duckdb") -> pd.DataFrame:
    with opened(engine, open_root("/")[0]) as opened_engine:
        return read_reduced(opened_engine, files, seconds).to_pandas()


def test_sums_are_those_of_pandas(tmp_path: Path) -> None:
    a, b = recording("a"), recording("b", seed=1).drop(columns="dram_joules")
    found = reduce_(written(tmp_path, a=a, b=b))
    assert list(found["node"]) == ["a"] * 20 + ["b"] * 20
    for node, frame in (("a", a), ("b", b)):
        rows = found[found["node"] == node]
        span = np.ceil(frame["timestamp_seconds"] / 60 - 1e-9)
        for column in COLUMNS:
            if column in frame:
                wanted = frame[column].groupby(span).sum()
                np.testing.assert_allclose(rows[column], wanted, rtol=1e-12)
    assert (found["interval_seconds"] == 60.0).all()
    assert (found["timestamp_seconds"] % 60 == 0).all()
    assert found[found["node"] == "b"]["dram_joules"].isna().all()
    assert found["cache_misses"].isna().all()


def test_what_one_row_does_not_know_the_sum_does_not_know(tmp_path: Path) -> None:
    frame = recording("a", n_rows=24)
    frame.loc[3, "instructions"] = np.nan  # what pandas writes as null
    first, second = reduce_(written(tmp_path, a=frame)).to_dict("records")
    assert np.isnan(first["instructions"])
    assert second["instructions"] == pytest.approx(frame["instructions"][12:].sum())
    assert first["package_joules"] == pytest.approx(frame["package_joules"][:12].sum())


@pytest.mark.parametrize(
    "impossible",
    [
        {"package_joules": 0.0},
        {"package_joules": -3.0},
        {"package_joules": np.inf},
        {"cpu_seconds": 41.0},
        {"instructions": -1.0},
        {"interval_seconds": 0.0},
    ],
    ids=str,
)
def test_rows_that_cannot_be_are_in_no_sum_and_counted(tmp_path: Path, impossible: dict[str, float]) -> None:
    frame = recording("a")
    without = reduce_(written(tmp_path, a=frame.drop(index=7)))
    for column, value in impossible.items():
        frame.loc[7, column] = value
    found = reduce_(written(tmp_path, b=frame))
    assert found["n_impossible"].sum() == 1
    pd.testing.assert_frame_equal(found[[*AMOUNTS]], without[[*AMOUNTS]], rtol=1e-12)


def test_a_machine_that_grew_is_two(tmp_path: Path) -> None:
    found = reduce_(written(tmp_path, a=recording("a", 8, 6), b=recording("a", 16, 6)))
    assert sorted(found["n_cpu"]) == [8, 16]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pd.DataFrame({"node": ["a"]}), "no column interval_seconds, n_cpu, timestamp_seconds"),
        (recording("a").astype({"timestamp_seconds": "datetime64[s]"}), "wanted unix seconds"),
    ],
)
def test_a_table_that_is_no_recording_is_refused(tmp_path: Path, content: pd.DataFrame, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        reduce_(written(tmp_path, a=content))


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("node,n_cpu\n")
    with pytest.raises(UsageError, match=r"a\.parquet: only Parquet can be reduced"):
        reduce_([tmp_path / "a.parquet"])


def test_a_model_is_trained_on_a_fleet_of_alike_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """12 rows become one; the line it learns is the one that the machines have."""
    files = written(tmp_path, **{f"n{i}": recording(f"n{i}", n_rows=1440, seed=i) for i in range(3)})
    command = ["train", "--input", *map(str, files), "--zones", "package", "--kind", "linear"]
    output = tmp_path / "fleet.json"
    assert main([*command, "--reduce", "1m", "--output", str(output)]) == 0
    assert "linear" in capsys.readouterr().out
    from estimator.model.file import load_model

    model = load_model(output)
    assert "summed to 60 s" in model.training["source"]
    watts = model.zones["package"].predict(
        {"cpu_seconds": 240.0, "cycles": 6e11, "instructions": 7.2e11}, 8, 60.0
    )
    assert watts.joules / 60 == pytest.approx(30 + 8 * 4, rel=0.02)


def test_a_prometheus_is_not_reduced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "train",
        "--input",
        "http://127.0.0.1:9",
        "--reduce",
        "1m",
        "--output",
        str(tmp_path / "m.json"),
    ]
    assert main(command) == 2
    assert "is of recordings" in capsys.readouterr().err
