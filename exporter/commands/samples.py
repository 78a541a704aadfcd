"""`podjoule samples`: samples tables, looked at before anything is made from them."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.commands.declaration import Command, CommandGroup, add_format
from exporter.commands.samples_input import training_installed
from exporter.configuration.config import Config

if TYPE_CHECKING:
    from estimator.training.plausible import Finding

_FAILED = 1
_MOST_ROWS = 5


def check(arguments: Namespace, _config: Config) -> int:
    """Print what is wrong with a table, row by row and as a whole: 0, or 1 where rows cannot be used."""
    with training_installed():
        from estimator.library.checking import check_samples
    findings = check_samples(arguments.file, {"n_cpu": arguments.cpus} if arguments.cpus else None)
    in_json = json.dumps([asdict(finding) for finding in findings], indent=1) + "\n"
    sys.stdout.write(in_json if arguments.format == "json" else _table(findings))
    return _FAILED if any(finding.severity == "wrong" for finding in findings) else 0


def _table(findings: list[Finding]) -> str:
    """A line a finding; rows that have the same in one."""

    def alike(finding: Finding) -> tuple[bool, str, str, str]:
        return finding.row is not None, finding.column, finding.what, finding.mend

    lines = []
    for (is_row, column, what, mend), group in groupby(sorted(findings, key=alike), alike):
        same = list(group)
        where = [_rows(same)] if is_row else []
        where += [f"column {column}"] if column else []
        lines.append(f"{same[0].severity:8}  {': '.join((', '.join(where) or 'table', what))} -> {mend}\n")
    return "".join(lines) or "ok: nothing is wrong with it\n"


def _rows(findings: list[Finding]) -> str:
    rows = [str(finding.row) for finding in findings]
    more = f" and {len(rows) - _MOST_ROWS} more" if len(rows) > _MOST_ROWS else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(rows[:_MOST_ROWS])}{more}"


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV, Parquet or a recording")
    parser.add_argument("--cpus", type=int, metavar="N", help="logical CPUs of the machine it is of")
    add_format(parser)


COMMAND = CommandGroup(
    "samples",
    "look at samples tables",
    (
        Command(
            "samples check",
            "say what is wrong with a table, row by row; 1 if rows cannot be used",
            check,
            add_arguments=_add_arguments,
        ),
    ),
)
