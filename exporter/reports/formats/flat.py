"""The groups of a summary as a flat table: CSV and Parquet, one row a group."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any

from exporter.reports.expressions import LABEL
from exporter.reports.summary import Amount, Summary

_NOTHING = Amount(0.0, 0.0, 0.0)


def rows(summary: Summary) -> list[dict[str, Any]]:
    """One a group: its key, its sums, the sums of the span before (before_…), and its part of the whole."""
    return [
        {
            **{column(name): value for name, value in zip(summary.by, group.key, strict=True)},
            **asdict(group.amount),
            "active_joules": group.active_joules,
            "idle_share_joules": group.idle_share_joules,
            "part_ratio": group.amount.joules / summary.total.joules if summary.total.joules else 0.0,
            "currency": summary.currency,
            "before_joules": group.before.joules if group.before else None,
            "before_grams": group.before.grams if group.before else None,
        }
        for group in summary.groups
    ]


def csv_text(summary: Summary) -> str:
    """CSV with a head; empty for what nobody knows."""
    return csv_of(rows(summary), _columns(summary))


def csv_of(found: list[dict[str, Any]], columns: list[str]) -> str:
    """Rows as CSV, in so many columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def parquet_bytes(summary: Summary) -> bytes:
    """Parquet, of the same columns."""
    import pyarrow as pa
    from pyarrow import parquet

    texts = {*map(column, summary.by), "currency"}
    schema = pa.schema([(name, pa.string() if name in texts else pa.float64()) for name in _columns(summary)])
    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows(summary), schema), sink, compression="zstd")
    return sink.getvalue()


def column(dimension: str) -> str:
    """What a column of the key is called."""
    return f"label_{dimension.removeprefix(LABEL)}" if dimension.startswith(LABEL) else dimension


def _columns(summary: Summary) -> list[str]:
    return [
        *map(column, summary.by),
        *asdict(_NOTHING),
        *("active_joules", "idle_share_joules", "part_ratio", "currency", "before_joules", "before_grams"),
    ]
