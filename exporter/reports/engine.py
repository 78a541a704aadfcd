"""What runs the expressions: DuckDB in this process, or Spark where a fleet outgrows one machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Protocol

from exporter.errors import AccountInvalid
from exporter.reports.extras import libraries_installed

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.expr.types import Table

_SPARK_MASTER = "SPARK_MASTER"
_SPARK_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "16",  # what comes of a sum is small, however many rows there were
}
_ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Part:
    """Parquet files of one cluster. without: hours (unix time of the begin) whose rows there do not count."""

    cluster: str
    paths: tuple[str, ...]
    without: tuple[int, ...] = ()


class Engine(Protocol):
    """Runs expressions over the rows of files."""

    def tables(self, parts: Sequence[Part]) -> list[Table]:
        """The rows of each part as its files hold them. A further call ends what came of the one before."""

    def rows(self, parts: Sequence[Part]) -> Table:
        """The rows of all parts as one table, each with its `cluster`."""

    def run(self, expression: Table) -> pa.Table:
        """What an expression over these rows gives."""


class DuckDb:
    """DuckDB in memory. files: the fsspec file system that paths are of; what is not on disk comes through
    pyarrow."""

    def __init__(self, files: Any) -> None:
        import ibis

        self._backend = ibis.duckdb.connect()
        self._files = files

    def tables(self, parts: Sequence[Part]) -> list[Table]:
        """See Engine."""
        return [self._read(part, f"{_ROWS}_{i}") for i, part in enumerate(parts)]

    def rows(self, parts: Sequence[Part]) -> Table:
        """See Engine."""
        return _united(list(zip(parts, self.tables(parts), strict=True)))

    def run(self, expression: Table) -> pa.Table:
        """See Engine."""
        import duckdb

        try:
            return self._backend.to_pyarrow(expression)
        except duckdb.Error as error:
            raise _unreadable(error) from error

    def _read(self, part: Part, name: str) -> Table:
        import duckdb
        from fsspec.implementations.arrow import ArrowFSWrapper
        from pyarrow import dataset

        try:
            if "file" in self._files.protocol:
                return self._backend.read_parquet(list(part.paths), table_name=name)
            native = self._files.fs if isinstance(self._files, ArrowFSWrapper) else self._files
            files = dataset.dataset(list(part.paths), format="parquet", filesystem=native)
        except (duckdb.Error, ValueError) as error:  # ValueError: pyarrow's of a file that is no Parquet
            raise _unreadable(error) from error
        self._backend.con.register(name, files)
        return self._backend.table(name)


class Spark:
    """Spark. scheme: what its own readers call the store, such as "s3a://"; "" for paths that every worker
    sees.

    master: such as spark://host:7077; else SPARK_MASTER, else this machine.
    """

    def __init__(self, scheme: str = "", master: str = "") -> None:
        import ibis
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.appName("podjoule report")
        for key, value in _SPARK_SETTINGS.items():
            builder = builder.config(key, value)
        self.session = builder.master(master or os.environ.get(_SPARK_MASTER) or "local[*]").getOrCreate()
        self._backend = ibis.pyspark.connect(self.session)
        self._scheme = scheme

    def tables(self, parts: Sequence[Part]) -> list[Table]:
        """See Engine."""
        return [self._read(part, f"{_ROWS}_{i}") for i, part in enumerate(parts)]

    def rows(self, parts: Sequence[Part]) -> Table:
        """See Engine."""
        return _united(list(zip(parts, self.tables(parts), strict=True)))

    def run(self, expression: Table) -> pa.Table:
        """See Engine."""
        # Not through to_pyarrow, which goes by way of pandas.
        found: pa.Table = self.session.sql(self._backend.compile(expression)).toArrow()
        return found.cast(expression.schema().to_pyarrow())

    def stop(self) -> None:
        """End the session and what it started."""
        self.session.stop()

    def _read(self, part: Part, name: str) -> Table:
        paths = [f"{self._scheme}{path}" for path in part.paths]
        self.session.read.parquet(*paths).createOrReplaceTempView(name)
        return self._backend.table(name)


@contextmanager
def opened(name: str, files: Any, master: str = "") -> Iterator[Engine]:
    """DuckDB, or Spark by the name "spark", ended afterwards. files: the store's fsspec file system.

    Raises UsageError where its libraries are not installed.
    """
    with libraries_installed():
        if name == "duckdb":
            yield DuckDb(files)
            return
        spark = Spark("" if "file" in files.protocol else "s3a://", master)
        try:
            yield spark
        finally:
            spark.stop()


def _unreadable(error: Exception) -> AccountInvalid:
    said = str(error).partition("\n")[0]
    return AccountInvalid(f"files of rows cannot be read: {said}; collect what is open again")


def _united(tables: Sequence[tuple[Part, Table]]) -> Table:
    import ibis

    named = (_counting(part, table).mutate(cluster=ibis.literal(part.cluster)) for part, table in tables)
    return reduce(lambda left, right: left.union(right), named)


def _counting(part: Part, table: Table) -> Table:
    return table.filter(table.hour_seconds.notin(part.without)) if part.without else table
