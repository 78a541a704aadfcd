"""`podjoule top`: chooses source and view, and puts them together."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ebpf.errors import UsageError
from exporter.config import Config
from exporter.kinds import duration
from exporter.options import Option
from exporter.top.frame import Source
from exporter.top.grouping import GROUPINGS
from exporter.top.state import SORT_KEYS, State

_INTERVAL = Option(
    "interval",
    duration(minimum=0.1),
    2.0,
    "How often it measures or, with --url, asks",
    "--interval",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says. tables: None where it does not say how many are printed, 0 for no end."""

    interval_seconds: float
    state: State
    url: str
    is_plain: bool
    tables: int | None


def add_top_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that `top` has beside those of every command; TOP_FLAGS are their names."""
    parser.add_argument("--interval", default="2s", help=f"{_INTERVAL.description} (default %(default)s)")
    parser.add_argument("--by", choices=GROUPINGS, default="all", help="what a row is (default %(default)s)")
    parser.add_argument(
        "--sort", choices=tuple(SORT_KEYS.values()), default="watts", help="(default %(default)s)"
    )
    parser.add_argument("--filter", default="", metavar="TEXT", help="only rows found by a text or a regex")
    parser.add_argument("--plain", action="store_true", help="print tables, as into a pipe")
    parser.add_argument(
        "--count", metavar="N", help="print N tables and end, 0 for no end (default in a pipe 1); plain"
    )
    parser.add_argument("--url", default="", help="ask a running podjoule, such as http://node-1:28283")
    parser.add_argument("--user", default="", help="user for --url, with --password-file")
    parser.add_argument("--password-file", metavar="FILE", help="its first line is the password")
    parser.add_argument("--ca-file", metavar="FILE", help="PEM certificates that --url's must be signed by")


def top(arguments: argparse.Namespace, config: Config, environ: Mapping[str, str]) -> int:
    """Show who uses the energy until told to stop; the exit code."""
    wanted = _wanted(arguments)
    source = _open(arguments, config, wanted)
    if wanted.is_plain or wanted.tables is not None or not _is_terminal(environ):
        from exporter.top.plain import print_tables

        tables = 1 if wanted.tables is None else wanted.tables
        with contextlib.closing(source):
            return print_tables(source, wanted.interval_seconds, wanted.state, tables, wanted.url)
    from exporter.top.live import show

    coloured = not environ.get("NO_COLOR")  # https://no-color.org
    return show(source, wanted.interval_seconds, wanted.state, coloured, wanted.url)


def _wanted(arguments: argparse.Namespace) -> Wanted:
    interval = _INTERVAL.parse(arguments.interval, _INTERVAL.flag)
    if not isinstance(interval, float):
        raise TypeError("a duration is a float")
    state = State(by=arguments.by, sort=arguments.sort, filter=arguments.filter)
    return Wanted(interval, state, arguments.url, arguments.plain, _tables(arguments.count))


def _tables(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise UsageError(f"--count: found {text!r}; wanted a whole number, 0 for no end")
    return int(text)


def _open(arguments: argparse.Namespace, config: Config, wanted: Wanted) -> Source:
    if wanted.url:
        from exporter.top.source_url import Access, UrlSource

        return UrlSource(
            Access(wanted.url, arguments.user, _path(arguments.password_file), _path(arguments.ca_file))
        )
    for flag in ("user", "password_file", "ca_file"):
        if getattr(arguments, flag):
            raise UsageError(f"--{flag.replace('_', '-')} goes with --url")
    from exporter.top.source_local import open_local

    return open_local(config, wanted.interval_seconds)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _is_terminal(environ: Mapping[str, str]) -> bool:
    """Whether keys can be read and a screen be drawn."""
    term = environ.get("TERM", "")
    return sys.stdin.isatty() and sys.stdout.isatty() and term not in ("", "dumb") and os.name == "posix"
