"""A time is taken however it is written, unless it can be read in two ways."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from estimator.training.timestamps import unix_seconds

AT = pd.Series(1_795_233_600.0 + 5 * np.arange(3))
TIMES = pd.to_datetime(AT, unit="s", utc=True)
DENVER = timezone(timedelta(hours=-7))


@pytest.mark.parametrize(
    "write",
    [
        lambda: AT,
        lambda: AT.astype(int),
        lambda: AT.map("{:.1f}".format),
        lambda: AT * 1e3,
        lambda: (AT * 1e6).astype(np.int64),
        lambda: (AT * 1e9).astype(np.int64),
        lambda: TIMES,
        lambda: TIMES.dt.tz_localize(None),
        lambda: TIMES.dt.tz_convert("Asia/Tokyo"),
        lambda: TIMES.astype("datetime64[ms, UTC]"),
        lambda: TIMES.astype("timestamp[us, tz=UTC][pyarrow]"),
        lambda: pd.Series([datetime.fromtimestamp(at, DENVER) for at in AT], dtype=object),
        lambda: TIMES.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda: TIMES.dt.strftime("%Y-%m-%d %H:%M:%S.%f"),
        lambda: TIMES.dt.strftime("%Y%m%dT%H%M%S+0000"),
        lambda: TIMES.dt.tz_convert(DENVER).dt.strftime("%Y-%m-%dT%H:%M:%S%z"),
        lambda: TIMES.dt.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        lambda: TIMES.dt.strftime("%m/%d/%Y %I:%M:%S %p UTC"),
    ],
)
def test_every_form_is_the_same_time(write: Callable[[], pd.Series]) -> None:
    assert unix_seconds(write()).tolist() == AT.tolist()


@pytest.mark.parametrize(
    "text", ["05/11/2026 04:00:00", "04:00:05", "today", "5 Nov", "4:00:05 XYZ 2026-11-21"]
)
def test_what_can_be_read_in_two_ways_is_no_time(text: str) -> None:
    assert unix_seconds(pd.Series([text] * 3)).isna().all()


def test_a_relative_clock_stays_as_it_is() -> None:
    assert unix_seconds(pd.Series([0, 5, 10])).tolist() == [0.0, 5.0, 10.0]


def test_one_broken_cell_costs_its_row_alone() -> None:
    assert unix_seconds(pd.Series([1.7e9, "broken", None], dtype=object)).isna().tolist() == [
        False,
        True,
        True,
    ]
    assert unix_seconds(pd.Series(["2026-11-21T04:00:00Z", "broken"])).isna().tolist() == [False, True]
