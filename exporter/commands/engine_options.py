"""--engine and --spark-master: what runs the sums over Parquet files."""

from __future__ import annotations

from argparse import ArgumentParser


def add_engine(parser: ArgumentParser) -> None:
    """Give a parser both."""
    parser.add_argument("--engine", choices=("duckdb", "spark"), default="duckdb", help="default %(default)s")
    parser.add_argument(
        "--spark-master", default="", metavar="URL", help="default SPARK_MASTER, else this machine"
    )
