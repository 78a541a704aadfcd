"""`podjoule models`: the shipped models and model files, looked at."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from estimator.errors import ModelInvalid, ModelUnavailable
from estimator.model.doubtful import implausible
from estimator.model.file import SHIPPED, list_models, load_model, load_shipped
from estimator.model.power_model import PowerModel
from exporter.commands.declaration import LOG, Command, CommandGroup
from exporter.commands.estimate import add_arguments, estimate
from exporter.commands.model_tables import models_table
from exporter.configuration.config import Config

_FAILED = 1


def find_model(name: str) -> PowerModel:
    """A shipped model, or that of a file. Raises ModelUnavailable or ModelInvalid."""
    return load_shipped(name) if name in list_models() else load_model(Path(name))


def list_shipped(_arguments: Namespace, _config: Config) -> int:
    """One line a model: name, machine, zones with their kinds, features."""
    sys.stdout.write(models_table([load_shipped(name) for name in list_models()]))
    return 0


def show(arguments: Namespace, _config: Config) -> int:
    """The card of a shipped model as it is, or one made from a model file."""
    from estimator.training.model_card import render_card

    if arguments.name in list_models():
        card = (SHIPPED / f"{arguments.name}.md").read_text(encoding="utf-8")
    else:
        path = Path(arguments.name)
        model = load_model(path)
        document = json.loads(path.read_text(encoding="utf-8"))
        card = render_card(model, document, f"podjoule models show {model.name}")
    sys.stdout.write(card)
    return 0


def verify(arguments: Namespace, _config: Config) -> int:
    """One line a file: its name and hash, or the field that is wrong; 1 if one must not be used."""
    code = 0
    for name in arguments.files:
        try:
            model = load_model(Path(name))
        except (ModelInvalid, ModelUnavailable) as error:
            sys.stdout.write(f"refused  {error}\n")
            code = _FAILED
            continue
        if doubt := implausible(model):
            sys.stdout.write(f"refused  model {name}: {doubt}\n")
            code = _FAILED
        else:
            sys.stdout.write(f"ok       {name}: {model.name}, sha256 {model.sha256}\n")
    return code


def _add_name(parser: ArgumentParser) -> None:
    parser.add_argument("name", help="a shipped model, or a file")


def _add_files(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE")


COMMAND = CommandGroup(
    "models",
    "look at the shipped models",
    (
        Command("models list", "name the shipped models", list_shipped),
        Command("models show", "print a model's card", show, add_arguments=_add_name),
        Command(
            "models estimate",
            "what a machine is taken to draw that nobody meters",
            estimate,
            (*LOG, "model"),
            add_arguments,
        ),
        Command(
            "models verify", "check model files; 1 if one must not be used", verify, add_arguments=_add_files
        ),
    ),
)
