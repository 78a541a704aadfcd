"""`podjoule evaluate`: how good a power model is, or the online calibration."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from ebpf.errors import UsageError
from exporter.commands.declaration import Command, add_format
from exporter.commands.model_tables import evaluation_table
from exporter.commands.models import find_model
from exporter.commands.samples_input import add_input, read_input, training_installed
from exporter.configuration.config import Config


def evaluate(arguments: Namespace, _config: Config) -> int:
    """Print the scores, which rows lay outside the envelope, and what to know before either is believed."""
    document = _online(arguments) if arguments.online else _offline(arguments)
    in_json = json.dumps(document, indent=1, allow_nan=False) + "\n"
    sys.stdout.write(in_json if arguments.format == "json" else evaluation_table(document))
    return 0


def _offline(arguments: Namespace) -> dict[str, Any]:
    if not arguments.file:
        raise UsageError("evaluate: no MODEL given; name a model file or a shipped model, or give --online")
    model = find_model(arguments.file)
    with training_installed():
        from estimator.library.judging import judge
        from estimator.training.trust import doubts
    samples = read_input(arguments)
    evaluation = judge(model, samples)
    return {**evaluation.document(samples), "doubts": doubts(model, samples, evaluation)}


def _online(arguments: Namespace) -> dict[str, Any]:
    if arguments.file:
        raise UsageError("evaluate: --online takes no MODEL: the calibration learns from the table itself")
    with training_installed():
        from estimator.training.online_scores import score_online
    return {"zones": score_online(read_input(arguments).frame)}


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="MODEL", help="a model file or the name of a shipped one")
    add_input(parser)
    parser.add_argument(
        "--online", action="store_true", help="score the online calibration one step ahead; takes no MODEL"
    )
    add_format(parser)


COMMAND = Command("evaluate", "score a model on samples tables", evaluate, add_arguments=_add_arguments)
