"""A samples table from wherever it is, as a data frame that knows its units."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from os import PathLike, fspath
from pathlib import Path
from typing import TypeAlias

import durationpy
import numpy as np
import pandas as pd

from estimator.errors import ArgumentInvalid
from estimator.features import PREDICTORS
from estimator.training.samples import Samples, clean_samples
from estimator.training.samples import read_samples as read_files

Source: TypeAlias = str | PathLike[str] | pd.DataFrame | Sequence[str | PathLike[str]]
TimeRange: TypeAlias = str | float | timedelta | tuple[datetime | float, datetime | float]
_DEFAULT_RANGE = "24h"
_UNITS = {"timestamp_seconds": "s", "interval_seconds": "s", "n_cpu": "1"}


def read_samples(
    source: Source,
    *,
    range: TimeRange | None = None,  # noqa: A002
    selector: str = "",
    least_rows: int = 0,
) -> pd.DataFrame:
    """Read a samples table: the rows that can be, in the order of time, node after node.

    source: a CSV or Parquet file, a recording's directory, several of them, the http(s) address of a
    Prometheus that scrapes podjoule, or a DataFrame. range: of a Prometheus, how far back it is asked, such
    as "24h" (the default), a timedelta or seconds, or (start, end) as datetimes or unix seconds. selector:
    label matchers that choose among a Prometheus's series. least_rows: how many are needed at least, so that
    a range that cannot hold them is refused before it is read.

    What each column holds stands in docs/samples.md. `.attrs`: "units" by column; "set_aside", the rows left
    out by reason; "source", and "sha256" of what was read. Raises SamplesInvalid for what is no samples
    table, ArgumentInvalid for arguments that do not fit each other.
    """
    if isinstance(source, pd.DataFrame):
        return as_frame(samples_of(source))
    if range is not None and not any(map(_is_server, _listed(source))):
        raise ArgumentInvalid("range", "it is of a Prometheus; choose rows of a table by their times")
    return as_frame(
        read_table(source, span=range, selector=selector, least_rows=least_rows, argument="source")
    )


def read_table(
    source: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    argument: str,
    span: TimeRange | None = None,
    selector: str = "",
    least_rows: int = 0,
) -> Samples:
    """The rows of files, or of one Prometheus; argument: what errors call the source. See read_samples."""
    names = _listed(source)
    servers = [str(name) for name in names if _is_server(name)]
    if not names or (servers and len(names) > 1):
        found = ", ".join(map(str, names)) or "nothing"
        raise ArgumentInvalid(argument, f"found {found}; one Prometheus, or files; not both, and not two")
    if not servers:
        return read_files([Path(fspath(name)) for name in names])
    from estimator.training.prometheus_source import Range, read_prometheus

    start, end = _bounds(_DEFAULT_RANGE if span is None else span)
    wanted = Range(start, end, selector=selector.strip().strip("{}"))
    return read_prometheus(servers[0], wanted, least_rows=least_rows)


def _listed(source: str | PathLike[str] | Sequence[str | PathLike[str]]) -> list[str | PathLike[str]]:
    return [source] if isinstance(source, str | PathLike) else list(source)


def _is_server(name: str | PathLike[str]) -> bool:
    return str(name).startswith(("http://", "https://"))


def samples_of(frame: pd.DataFrame) -> Samples:
    """The usable rows of a frame, with what its `.attrs` say of where it is from."""
    content = _content_sha256(frame)
    told = frame.attrs if frame.attrs.get("content_sha256") == content else {}
    samples = clean_samples(
        frame, str(frame.attrs.get("source", "DataFrame")), str(told.get("sha256") or content)
    )
    before: Mapping[str, int] = told.get("set_aside", {})
    reasons = dict.fromkeys((*before, *samples.set_aside))
    counts = {reason: before.get(reason, 0) + samples.set_aside.get(reason, 0) for reason in reasons}
    return replace(samples, set_aside=counts)


def as_frame(samples: Samples) -> pd.DataFrame:
    """The rows, with their units and where they are from in `.attrs`."""
    frame = samples.frame.copy()
    frame.attrs = {
        "units": {name: unit_of(str(name)) for name in frame},
        "set_aside": dict(samples.set_aside),
        "source": samples.source,
        "sha256": samples.sha256,
        "content_sha256": _content_sha256(frame),
    }
    return frame


def unit_of(column: str) -> str:
    """The unit of a column; empty for what has none."""
    if column.endswith("_joules"):
        return "J"
    return PREDICTORS[column].unit if column in PREDICTORS else _UNITS.get(column, "")


def _content_sha256(frame: pd.DataFrame) -> str:
    """By which it is known whether a frame is still all of what was read."""
    plain = frame.astype({name: str for name in frame if name == "node"})
    rows = pd.util.hash_pandas_object(plain, index=False)
    return hashlib.sha256(np.ascontiguousarray(rows.to_numpy()).tobytes()).hexdigest()


def _bounds(span: TimeRange) -> tuple[float, float]:
    """Unix seconds."""
    if isinstance(span, tuple):
        start, end = (at.timestamp() if isinstance(at, datetime) else float(at) for at in span)
    else:
        end = time.time()
        start = end - _seconds(span)
    if not start < end:
        raise ArgumentInvalid("range", f"found {span}; wanted a span that ends after it has begun")
    return start, end


def _seconds(span: str | float | timedelta) -> float:
    if isinstance(span, timedelta):
        return span.total_seconds()
    if not isinstance(span, str):
        return float(span)
    try:
        return float(durationpy.from_str(span).total_seconds())
    except durationpy.DurationError as error:
        raise ArgumentInvalid("range", f"found {span!r}; wanted a duration such as 90m or 24h") from error
