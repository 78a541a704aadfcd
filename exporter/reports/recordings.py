"""A fleet's recordings, summed to longer rows before a model is made from them: the same for every engine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ebpf.errors import UsageError
from estimator.features import PREDICTORS
from estimator.meters.port import ZONES
from exporter.reports.engine import Engine, Part

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.expr.types import BooleanColumn, FloatingColumn, Table

JOULES: Final = tuple(f"{zone}_joules" for zone in ZONES)
AMOUNTS: Final = (*PREDICTORS, *JOULES)
_KEYS: Final = ("node", "n_cpu")
_TIMES: Final = ("timestamp_seconds", "interval_seconds")
# CPU time and the interval come from clocks read a moment apart.
_SLACK: Final = 1.02
# An integrated GPU that sleeps draws nothing; no other zone does.
_MAY_BE_0: Final = (*PREDICTORS, "uncore_joules")


def read_reduced(engine: Engine, files: Sequence[Path], seconds: float) -> pa.Table:
    """The rows of samples tables (Parquet), summed as `reduced` says. Raises UsageError for another file."""
    parts = _by_columns(files)
    tables = [_complete(table) for table in engine.tables(parts)]
    return engine.run(reduced(reduce(lambda left, right: left.union(right), tables), seconds))


def reduced(rows: Table, seconds: float) -> Table:
    """One row for each node, its number of CPUs and span of `seconds`: sums of what its rows used and drew.

    timestamp_seconds: of the newest row in it, interval_seconds: the sum. What one of them did not measure
    the sum does not know either (null). n_rows: how many there were; n_impossible: how many of them are in no
    sum, for no machine does what they say.
    """
    can_be = _can_be(rows)
    span = ((rows.timestamp_seconds - seconds / 1e6) / seconds).floor()
    n_rows = rows.count(where=can_be)
    sums = {
        name: (rows[name].count(where=can_be) == n_rows).ifelse(rows[name].sum(where=can_be), None)
        for name in AMOUNTS
    }
    found = rows.group_by(**{name: rows[name] for name in _KEYS}, span=span).aggregate(
        timestamp_seconds=rows.timestamp_seconds.max(where=can_be),
        interval_seconds=rows.interval_seconds.sum(where=can_be),
        **sums,
        n_rows=rows.count(),
        n_impossible=rows.count() - n_rows,
    )
    kept = found.filter(found.n_rows > found.n_impossible)
    return kept.drop("span").order_by("node", "timestamp_seconds")


def _can_be(rows: Table) -> BooleanColumn:
    """Whether a machine can do what a row says; as estimator.training.impossible judges rows one by one."""
    capacity = rows.n_cpu * rows.interval_seconds * _SLACK
    judged = [
        *(~rows[name].isinf() for name in (*_TIMES, "n_cpu")),
        rows.interval_seconds > 0,
        rows.n_cpu >= 1,
        *(_unknown_or(rows[name], ~rows[name].isinf()) for name in AMOUNTS),
        *(_unknown_or(rows[name], rows[name] >= 0) for name in _MAY_BE_0),
        *(_unknown_or(rows[name], rows[name] > 0) for name in JOULES if name not in _MAY_BE_0),
        *(_unknown_or(rows[name], rows[name] <= capacity * one.most) for name, one in PREDICTORS.items()),
    ]
    return reduce(lambda left, right: left & right, judged).fill_null(False)


def _unknown_or(column: FloatingColumn, judged: BooleanColumn) -> BooleanColumn:
    return column.isnull() | judged


def _complete(table: Table) -> Table:
    """The columns of every samples table as numbers; null where this one has not measured."""
    import ibis

    numbers = {
        name: _number(table[name]) if name in table.columns else ibis.null("float64")
        for name in ("n_cpu", *_TIMES, *AMOUNTS)
    }
    return table.select(node=table.node.cast("string"), **numbers)


def _number(column: FloatingColumn) -> FloatingColumn:
    """NaN, as pandas has it, is not measured either."""
    number = column.cast("float64")
    return number.isnan().ifelse(None, number)


def _by_columns(files: Sequence[Path]) -> list[Part]:
    """The files, those of the same columns together: machines of a fleet differ in what they measure."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    by_columns: dict[pa.Schema, list[str]] = {}
    for file in files:
        try:
            schema = pq.read_schema(file).remove_metadata()
        except (OSError, pa.ArrowInvalid) as error:
            said = str(error).partition("\n")[0]
            raise UsageError(f"--input {file}: only Parquet can be reduced: {said}") from error
        _require(schema, file)
        by_columns.setdefault(schema, []).append(str(file.resolve()))
    return [Part("", tuple(paths)) for paths in by_columns.values()]


def _require(schema: pa.Schema, file: Path) -> None:
    from pyarrow import types

    if missing := {*_KEYS, *_TIMES} - set(schema.names):
        raise UsageError(f"--input {file}: no column {', '.join(sorted(missing))}; see docs/samples.md")
    time = schema.field("timestamp_seconds").type
    if not (types.is_floating(time) or types.is_integer(time)):
        raise UsageError(
            f"--input {file}: timestamp_seconds is {time}; wanted unix seconds, as `record` has them"
        )
