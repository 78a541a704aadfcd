"""`podjoule top`: chooses source and view, and puts them together."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ebpf.errors import UsageError
from exporter.configuration.config import Config
from exporter.configuration.nearest import nearest
from exporter.configuration.options import Option
from exporter.configuration.value_types import duration
from exporter.top.chosen_rows import SORTS, Choice
from exporter.top.frame import Source
from exporter.top.grouping import GROUPINGS

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
    choice: Choice
    url: str
    is_plain: bool
    tables: int | None


def top(arguments: argparse.Namespace, config: Config, environ: Mapping[str, str]) -> int:
    """Show who uses the energy until told to stop; the exit code."""
    wanted = _wanted(arguments)
    source = _open(arguments, config, wanted)
    if _is_plain(wanted, environ):
        from exporter.top.plain import print_tables

        tables = 1 if wanted.tables is None else wanted.tables
        with contextlib.closing(source):
            return print_tables(source, wanted.interval_seconds, wanted.choice, tables, wanted.url)
    from exporter.top.app import show

    return show(source, wanted.interval_seconds, wanted.choice, wanted.url)


def _is_plain(wanted: Wanted, environ: Mapping[str, str]) -> bool:
    if wanted.is_plain or wanted.tables is not None or not _is_terminal(environ):
        return True
    if find_spec("textual") is None:
        sys.stderr.write("podjoule top: one table; the live view comes with: pip install 'podjoule[top]'\n")
        return True
    return False


def _wanted(arguments: argparse.Namespace) -> Wanted:
    interval = _INTERVAL.parse(arguments.interval, _INTERVAL.flag)
    if not isinstance(interval, float):
        raise TypeError("a duration is a float")
    choice = Choice(
        by=_one_of("by", arguments.by, GROUPINGS),
        sort=_one_of("sort", arguments.sort, SORTS),
        filter=arguments.filter,
    )
    return Wanted(interval, choice, arguments.url, arguments.plain, _tables(arguments.count))


def _one_of(flag: str, found: str, allowed: Sequence[str]) -> str:
    if found not in allowed:
        raise UsageError(
            f"--{flag}: found {found!r}; the nearest of {', '.join(allowed)} is {nearest(found, allowed)}"
        )
    return found


def _tables(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise UsageError(f"--count: found {text!r}; wanted a whole number, 0 for no end")
    return int(text)


def _open(arguments: argparse.Namespace, config: Config, wanted: Wanted) -> Source:
    if wanted.url:
        from exporter.http_access import Access
        from exporter.top.source_url import UrlSource

        password_file, ca_file = _path(arguments.password_file), _path(arguments.ca_file)
        return UrlSource(
            Access(wanted.url, user=arguments.user, password_file=password_file, ca_file=ca_file)
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
