"""The command line: parse, configure, and hand over to the one module the command needs."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, cast

from ebpf.errors import PodjouleError, UsageError
from ebpf.version import VERSION
from exporter.config import OPTIONS, Config, config_file, load_config, to_plain
from exporter.kinds import duration
from exporter.logs import set_up_logging
from exporter.model_commands import add_model_commands
from exporter.nearest import nearest
from exporter.options import CONFIG_FILE_FLAG, Option, add_flags, shown_default, unknown_environment

log = logging.getLogger("exporter.cli")

_DONE, _WRONG_USAGE = 0, 2
_INTERRUPTED, _BROKEN_PIPE = 130, 141  # as a shell reports SIGINT and SIGPIPE

_FORMATS = ("table", "json")
_DURATION = Option("duration", duration(minimum=0.1), 5.0, "How long to measure", "--duration")

# Each imports only what its command needs: start-up time is part of the first scrape's.
Command = Callable[[argparse.Namespace, Config], int]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors take the way of all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: 0 done, 1 failed while running, 2 wrong usage or set-up; errors in one line."""
    # Its threads spin at the start, one a CPU, for products that one thread does in microseconds.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
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


def _dispatch(argv: Sequence[str]) -> int:
    arguments, unknown = _parser().parse_known_args(argv)
    if unknown:
        raise UsageError(_unknown_argument(unknown))
    config = load_config(arguments, os.environ)
    set_up_logging(config.log.level, config.log.format)
    for message in unknown_environment(os.environ, OPTIONS):
        log.warning("%s", message)
    command: Command = arguments.command
    return command(arguments, config)


