"""`podjoule top`: chooses source and view, and puts them together."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ebpf.errors import UsageError
from exporter.config import Config
from exporter.kinds import duration
from exporter.nearest import nearest
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
    state = State(
        by=_one_of("by", arguments.by, GROUPINGS),
        sort=_one_of("sort", arguments.sort, tuple(SORT_KEYS.values())),
        filter=arguments.filter,
    )
    return Wanted(interval, state, arguments.url, arguments.plain, _tables(arguments.count))


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
