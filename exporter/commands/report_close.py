"""`podjoule report close`: a month made immutable, or corrected by rows of its own."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from ebpf.errors import UsageError
from exporter.commands.declaration import Command
from exporter.configuration.config import Config
from exporter.errors import AccountInvalid

if TYPE_CHECKING:
    from exporter.reports.months import Span, Store

_FAILED = 1


def close(arguments: Namespace, _config: Config) -> int:
    """Print the manifest's hash: 0; 1 where hours are missing or files are not what they were."""
    from exporter.reports.extras import libraries_installed
    from exporter.reports.months import Store, span_named
    from exporter.reports.place import answering

    if arguments.correct != (arguments.source is not None):
        raise UsageError(
            "--correct and --from go together: which store has the hours that were collected again?"
        )
    span = span_named(arguments.month)
    if len(span.months) != 1:
        raise UsageError(f"wanted a month such as 2026-10, found {span.name}: months are closed one by one")
    try:
        with libraries_installed(), answering(arguments.store):
            return _close(arguments, Store(arguments.store), span)
    except AccountInvalid as error:
        sys.stderr.write(f"podjoule: {error}\n")
        return _FAILED


def _close(arguments: Namespace, store: Store, span: Span) -> int:
    from tqdm import tqdm

    from exporter.reports.closing import close as close_month
    from exporter.reports.correcting import correct
    from exporter.reports.months import Store

    with store.held(arguments.cluster), tqdm(desc=span.name, unit="h", disable=None, leave=False) as bar:
        if arguments.correct:
            manifest = correct(
                store, arguments.cluster, span, Store(arguments.source), lambda _: bar.update()
            )
        else:
            manifest = close_month(
                store, arguments.cluster, span, time.time(), arguments.allow_missing, lambda _: bar.update()
            )
    rows, joules = (sum(getattr(each, name) for each in manifest.files) for name in ("rows", "joules"))
    files, missing = len(manifest.files), len(manifest.hours_missing)
    sys.stdout.write(
        f"{manifest.cluster} {manifest.month}: closed, {rows} rows, {joules:.6g} J in {files} file"
        f"{'s' if files > 1 else ''}, {missing} hours missing, sha256 {manifest.sha256}\n"
    )
    return 0


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("month", metavar="MONTH", help="such as 2026-10, in UTC")
    parser.add_argument("--store", required=True, metavar="DIR", help="a folder, or s3://BUCKET/PREFIX")
    parser.add_argument("--cluster", required=True, metavar="NAME", help="whose month")
    parser.add_argument(
        "--allow-missing", action="store_true", help="also where hours are missing: the manifest names them"
    )
    parser.add_argument(
        "--correct", action="store_true", help="add what --from knows better to a closed month, as new rows"
    )
    parser.add_argument(
        "--from", dest="source", metavar="STORE", help="a store into which hours were collected again"
    )


COMMAND = Command(
    "report close", "make a month immutable, with a manifest of hashes", close, add_arguments=_add_arguments
)
