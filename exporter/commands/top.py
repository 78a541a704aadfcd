"""`podjoule top`: the flags; see exporter.top."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from exporter.commands.declaration import MEASURING, Command
from exporter.configuration.config import Config


def _add_arguments(parser: ArgumentParser) -> None:
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


def _run(arguments: Namespace, config: Config) -> int:
    from exporter.top.command import top  # the screen's library may not be there, and --help needs none

    return top(arguments, config, os.environ)


COMMAND = Command("top", "show live who uses the energy", _run, MEASURING, _add_arguments)
