"""Files of samples tables as data frames whose columns are numbers, or a word on why they cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from estimator.errors import SamplesInvalid
from estimator.features import PREDICTORS
from estimator.meters.port import ZONES
from estimator.training.timestamps import unix_seconds

REQUIRED = ("timestamp_seconds", "node", "interval_seconds", "n_cpu")
# What spreadsheets write where the comma is the decimal point, and what else ends in .csv.
_SEPARATORS = (";", "\t", "|")
# A column that holds so few numbers is not broken here and there: it is written in another way.
_LEAST_READABLE = 0.5


def files_of(path: Path) -> list[Path]:
    """The files of a directory: a recording's node tables, or else all its tables."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("samples*.parquet")) or sorted([*path.glob("*.parquet"), *path.glob("*.csv")])
    if not found:
        raise SamplesInvalid(f"table {path}: wanted CSV or Parquet files, found none; record some first")
    return found


def read_table(path: Path) -> pd.DataFrame:
    """A file's rows as readable() gives them. Raises SamplesInvalid, naming the file and what is wrong."""
    return readable(read_file(path), str(path))


def read_file(path: Path) -> pd.DataFrame:
    """A file's rows as they stand there. Raises SamplesInvalid where it is no table."""
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's errors are ValueErrors or OSErrors
        reason = " ".join(str(error).split())
        raise SamplesInvalid(
            f"table {path} cannot be read: {reason}; give a CSV or Parquet samples table"
        ) from error


def readable(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The columns of a samples table: numbers as float64, node as text; NaN for what is no number.

    Raises SamplesInvalid where a column lacks, where there is no row, and where a column's cells are for the
    most part written as no number is.
    """
    _require(frame, source)
    names = numeric_columns(frame)
    table = frame[["node"]].astype(str)
    for name in names:
        table[name] = _numbers(frame[name], source)
    return table


def numeric_columns(frame: pd.DataFrame) -> list[str]:
    """Those of a samples table that there are, in its order."""
    joules = [f"{zone}_joules" for zone in ZONES]
    wanted = ("interval_seconds", "timestamp_seconds", "n_cpu", *joules, *PREDICTORS)
    return [name for name in wanted if name in frame]


def _read_csv(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path)
    header = str(frame.columns[0]) if len(frame.columns) == 1 else ""
    separator = next((mark for mark in _SEPARATORS if mark in header), None)
    if separator is None:
        return frame
    points, commas = (pd.read_csv(path, sep=separator, decimal=mark) for mark in ".,")
    return max(points, commas, key=lambda one: len(one.select_dtypes("number").columns))


def _require(frame: pd.DataFrame, source: str) -> None:
    missing = [name for name in REQUIRED if name not in frame]
    if missing:
        found = ", ".join(map(str, frame.columns)) or "none"
        raise SamplesInvalid(
            f"table {source}: no column {', '.join(missing)}; its columns are {found}; a samples table has "
            f"{', '.join(REQUIRED)}, some of {', '.join(PREDICTORS)}, and joules such as package_joules: "
            "see docs/samples.md"
        )
    if not any(name in frame for name in PREDICTORS):
        raise SamplesInvalid(
            f"table {source}: no feature among {', '.join(PREDICTORS)}; nothing to predict from"
        )
    if frame.empty:
        raise SamplesInvalid(f"table {source}: has a head and no row; record some first")


def _numbers(column: pd.Series, source: str) -> pd.Series:
    is_time = column.name == "timestamp_seconds"
    numbers = unix_seconds(column) if is_time else pd.to_numeric(column, errors="coerce").astype(np.float64)
    unreadable = np.flatnonzero((numbers.isna() & column.notna()).to_numpy())
    if len(unreadable) > (1 - _LEAST_READABLE) * int(column.notna().sum()):
        raise SamplesInvalid(_not_numbers(column, unreadable, source, is_time))
    # What is written there and is no number is infinite, as no measurement is: it is not "not measured".
    return numbers.where(numbers.notna() | column.isna(), np.inf)


def _not_numbers(column: pd.Series, unreadable: npt.NDArray[np.intp], source: str, is_time: bool) -> str:
    first = int(unreadable[0])
    wanted = (
        "unix seconds, or a date and time as 2026-11-21T04:00:05Z"
        if is_time
        else "a number, with a point and without a unit"
    )
    return (
        f"table {source}: column {column.name}, row {first + 1}: found {str(column.iloc[first])[:40]!r}, "
        f"wanted {wanted}; so it is in {len(unreadable)} of {len(column)} rows"
    )
