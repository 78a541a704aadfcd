"""Tables as other programs write them are read, or refused with the column, the row and the mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ebpf.errors import UsageError
from estimator.training.samples import clean_samples, read_samples


def in_iso(table: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(table["timestamp_seconds"], unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    "options",
    [
        {"sep": ";", "decimal": ","},
        {"sep": ";"},
        {"sep": "\t"},
        {"encoding": "utf-8-sig"},
    ],
)
def test_what_spreadsheets_write_is_read(
    table: pd.DataFrame, options: dict[str, Any], tmp_path: Path
) -> None:
    table.to_csv(tmp_path / "t.csv", index=False, **options)
    found = read_samples([tmp_path / "t.csv"])
    assert (len(found), found.set_aside) == (300, {})
    pd.testing.assert_frame_equal(found.frame, clean_samples(table).frame)


def test_two_files_may_write_time_in_two_ways(table: pd.DataFrame, tmp_path: Path) -> None:
    iso = table.assign(timestamp_seconds=in_iso(table))
    iso[:150].to_csv(tmp_path / "a.csv", index=False)
    milliseconds = table.assign(timestamp_seconds=table["timestamp_seconds"] * 1000)
    milliseconds[150:].to_csv(tmp_path / "b.csv", index=False)
    found = read_samples([tmp_path / "a.csv", tmp_path / "b.csv"])
    pd.testing.assert_frame_equal(found.frame, clean_samples(table).frame)


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        (
            "timestamp_seconds",
            "05/11/2026 04:00:00",
            "row 1: found '05/11/2026 04:00:00', wanted unix seconds",
        ),
        ("timestamp_seconds", "noon", "column timestamp_seconds, row 1: found 'noon', wanted unix seconds"),
        ("interval_seconds", "5s", "column interval_seconds, row 1: found '5s', wanted a number"),
        ("package_joules", "12,5", "column package_joules, row 1: found '12,5', wanted a number"),
        ("cycles", "1 200 000", "column cycles, row 1: .* in 300 of 300 rows"),
    ],
)
def test_a_column_that_holds_no_numbers_is_named(
    table: pd.DataFrame, column: str, cells: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        clean_samples(table.assign(**{column: cells}))


def test_a_table_without_rows_or_columns_says_so(table: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="has a head and no row"):
        clean_samples(table[:0])
    with pytest.raises(UsageError, match=r"no column node; its columns are .*interval_seconds"):
        clean_samples(table.drop(columns="node"))


def test_a_row_without_a_time_is_set_aside(table: pd.DataFrame) -> None:
    table.loc[7, "timestamp_seconds"] = None
    assert clean_samples(table).set_aside == {"no_time": 1}
