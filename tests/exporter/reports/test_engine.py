"""Whatever runs the expressions, and from wherever it reads: the same rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow.fs import LocalFileSystem

from exporter.reports import expressions
from exporter.reports.closing import close
from exporter.reports.engine import DuckDb, Part
from exporter.reports.months import Span, Store
from exporter.reports.recordings import read_reduced
from exporter.reports.showing import Wanted, show
from tests.exporter.reports.made_up import LONG_AGO, Fleet
from tests.exporter.reports.test_recordings import recording
from tests.programs import program

HOUR = LONG_AGO["2026-10"]
OCTOBER = Span("2026-10")
AFTER = OCTOBER.to_seconds + 3600
BY = ("namespace", "label:team", "owner", "node_group", "cluster")
# Machines that live for half a minute do not get back what the better compiler takes.
BRIEF = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# One process with the JVM under it, which ends with it; the executors are processes of their own.
SPARK = """
import sys
import pyarrow.parquet as pq
from exporter.reports.engine import opened
from exporter.reports.place import open_root
from exporter.reports.recordings import read_reduced
from tests.exporter.reports.test_engine import everything, parts, recordings
with opened("spark", open_root("/")[0], "local-cluster[2,1,1024]") as engine:
    for i, table in enumerate(everything(engine, parts(sys.argv[1]))):
        pq.write_table(table, f"{sys.argv[2]}/{i}.parquet")
    pq.write_table(read_reduced(engine, recordings(sys.argv[1]), 60.0), f"{sys.argv[2]}/reduced.parquet")
"""


def parts(folder: str) -> list[Part]:
    """Two clusters, one with a correction."""
    return [
        Part("prod", (f"{folder}/prod0.parquet", f"{folder}/prod1.parquet"), (HOUR + 7200,)),
        Part("prod", (f"{folder}/correction.parquet",)),
        Part("test", (f"{folder}/test.parquet",)),
    ]


def recordings(folder: str) -> list[Path]:
    """Of two machines that measure different things, one with rows that cannot be."""
    return sorted(Path(folder).glob("recording-*.parquet"))


def everything(engine: Any, found: list[Part]) -> list[pa.Table]:
    """What is asked of rows, all of it."""
    rows = engine.rows(found)
    return [
        engine.run(expressions.amounts(expressions.within(rows, HOUR, HOUR + 7200), BY, HOUR + 3600)),
        *(engine.run(of(rows)) for of in (expressions.hours, expressions.reserved, expressions.nobodys_idle)),
    ]


def sorted_rows(table: pa.Table) -> list[dict[str, Any]]:
    def key(row: dict[str, Any]) -> str:
        return repr([value for value in row.values() if not isinstance(value, float)])

    return sorted(table.to_pylist(), key=key)


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Numbers to 1e-9, all else exactly."""
    for name, value in ours.items():
        wanted = pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
        assert theirs[name] == wanted, name


@pytest.fixture
def files(tmp_path: Path) -> Path:
    fleet = Fleet(workloads=9)
    for i, name in enumerate(("prod0", "prod1", "correction", "test")):
        pq.write_table(fleet.hour(HOUR + i % 3 * 3600), tmp_path / f"{name}.parquet")
    broken = recording("b", seed=1).drop(columns="dram_joules")
    broken.loc[7, "package_joules"] = -1.0
    broken.loc[30:60, "cycles"] = float("nan")
    recording("a").to_parquet(tmp_path / "recording-a.parquet")
    broken.to_parquet(tmp_path / "recording-b.parquet")
    return tmp_path


@pytest.mark.e2e
@pytest.mark.alone
def test_spark_gives_the_rows_that_duckdb_gives(files: Path, tmp_path: Path) -> None:
    """Two workers that are processes of their own, as in a cluster: rows go over the network between them."""
    program("java")
    (tmp_path / "found").mkdir()
    command = [sys.executable, "-W", "ignore", "-c", SPARK, str(files), str(tmp_path / "found")]
    environment = {**os.environ, "JAVA_TOOL_OPTIONS": BRIEF}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    duckdb = DuckDb(Store(str(tmp_path)).files)
    tables: dict[str, pa.Table] = {
        str(i): table for i, table in enumerate(everything(duckdb, parts(str(files))))
    }
    tables["reduced"] = read_reduced(duckdb, recordings(str(files)), 60.0)
    for name, wanted in tables.items():
        found = pq.read_table(tmp_path / "found" / f"{name}.parquet")
        assert found.column_names == wanted.column_names
        assert len(found) == len(wanted) > 0
        for ours, theirs in zip(sorted_rows(wanted), sorted_rows(found), strict=True):
            assert_same(ours, theirs)


def test_every_part_of_the_store_counts_once(files: Path) -> None:
    [amounts, *_] = everything(DuckDb(Store(str(files)).files), parts(str(files)))
    tables = [pq.read_table(files / f"{name}.parquet") for name in ("prod0", "prod1", "test")]
    wanted = [sum(table["joules"].to_pylist()) for table in tables]
    found = {
        cluster: sum(row["joules"] for row in amounts.to_pylist() if row["key_4"] == cluster)
        for cluster in ("prod", "test")
    }
    assert found == pytest.approx({"prod": wanted[0] + wanted[1], "test": wanted[2]}, rel=1e-12)


def test_what_is_not_on_this_disk_is_closed_and_shown_alike(tmp_path: Path) -> None:
    """The file system of pyarrow, by which a store on S3 is read."""
    Fleet(workloads=3).write(tmp_path, HOUR, 3)
    store = Store(str(tmp_path))
    wanted = show(DuckDb(store.files), store, Wanted(OCTOBER, None, ("workload",), ["prod"]), AFTER)
    store.files = ArrowFSWrapper(LocalFileSystem())
    for closed in (False, True):
        if closed:
            close(store, "prod", OCTOBER, AFTER, allow_missing=True)
        found = show(DuckDb(store.files), store, Wanted(OCTOBER, None, ("workload",), ["prod"]), AFTER)
        assert [each.key for each in found.groups] == [each.key for each in wanted.groups]
        assert found.total.joules == pytest.approx(wanted.total.joules, rel=1e-12)
        assert bool(found.closed) == closed


def test_run_imports_nothing_of_it() -> None:
    code = (
        "import sys, exporter.commands.cli, exporter.commands.run\n"
        "names = ('exporter.reports', 'ibis', 'duckdb', 'pyarrow', 'pyspark', 'fsspec', 'pandas')\n"
        "print([name for name in sys.modules if name.startswith(names)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
