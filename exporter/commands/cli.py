"""The command line: find the command, configure, and hand over to it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import TextIO

from ebpf.errors import PodjouleError, UsageError
from ebpf.version import VERSION
from estimator.errors import ArgumentInvalid
from exporter.commands.declaration import Command, CommandGroup, Parser
from exporter.configuration.config import OPTIONS, load_config
from exporter.configuration.logs import set_up_logging
from exporter.configuration.nearest import nearest
from exporter.configuration.options import unknown_environment

log = logging.getLogger("exporter.cli")

# The module of each command, whose COMMAND declares it. Only what is asked for is imported: start-up time is
# part of the first scrape's.
_MODULES = {
    "run": "run",
    "snapshot": "snapshot",
    "top": "top",
    "record": "record",
    "replay": "replay",
    "doctor": "doctor_command",
    "unpin": "unpin",
    "samples": "samples",
    "train": "train",
    "evaluate": "evaluate",
    "models": "models",
    "report": "report",
    "config": "config_command",
}
_WRONG_USAGE = 2
_INTERRUPTED, _BROKEN_PIPE = 130, 141  # as a shell reports SIGINT and SIGPIPE


class _Menu(Parser):
    """The parser of the first word, whose help alone needs to know every command."""

    def format_help(self) -> str:
        lines = (f"    {name:<12}{declared(name).help}" for name in _MODULES)
        self.epilog = "\n".join(("commands:", *lines))
        return super().format_help()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: 0 done, 1 failed while running, 2 wrong usage or set-up; errors in one line."""
    # Its threads spin at the start, one a CPU, for products that one thread does in microseconds.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _take_every_character(sys.stdout, sys.stderr)
    try:
        code = _dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except PodjouleError as error:  # all of them are raised before anything runs: the set-up is wrong
        return _complain(error)
    except BrokenPipeError:
        _drop_stdout()
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def declared(name: str) -> Command | CommandGroup:
    """What the module of a command, or of a group of them, declares. name: its first word."""
    command: Command | CommandGroup = import_module(f"exporter.commands.{_MODULES[name]}").COMMAND
    return command


def every_command() -> list[Command]:
    """All there are, those of groups each by itself."""
    return [command for name in _MODULES for command in declared(name).commands]


def _dispatch(argv: Sequence[str]) -> int:
    name, *rest = _parser().parse_args(argv).words
    arguments, unknown = declared(name).parser().parse_known_args(rest)
    if unknown:
        raise UsageError(_unknown_argument(arguments.parser, unknown))
    config = load_config(arguments, os.environ)
    set_up_logging(config.log.level, config.log.format)
    for message in unknown_environment(os.environ, OPTIONS):
        log.warning("%s", message)
    code: int = arguments.command(arguments, config)
    return code


def _parser() -> Parser:
    parser = _Menu(
        prog="podjoule",
        description="Joules per pod, from the Linux kernel to Prometheus.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"podjoule {VERSION}")
    parser.add_argument(
        "words",
        nargs=argparse.PARSER,
        choices=_MODULES,
        metavar="COMMAND",
        help="one of those below, and what belongs to it",
    )
    return parser


def _unknown_argument(parser: Parser, unknown: Sequence[str]) -> str:
    flag = next((found.partition("=")[0] for found in unknown if found.startswith("-")), "")
    if not flag:
        return f"unknown argument {unknown[0]} (see {parser.prog} --help)"
    takers = [command.name for command in every_command() if flag in command.parser().flags]
    near = f"unknown flag {flag}; the nearest of {parser.prog} is {nearest(flag, parser.flags)}"
    return f"{near}; {flag} is a flag of {', '.join(takers)}" if takers else near


def _complain(error: PodjouleError) -> int:
    flag = f"--{error.argument.replace('_', '-')}: " if isinstance(error, ArgumentInvalid) else ""
    text = error.reason if isinstance(error, ArgumentInvalid) else str(error)
    message = flag + " ".join(text.split("\n"))
    sys.stderr.write(f"podjoule: {message}\n")
    return _WRONG_USAGE


def _take_every_character(*streams: TextIO) -> None:
    """Have what an encoding (ASCII, Latin-1) lacks written as an escape, as in Python's own errors."""
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_stdout() -> None:
    """Leave nothing for the interpreter to flush into the closed pipe at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
