"""What `podjoule train` and `podjoule evaluate` read: samples tables, recordings, or a Prometheus.

Training and judging need scikit-learn and pandas, which `podjoule[train]` installs; nothing else here does.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ebpf.errors import UsageError
from exporter.configuration.options import argument_type
from exporter.configuration.value_types import duration

if TYPE_CHECKING:
    from estimator.training.samples import Samples

_OF_THE_EXTRA = (
    "sklearn",
    "pandas",
    "pyarrow",
    "threadpoolctl",
    "prometheus_api_client",
    "requests",
    "tqdm",
)


def add_input(parser: ArgumentParser) -> None:
    """Give a parser --input, --node, --range and --selector."""
    parser.add_argument(
        "--input",
        nargs="+",
        required=True,
        metavar="TABLE",
        help="CSV, Parquet or a recording; or one Prometheus by its http(s) address",
    )
    parser.add_argument("--node", metavar="NAME", help="the rows of this node alone (default all)")
    parser.add_argument(
        "--range",
        type=argument_type(duration(), "--range"),
        default="24h",
        help="how far back a Prometheus is asked (default %(default)s)",
    )
    parser.add_argument(
        "--selector",
        default="",
        metavar="MATCHERS",
        help='which of a Prometheus\'s series, such as \'job="podjoule", cluster="a"\' (default all)',
    )


def read_input(arguments: Namespace, least_rows: int = 0) -> Samples:
    """The table of files, or of one Prometheus over the range that ends now; of one node if it is named.

    least_rows: a range that cannot hold so many is refused before it is read.
    """
    with training_installed():
        from estimator.library.reading import read_table
        from estimator.training.machines import of_one_node
    samples = read_table(
        arguments.input,
        argument="input",
        span=arguments.range,
        selector=arguments.selector,
        least_rows=least_rows,
    )
    return of_one_node(samples, arguments.node)


@contextmanager
def training_installed() -> Iterator[None]:
    """Turn a missing library into an error that names the mend."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        raise UsageError(
            f"training and judging models needs {error.name}, which is not installed; "
            "pip install podjoule[train]"
        ) from error
