"""When a row was: unix seconds, from whatever says so without a doubt."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

# Unix seconds reach 1e11 in the year 5138; a clock that counts thousandths has passed that since 1973.
_PER_SECOND = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
# A date without its year would be one of this year, and "04:00:05" or "now" one of today.
_ISO_YEAR, _YEAR = r"^\s*\d{4}", r"(?<!\d)\d{4}(?!\d)"


def unix_seconds(column: pd.Series) -> pd.Series:
    """Unix seconds as float64, NaN for what is no time.

    Taken are numbers, in seconds, or by their size in milli-, micro- or nanoseconds; dates and times of
    pandas and Arrow; and text in which day and month cannot be mistaken for each other, ISO 8601 above all.
    Times without a zone are in UTC.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        return _seconds(pd.to_datetime(column, utc=True))
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    if numbers.notna().any() or not column.notna().any():
        return _in_seconds(numbers)
    return _seconds(_dates(column))


def _in_seconds(numbers: pd.Series) -> pd.Series:
    usual = numbers.abs().median()
    return numbers / next((per for least, per in _PER_SECOND if usual >= least), 1.0)


def _seconds(dates: pd.Series) -> pd.Series:
    return (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)


def _dates(column: pd.Series) -> pd.Series:
    """Read with the month first and with the day first: where the two differ, nobody knows."""
    text = column.astype(str).where(column.notna())
    of_iso = text.where(text.str.contains(_ISO_YEAR, na=False))
    by_iso = pd.to_datetime(of_iso, errors="coerce", utc=True, format="ISO8601")
    if by_iso.notna().any():
        return by_iso
    of_a_year = text.where(text.str.contains(_YEAR, na=False))
    month_first, day_first = (_mixed(of_a_year, is_day_first) for is_day_first in (False, True))
    return month_first.where(month_first == day_first)


def _mixed(text: pd.Series, is_day_first: bool) -> Any:
    nothing = pd.Series(pd.NaT, index=text.index, dtype="datetime64[ns, UTC]")
    with warnings.catch_warnings():
        # The abbreviation of a time zone that dateutil does not know would be left out without a word.
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Parsing dates in")
        try:
            return pd.to_datetime(text, errors="coerce", utc=True, format="mixed", dayfirst=is_day_first)
        except (Warning, ValueError):
            return nothing