def _parser() -> _Parser:
    parser = _Parser(
        prog="podjoule",
        description="Joules per pod, from the Linux kernel to Prometheus.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"podjoule {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add(commands, "run", "measure and serve /metrics", _run)
    snapshot = _add(commands, "snapshot", "measure once and print", _snapshot)
    snapshot.add_argument(
        _DURATION.flag,
        default=shown_default(_DURATION),
        help=f"{_DURATION.description} (default %(default)s)",
    )
    _add_format(snapshot)
    _add_top(commands)
    _add_record(commands)
    _add_replay(commands)
    _add_format(
        _add(commands, "doctor", "say whether the exporter could run here, and what is lost", _doctor)
    )
    _add(commands, "unpin", "remove what --ebpf.pin left in the kernel", _unpin)
    add_model_commands(commands, _add)
    config = commands.add_parser("config", help="look at the configuration", allow_abbrev=False)
    parts = config.add_subparsers(metavar="COMMAND", required=True)
    _add(parts, "check", "check the configuration and print what is in force as YAML", _config_check)
    return parser


def _add(
    commands: argparse._SubParsersAction[_Parser], name: str, description: str, command: Command
) -> _Parser:
    parser = commands.add_parser(name, help=description, description=description, allow_abbrev=False)
    parser.set_defaults(command=command)
    add_flags(parser, OPTIONS)
    return parser


def _add_top(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add(commands, "top", "show live who uses the energy", _top)
    parser.add_argument(
        "--interval", default="2s", help="how often it measures, or asks (default %(default)s)"
    )
    parser.add_argument(
        "--by", default="all", help="all, pod, container, namespace, unit or process (default %(default)s)"
    )
    parser.add_argument(
        "--sort",
        default="watts",
        help="watts, share, joules, cpu, ipc, mpki, carbon, cost or name (default %(default)s)",
    )
    parser.add_argument("--filter", default="", metavar="TEXT", help="only rows found by a text or a regex")
    parser.add_argument("--plain", action="store_true", help="print a table, as into a pipe")
    parser.add_argument("--count", metavar="N", help="print N tables, one an interval; 0 for no end")
    parser.add_argument("--url", default="", help="ask a running podjoule, such as http://node-1:28283")
    parser.add_argument("--user", default="", help="user for --url, with --password-file")
    parser.add_argument("--password-file", metavar="FILE", help="holds the password for --url")
    parser.add_argument("--ca-file", metavar="FILE", help="PEM certificates of those who may vouch for --url")


def _add_record(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add(commands, "record", "measure and write it to Parquet files", _record)
    parser.add_argument("--output", required=True, metavar="DIR", help="where the files go; made if need be")
    parser.add_argument(
        "--max-bytes",
        metavar="N",
        help="most bytes of them, the oldest go first (such as 500M; default no bound)",
    )
    parser.add_argument("--duration", help="how long to record (default until stopped)")


def _add_replay(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add(commands, "replay", "run the exporter over a recording", _replay)
    parser.add_argument("directory", metavar="DIR", help="what record wrote")
    parser.add_argument(
        "--speed",
        default="max",
        metavar="N",
        help="1: as fast as it was recorded, serving /metrics; max (default): at once, printing the whole",
    )
    _add_format(parser)


def _add_format(parser: _Parser) -> None:
    parser.add_argument("--format", choices=_FORMATS, default="table", help="what is printed (default table)")


def _run(arguments: argparse.Namespace, config: Config) -> int:
    from exporter.run import run

    return run(config, lambda: load_config(arguments, os.environ), config_file(arguments, os.environ))


def _snapshot(arguments: argparse.Namespace, config: Config) -> int:
    from exporter.snapshot import snapshot

    return snapshot(config, _seconds(arguments.duration), arguments.format)


def _top(arguments: argparse.Namespace, config: Config) -> int:
    from exporter.top.command import top

    return top(arguments, config, os.environ)


def _record(arguments: argparse.Namespace, config: Config) -> int:
    from exporter.recorder import parse_bytes, record

    most = arguments.max_bytes
    return record(
        config,
        Path(arguments.output),
        None if most is None else parse_bytes(most),
        None if arguments.duration is None else _seconds(arguments.duration),
    )


def _replay(arguments: argparse.Namespace, config: Config) -> int:
    from exporter.replay import parse_speed, replay

    return replay(config, Path(arguments.directory), parse_speed(arguments.speed), arguments.format)


def _seconds(text: str) -> float:
    return cast(float, _DURATION.parse(text, _DURATION.flag))


def _doctor(arguments: argparse.Namespace, config: Config) -> int:
    from exporter.doctor import doctor

    return doctor(config, arguments.format, os.environ)


def _unpin(_arguments: argparse.Namespace, config: Config) -> int:
    from exporter.unpin import unpin

    return unpin(config)


def _config_check(_arguments: argparse.Namespace, config: Config) -> int:
    import yaml

    if config.web.config_file is not None:
        from exporter.web.security import check_web_config

        check_web_config(config.web.config_file)
    sys.stdout.write(yaml.safe_dump(to_plain(config), sort_keys=False))
    return _DONE


def _unknown_argument(unknown: Sequence[str]) -> str:
    flag = next((found.partition("=")[0] for found in unknown if found.startswith("-")), "")
    if not flag:
        return f"unknown argument {unknown[0]} (see podjoule --help)"
    known = [told.flag for told in OPTIONS.values()]
    known += [
        CONFIG_FILE_FLAG,
        "--by",
        "--ca-file",
        "--count",
        "--duration",
        "--filter",
        "--format",
        "--features",
        "--input",
        "--interval",
        "--kind",
        "--max-bytes",
        "--microarchitecture",
        "--online",
        "--output",
        "--password-file",
        "--plain",
        "--range",
        "--speed",
        "--url",
        "--user",
        "--zones",
        "--help",
        "--version",
    ]
    return f"unknown flag {flag}; the nearest known one is {nearest(flag, known)}"


def _complain(error: PodjouleError) -> int:
    message = " ".join(str(error).split("\n"))
    sys.stderr.write(f"podjoule: {message}\n")
    return _WRONG_USAGE


def _drop_stdout() -> None:
    """Leave nothing for the interpreter to flush into the closed pipe at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
