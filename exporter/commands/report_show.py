"""`podjoule report show`: what a month took, who took it, and what changed since the one before."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ebpf.errors import UsageError
from exporter.commands.declaration import Command
from exporter.commands.engine_options import add_engine
from exporter.commands.report_server import access_of, add_server
from exporter.configuration.config import Config
from exporter.errors import AccountInvalid
from exporter.http_client import RequestFailed

if TYPE_CHECKING:
    from exporter.reports.months import Span, Store
    from exporter.reports.summary import Summary

_FAILED = 1
_FORMATS = ("table", "json", "csv", "parquet", "focus", "html")
_NO_SPAN = "none"
_BOUND = 1e-6


def show(arguments: Namespace, _config: Config) -> int:
    """Print or write the report: 0; 1 where rows and nodes differ by more than the bound, or a file was
    changed."""
    from exporter.reports.extras import libraries_installed
    from exporter.reports.months import Store
    from exporter.reports.place import answering

    if arguments.format == "parquet" and not arguments.output:
        raise UsageError("--format parquet needs --output FILE")
    if bool(arguments.sci) != bool(arguments.prometheus):
        raise UsageError("--sci and --prometheus go together: who counts the functional unit?")
    try:
        with libraries_installed():
            with answering(arguments.store):
                summary = _summary(arguments, Store(arguments.store))
            summary = _complete(summary, arguments)
            _write(_rendered(summary, arguments.format), arguments.output)
    except (AccountInvalid, RequestFailed) as error:
        sys.stderr.write(f"podjoule: {error}\n")
        return _FAILED
    return _judged(summary, arguments.difference_bound)


def _summary(arguments: Namespace, store: Store) -> Summary:
    from exporter.reports import showing
    from exporter.reports.engine import opened
    from exporter.reports.expressions import dimensions
    from exporter.reports.months import span_named

    by = dimensions(arguments.by)
    clusters = showing.clusters_of(store, arguments.cluster or ())
    span = span_named(arguments.month) if arguments.month else showing.newest(store, clusters)
    before = _before(span, arguments.against)
    with opened(arguments.engine, store.files, arguments.spark_master) as engine:
        wanted = showing.Wanted(span, before, by, clusters, _listed(arguments.namespaces))
        return showing.show(engine, store, wanted, time.time())


def _listed(text: str) -> tuple[str, ...]:
    return tuple(sorted({name.strip() for name in text.split(",")} - {""}))


def _before(span: Span, against: str) -> Span | None:
    from exporter.reports.months import span_named

    if against == _NO_SPAN:
        return None
    before = span_named(against) if against else span.before
    if before.to_seconds > span.from_seconds:
        raise UsageError(f"--against: wanted a span before {span.name}, found {before.name}")
    return before


def _complete(summary: Summary, arguments: Namespace) -> Summary:
    """With embodied carbon and the score, where they are asked for."""
    from exporter.reports.embodied import embodied_grams, read_machines
    from exporter.reports.sci import count_units, sci_of

    if arguments.embodied:
        machines = [each for path in arguments.embodied for each in read_machines(path)]
        seconds = summary.to_seconds - summary.from_seconds
        summary = replace(summary, embodied_grams=embodied_grams(machines, seconds))
    if arguments.sci:
        span = (summary.from_seconds, summary.to_seconds)
        units = count_units(access_of(arguments), arguments.sci, *span)
        summary = replace(summary, sci=sci_of(summary, arguments.sci, arguments.sci_unit, units))
    return summary


def _rendered(summary: Summary, name: str) -> str | bytes:
    if name == "html":
        from exporter.reports.page import render

        page: str = render(summary)
        return page
    from exporter.reports.formats import document, flat, focus, table

    formats: dict[str, Callable[[Summary], str | bytes]] = {
        "table": table.table_text,
        "json": document.json_text,
        "csv": flat.csv_text,
        "parquet": flat.parquet_bytes,
        "focus": focus.focus_text,
    }
    return formats[name](summary)


def _write(content: str | bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(str(content))
        return
    try:
        output.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise UsageError(f"--output: {output} cannot be written: {error.strerror}") from error


def _judged(summary: Summary, bound: float) -> int:
    if summary.difference_ratio <= bound:
        return 0
    sys.stderr.write(
        "podjoule: in the worst hour rows differ from what the nodes counted by "
        f"{summary.difference_ratio:.1e}, more than {bound:g}; rows of kind difference say by "
        "how much, --difference-bound allows it\n"
    )
    return _FAILED


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "month", nargs="?", metavar="MONTH", help="such as 2026-10, or a year; default the newest month"
    )
    parser.add_argument("--store", required=True, metavar="DIR", help="a folder, or s3://BUCKET/PREFIX")
    parser.add_argument(
        "--cluster", action="append", metavar="NAME", help="may be given more than once; default all"
    )
    parser.add_argument(
        "--by",
        default="namespace",
        metavar="LIST",
        help="namespace, workload, owner, node_group, cluster, label:NAME (default %(default)s)",
    )
    parser.add_argument(
        "--namespaces",
        default="",
        metavar="LIST",
        help="these alone, such as shop,data: a tenant's account, without what is nobody's (default all)",
    )
    parser.add_argument(
        "--against", default="", metavar="MONTH", help="what to compare with, or none; default the one before"
    )
    parser.add_argument("--format", choices=_FORMATS, default="table", help="default %(default)s")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default stdout")
    add_engine(parser)
    parser.add_argument(
        "--difference-bound",
        type=float,
        default=_BOUND,
        metavar="RATIO",
        help="by how much rows and nodes may differ in an hour (default %(default)s)",
    )
    parser.add_argument(
        "--embodied", nargs="+", type=Path, metavar="FILE", help="YAML: node groups, machines and kgCO2e"
    )
    parser.add_argument("--sci", default="", metavar="QUERY", help="PromQL that counts the functional unit")
    parser.add_argument("--sci-unit", default="unit", metavar="NAME", help="what it counts, such as request")
    add_server(parser, "who is asked --sci", required=False)


COMMAND = Command(
    "report show", "show a month: who took what, and what changed", show, add_arguments=_add_arguments
)
