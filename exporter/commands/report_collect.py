"""`podjoule report collect`: hours of a Prometheus become files of rows; see exporter.reports.collecting."""

from __future__ import annotations

import logging
import re
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ebpf.errors import UsageError
from exporter.commands.declaration import Command
from exporter.commands.report_server import access_of, add_server
from exporter.configuration.config import Config
from exporter.configuration.options import argument_type
from exporter.configuration.value_types import integer, number, pod_labels
from exporter.errors import CollectFailed
from exporter.reports.extras import libraries_installed

if TYPE_CHECKING:
    from exporter.reports.collecting import Collected, Wanted
    from exporter.reports.merging import NodeGroup

log = logging.getLogger("exporter.reports")

_FAILED = 1


def collect(arguments: Namespace, _config: Config) -> int:
    """Write the hours that are not there yet; 1 where server or store fail, or an hour does not add up."""
    with libraries_installed():
        from exporter.reports.collecting import Collector, require_series
        from exporter.reports.hour_store import HourStore
        from exporter.reports.hours import hours_of, parse_hour, spelt
        from exporter.reports.source import Retry, Source

        store = HourStore(arguments.store, arguments.cluster)
    begin = parse_hour(arguments.begin, "--from")
    now = time.time()
    end = parse_hour(arguments.end, "--to") if arguments.end else int(now // 3600 + 1) * 3600
    hours, not_over = hours_of(begin, end, now)
    if not_over:
        log.info("%d hours up to %s are not over, or not for ten minutes yet: left out", not_over, spelt(end))
    wanted, access = _wanted(arguments), access_of(arguments)
    try:
        store.hold()
        missing = store.missing(hours)
        if missing:
            require_series(Source(access, Retry(tries=2)), wanted.queries, begin, end)
    except CollectFailed as error:  # before anything runs: the set-up is wrong
        raise UsageError(str(error)) from None
    collector = Collector(Source(access), store, wanted)
    try:
        return _report(_shown(collector.collect(missing), len(missing)), len(hours) - len(missing), arguments)
    except CollectFailed as error:
        log.error("%s; what is written stays, begin again to go on", error)
        return _FAILED
    finally:
        store.release()


def _report(collected: Iterable[Collected], were_there: int, arguments: Namespace) -> int:
    """What was done, on stdout; 1 where an hour does not add up."""
    from exporter.reports.hours import spelt_all
    from exporter.tariffs.tariffs import JOULES_PER_KWH

    done = list(collected)
    empty = [each.hour for each in done if not each.rows]
    apart = [each for each in done if each.difference_ratio > arguments.difference_bound]
    kwh, rows = sum(each.joules for each in done) / JOULES_PER_KWH, sum(each.rows for each in done)
    sys.stdout.write(
        f"{len(done) - len(empty)} hours collected, {rows} rows, {kwh:.3f} kWh; {were_there} were there\n"
    )
    if empty:
        sys.stdout.write(f"{len(empty)} hours without a sample, not written: {spelt_all(empty)}\n")
    if not apart:
        return 0
    most = max(each.difference_ratio for each in apart)
    sys.stdout.write(
        f"{len(apart)} hours in which rows and meters differ by more than {arguments.difference_bound:g} of"
        f" the whole, by up to {most:.2g}: {spelt_all([each.hour for each in apart])}\n"
    )
    return _FAILED


def _shown(collected: Iterator[Collected], hours: int) -> Iterator[Collected]:
    """With a bar on a terminal."""
    from tqdm import tqdm

    bar: Iterator[Collected] = tqdm(collected, total=hours, unit="hour", desc="collect", disable=None)
    return bar


def _wanted(arguments: Namespace) -> Wanted:
    from exporter.reports.collecting import Wanted
    from exporter.reports.queries import Queries

    queries = Queries(arguments.selector, arguments.requests_selector, arguments.labels)
    groups = [_group(text) for text in arguments.node_groups]
    return Wanted(queries, groups, arguments.market_intensity, arguments.concurrency)


def _group(text: str) -> NodeGroup:
    from exporter.reports.merging import NodeGroup

    name, equals, pattern = text.partition("=")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--node-groups: {text!r}: no regular expression: {error}") from None
    if not (name and equals and pattern):
        raise UsageError(f"--node-groups: found {text!r}; wanted NAME=REGEX, such as 'gpu=gpu-.*'")
    return NodeGroup(name, compiled)


def _add_arguments(parser: ArgumentParser) -> None:
    add_server(
        parser,
        "a Prometheus, Thanos, Mimir or VictoriaMetrics, with the path before /api/v1",
        required=True,
    )
    _add_selectors(parser)
    parser.add_argument(
        "--cluster", required=True, metavar="NAME", help="what the cluster is called in the store"
    )
    parser.add_argument(
        "--store", required=True, metavar="DIR", help="a folder, or s3://BUCKET/FOLDER with its keys in AWS_…"
    )
    parser.add_argument(
        "--from", dest="begin", required=True, metavar="TIME", help="the first hour, UTC, such as 2026-10-01"
    )
    parser.add_argument(
        "--to", dest="end", default="", metavar="TIME", help="the first hour left out, UTC (default now)"
    )
    parser.add_argument(
        "--labels",
        type=argument_type(pod_labels(), "--labels"),
        default=(),
        metavar="LIST",
        help="pod labels that rows keep, such as team,product; kube.podLabels must export them",
    )
    parser.add_argument(
        "--node-groups",
        nargs="+",
        default=(),
        metavar="NAME=REGEX",
        help="by whole names of nodes; the first that matches counts",
    )
    parser.add_argument(
        "--market-intensity",
        type=argument_type(number("g/kWh, a number", 0.0, 5_000.0), "--market-intensity"),
        metavar="G",
        help="grams of CO2 equivalent a kWh by contract, for market-based grams (default none)",
    )
    parser.add_argument(
        "--difference-bound",
        type=argument_type(number("a ratio", 0.0, 1.0), "--difference-bound"),
        default=1e-6,
        metavar="RATIO",
        help="exit with 1 where an hour's rows differ by more from its meters (default %(default)s)",
    )
    parser.add_argument(
        "--concurrency",
        type=argument_type(integer(1, 64), "--concurrency"),
        default=2,
        metavar="N",
        help="how many queries at a time (default %(default)s)",
    )


def _add_selectors(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--selector",
        default="",
        metavar="MATCHERS",
        help='which of its series, such as \'job="podjoule", cluster="a"\' (default all)',
    )
    parser.add_argument(
        "--requests-selector",
        default="",
        metavar="MATCHERS",
        help="the same for kube-state-metrics, where several clusters are in it (default all)",
    )


COMMAND = Command(
    "report collect", "hours of a Prometheus become files of rows", collect, add_arguments=_add_arguments
)
