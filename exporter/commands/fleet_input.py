"""What `podjoule train --reduce` reads: a fleet's recordings, summed by an engine before pandas sees them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ebpf.errors import UsageError
from exporter.commands.engine_options import add_engine
from exporter.commands.samples_input import training_installed
from exporter.configuration.options import argument_type
from exporter.configuration.value_types import duration

if TYPE_CHECKING:
    from estimator.training.samples import Samples


def add_reduction(parser: ArgumentParser) -> None:
    """Give a parser --reduce, --engine and --spark-master."""
    parser.add_argument(
        "--reduce",
        type=argument_type(duration(minimum=1.0), "--reduce"),
        metavar="DURATION",
        help="sum the rows of recordings to so long each first, such as 1m: a fleet's are too many else",
    )
    add_engine(parser)


def read_fleet(arguments: Namespace) -> Samples:
    """The table of recordings (Parquet), reduced; of one node if it is named. Raises UsageError."""
    with training_installed():
        from estimator.training.machines import of_one_node
        from estimator.training.samples import clean_samples, sha256_of
        from estimator.training.tables import files_of
    if servers := [name for name in arguments.input if name.startswith(("http://", "https://"))]:
        raise UsageError(f"--reduce is of recordings, and {servers[0]} is a Prometheus: leave it out")
    from exporter.reports.engine import opened
    from exporter.reports.extras import libraries_installed
    from exporter.reports.place import open_root
    from exporter.reports.recordings import read_reduced

    files = [file for name in arguments.input for file in files_of(Path(name))]
    with libraries_installed(), opened(arguments.engine, open_root("/")[0], arguments.spark_master) as engine:
        table = read_reduced(engine, files, arguments.reduce)
    frame = table.to_pandas()
    if frame.empty:
        raise UsageError(f"--input {', '.join(arguments.input)}: no row in it can be; record some first")
    source = f"{', '.join(arguments.input)}, summed to {arguments.reduce:g} s"
    samples = of_one_node(clean_samples(frame, source, sha256_of(files)), arguments.node)
    n_impossible = int(frame["n_impossible"].sum())
    return replace(
        samples,
        set_aside={"impossible": n_impossible, **samples.set_aside} if n_impossible else samples.set_aside,
    )
