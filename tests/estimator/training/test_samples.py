"""What cannot be is set aside and counted; what was not measured is never taken for 0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ebpf.errors import UsageError
from estimator.training.samples import clean_samples, read_samples


def test_a_sound_table_keeps_every_row(table: pd.DataFrame) -> None:
    samples = clean_samples(table)
    assert (len(samples), samples.set_aside) == (300, {})
    assert samples.features == ("cpu_seconds", "cycles", "instructions", "cache_misses")
    assert samples.zones == ("package",)
    assert samples.watts("package").min() >= 10


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("package_joules", 0.0, "zero_energy"),
        ("package_joules", -3.0, "zero_energy"),
        ("package_joules", 45_000.0, "power_outlier"),
        ("package_joules", np.inf, "not_a_number"),
        ("package_joules", "broken", "not_a_number"),
        ("interval_seconds", 0.0, "no_interval"),
        ("interval_seconds", np.nan, "no_interval"),
        ("n_cpu", 0, "no_interval"),
        ("cycles", -1.0, "negative"),
        ("cycles", 4 * 5.0 * 7e9, "cycles_over_clock"),
        ("cpu_seconds", 20.5, "cpu_over_capacity"),
        ("cache_misses", 4 * 5.0 * 2e9, "cache_misses_over_most"),
        ("interval_seconds", 60.0, "gap"),
        ("timestamp_seconds", 1_700_000_000 + 5 * 7 - 4.0, "overlap"),
    ],
)
def test_a_row_that_cannot_be_is_set_aside_by_reason(
    table: pd.DataFrame, column: str, value: object, reason: str
) -> None:
    table[column] = table[column].astype(object)
    table.loc[7, column] = value
    samples = clean_samples(table)
    assert samples.set_aside == {reason: 1}
    assert len(samples) == 299


def test_an_empty_cell_is_not_measured_and_stays(table: pd.DataFrame) -> None:
    table.loc[3, ["package_joules", "cycles"]] = np.nan
    samples = clean_samples(table)
    assert (len(samples), samples.set_aside) == (300, {})
    assert np.isnan(samples.watts("package")[3])


def test_a_zone_that_never_shows_energy_is_not_measured(table: pd.DataFrame) -> None:
    table["uncore_joules"] = 0.0
    table["dram_joules"] = np.nan
    assert clean_samples(table).zones == ("package",)


def test_an_integrated_gpu_may_sleep(table: pd.DataFrame) -> None:
    table["uncore_joules"] = 1.0
    table.loc[:9, "uncore_joules"] = 0.0
    assert clean_samples(table).set_aside == {}


def test_nodes_are_told_apart_and_rows_put_in_order(table: pd.DataFrame) -> None:
    both = pd.concat([table, table.assign(node="n0")]).sample(frac=1, random_state=0)
    samples = clean_samples(both)
    assert (len(samples), samples.set_aside) == (600, {})
    assert list(samples.frame["node"].unique()) == ["n0", "n1"]
    assert (samples.frame.groupby("node")["timestamp_seconds"].diff().dropna() > 0).all()


def test_csv_parquet_and_a_directory_read_the_same(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "recording").mkdir()
    table[:150].to_parquet(tmp_path / "recording" / "samples-2026-11-21T14Z.parquet")
    table[150:].to_parquet(tmp_path / "recording" / "samples-2026-11-21T15Z.parquet")
    table.assign(cgroup="/a").to_parquet(tmp_path / "recording" / "workloads-2026-11-21T14Z.parquet")
    csv, recording = (read_samples([tmp_path / name]) for name in ("t.csv", "recording"))
    pd.testing.assert_frame_equal(csv.frame, recording.frame)
    assert (len(csv.sha256), len(recording.sha256)) == (64, 64)


def empty_directory(path: Path) -> Path:
    return path


def no_file(path: Path) -> Path:
    return path / "none.csv"


def no_parquet(path: Path) -> Path:
    (path / "t.parquet").write_text("no")
    return path / "t.parquet"


def no_columns(path: Path) -> Path:
    (path / "t.csv").write_text("timestamp_seconds,node\n1,a\n")
    return path / "t.csv"


def no_content(path: Path) -> Path:
    (path / "t.csv").write_text("")
    return path / "t.csv"


@pytest.mark.parametrize("make", [empty_directory, no_file, no_parquet, no_columns, no_content])
def test_what_is_no_table_is_refused_by_name(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(UsageError, match=str(path)):
        read_samples([path])
