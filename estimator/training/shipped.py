"""The shipped models for bare metal:
`python -m estimator.training.shipped --output models/ --pictures docs/images/`.

Trains on tests/data/nx12_train.csv what `podjoule train` would, and writes JSON, card and picture of each.
tests/data/README.md says where the table comes from.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from estimator.model.file import parse_model, render_model
from estimator.model.power_model import PowerModel
from estimator.training.model_card import render_card
from estimator.training.plots import power_against_load
from estimator.training.samples import Samples, read_samples
from estimator.training.train import UNKNOWN_MACHINE, Recipe, Title, train

COMMAND = "python -m estimator.training.shipped --output models/ --pictures docs/images/"
TABLE = "nx12_train.csv"
# Stated, not the clock's; moves when the table or the method does.
CREATED = "2026-11-29"
# "Probably 2 x Xeon E5-2667 v3": Haswell-EP, 2 x 8 cores, 135 W each.
MACHINE = {
    **UNKNOWN_MACHINE,
    "vendor": "GenuineIntel",
    "family": 6,
    "model": 0x3F,
    "microarchitecture": "Haswell",
    "cores": 16,
    "sockets": 2,
    "tdp_watts": 270.0,
}
RECIPES = {
    "bare-metal-counters": Recipe(),
    "bare-metal-cpu-time": Recipe(features=("cpu_seconds",)),
}


def read(data: Path) -> Samples:
    """The table that all of them rest on."""
    return replace(read_samples([data / TABLE]), source=f"tests/data/{TABLE}")


def build(samples: Samples) -> dict[str, str]:
    """Every model's JSON by name."""
    return {name: _build(name, recipe, samples) for name, recipe in RECIPES.items()}


def _build(name: str, recipe: Recipe, samples: Samples) -> str:
    return render_model(train(samples, recipe, Title(name, CREATED, MACHINE)))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m estimator.training.shipped", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--output", type=Path, required=True, help="where the models and their cards go")
    parser.add_argument("--data", type=Path, default=Path("tests/data"), help="where the table is")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="where pictures of their data go, too")
    options = parser.parse_args(arguments)
    samples = read(options.data)
    models = build(samples)
    for name, text in models.items():
        model = parse_model(f"{name}.json", text)
        (options.output / f"{name}.json").write_text(text, encoding="utf-8")
        (options.output / f"{name}.md").write_text(_card(model, text), encoding="utf-8")
        if options.pictures:
            (options.pictures / f"{name}.png").write_bytes(power_against_load(samples.frame, model).png())
    sys.stdout.write(f"{len(models)} models in {options.output}\n")


def _card(model: PowerModel, text: str) -> str:
    return render_card(model, json.loads(text), COMMAND, f"../docs/images/{model.name}.png")


if __name__ == "__main__":
    main()
