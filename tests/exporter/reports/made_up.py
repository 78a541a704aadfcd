"""Accounts of a fleet that never was: hours of rows that add up, written as `podjoule report collect` lays
them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from exporter.reports.months import hour_name
from exporter.reports.options import Options
from exporter.reports.rows import KEY, schema

MEASURED, MODEL = "measured:rapl", f"model:xeon@{'ab' * 32}"
LONG_AGO = {"2026-08": 1785542400, "2026-09": 1788220800, "2026-10": 1790812800}
"""Unix time of months' begins."""
NONE: dict[str, Any] = dict(  # noqa: C408 - columns as they are called
    node_group="",
    namespace="",
    workload_kind="",
    workload="",
    labels=[],
    detail="",
    late=False,
    grams=None,
    market_grams=None,
    cost=None,
    currency="",
    cpu_seconds=None,
    requested_cpu_seconds=None,
    pods=0,
    source=MEASURED,
    covered_seconds=3600.0,
)


def row(hour: int, kind: str, joules: float, **rest: Any) -> dict[str, Any]:
    """One row, of which a test says what it is about; its bounds are its joules."""
    bounds = {"low_joules": joules, "high_joules": joules}
    return {**NONE, "hour_seconds": hour, "kind": kind, "joules": joules, **bounds, **rest}


def work(hour: int, name: str, joules: float, cpu_seconds: float | None, **rest: Any) -> dict[str, Any]:
    """An active row of a deployment; name: NAMESPACE/NAME."""
    namespace, _, workload = name.partition("/")
    told = {"namespace": namespace, "workload_kind": "Deployment", "workload": workload, "pods": 1}
    return row(hour, "active", joules, **{**told, "cpu_seconds": cpu_seconds, **rest})


def write_hours(
    store: Path, rows: Sequence[dict[str, Any]], cluster: str = "prod", options: Options | None = None
) -> None:
    """A file for each hour that has rows; options: what they say of how they were collected."""
    for hour in sorted({each["hour_seconds"] for each in rows}):
        found = sorted((each for each in rows if each["hour_seconds"] == hour), key=_key)
        write_hour(store, pa.Table.from_pylist(found, schema(options)), cluster)


def write_hour(store: Path, table: pa.Table, cluster: str = "prod") -> Path:
    """One hour's file."""
    hour = table["hour_seconds"][0].as_py()
    month = str(np.datetime64(hour, "s"))[:7]
    path = store / f"cluster={cluster}" / f"month={month}" / hour_name(hour)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
    return path


@dataclass
class Fleet:
    """Node groups that share out what their meters count: `hour` gives the rows of one hour, which add up."""

    workloads: int = 12
    groups: tuple[str, ...] = ("big", "small")
    seed: int = 1
    grams_per_kwh: float = 400.0
    _rows: pa.Table = field(init=False)

    def __post_init__(self) -> None:
        rows = [each for group in self.groups for each in self._of_group(group)]
        self._rows = pa.Table.from_pylist(sorted(rows, key=_key), schema())

    def hour(self, hour_seconds: int) -> pa.Table:
        """All rows of an hour, in the order of KEY."""
        random = np.random.default_rng((self.seed, hour_seconds))
        n = len(self._rows)
        joules = random.uniform(1e3, 1e5, n) * ~np.isin(self._rows["kind"].to_numpy(), ["difference"])
        cpu_seconds = np.where(self._rows["cpu_seconds"].is_null(), np.nan, joules / random.uniform(8, 12, n))
        values = {
            "hour_seconds": np.full(n, hour_seconds),
            "joules": joules,
            "low_joules": joules * 0.95,
            "high_joules": joules * 1.05,
            "grams": joules * self.grams_per_kwh / 3.6e6,
            "cost": joules * 0.3 / 3.6e6,
            "cpu_seconds": cpu_seconds,
        }
        table = self._rows
        for name, value in values.items():
            found = pa.array(value, from_pandas=name == "cpu_seconds")
            table = table.set_column(table.schema.get_field_index(name), schema().field(name), found)
        return table

    def write(self, store: Path, begin: int, hours: int, cluster: str = "prod") -> None:
        """The files of some hours from `begin` on."""
        for i in range(hours):
            write_hour(store, self.hour(begin + i * 3600), cluster)

    def _of_group(self, group: str) -> list[dict[str, Any]]:
        of_group = {"node_group": group, "currency": "EUR"}
        rows = []
        for i in range(self.workloads):
            labels = [("team", f"team{i % 5}")] if i % 4 else []
            told = {**of_group, "labels": labels, "requested_cpu_seconds": 7200.0 if i % 3 else None}
            source = MODEL if group == "small" else MEASURED
            rows.append(work(0, f"space{i % 7}/app{i:05}", 0.0, 0.0, source=source, **told))
            idle = {**rows[-1], "kind": "idle_share", "detail": "requests", "cpu_seconds": None}
            rows.append({**idle, "requested_cpu_seconds": None})
        for kind, detail in (
            ("idle", ""),
            ("unattributed", "no_row"),
            ("difference", ""),
            ("overhead", "pue"),
        ):
            rows.append(row(0, kind, 0.0, detail=detail, **of_group))
        return rows


def _key(found: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(found[name] for name in KEY)
