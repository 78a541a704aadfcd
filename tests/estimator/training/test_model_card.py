"""What a card says a model is for and not for, and of its coefficients."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import pandas as pd
import pytest

from estimator.model.file import list_models, render_model
from estimator.training.model_card import render_card
from estimator.training.samples import clean_samples
from estimator.training.train import UNKNOWN_MACHINE, Recipe, Title, as_model, train

NOT_FOR = "## What it must not be used for"


def card_of(table: pd.DataFrame, **recipe: Any) -> str:
    title = Title("mine", "2026-11-29", {**UNKNOWN_MACHINE, "microarchitecture": "Haswell"})
    content = train(clean_samples(table), Recipe(**recipe), title)
    return render_card(as_model(content), json.loads(render_model(content)), "a test")


def section(card: str, title: str) -> str:
    return card.partition(f"{title}\n")[2].partition("\n## ")[0]


@pytest.fixture
def linear(table: pd.DataFrame) -> str:
    return card_of(table, kind="linear", features=("cycles", "instructions"))


def test_what_it_is_for_does_not_stand_under_what_it_is_not_for(linear: str) -> None:
    assert "Haswell, 4 logical CPUs" in section(linear, "## What it is for")
    forbidden = section(linear, NOT_FOR)
    assert "Other CPUs" in forbidden
    assert "For machines with this CPU" not in linear
    assert "Haswell" not in forbidden


def test_a_model_of_the_package_is_not_called_one_of_the_whole_machine(linear: str) -> None:
    assert "Power of the CPU packages (package) from cycles and instructions." in linear
    assert "The power of a whole machine: board, disks" in section(linear, NOT_FOR)
    assert "whole machine" not in linear.replace("The power of a whole machine", "")


def test_a_model_of_the_whole_machine_is_for_it(table: pd.DataFrame) -> None:
    table["platform_joules"] = table["package_joules"] * 2
    card = card_of(table, kind="linear", zones=("platform",))
    assert "Power of the whole machine (platform)" in card
    assert "board, disks" not in section(card, NOT_FOR)


def test_coefficients_have_units_and_bounds(linear: str) -> None:
    """The table's machine draws 10 W and 2 nJ a cycle; its clock is 3 GHz."""
    model = section(linear, "## The model")
    assert re.search(r"\| package \| a sum of .* \| 10\.0 W \| ± \S+ W or less", model)
    assert "| package | cycle | 2 nJ | 3 G to 3 G | goes on |" in model
    assert re.search(r"\| package \| instruction \| .*J \| 1\.\d+ G to 5\.\d+ G \| nothing over", model)


def test_cpu_time_costs_joules_a_second(table: pd.DataFrame) -> None:
    model = section(card_of(table, kind="linear", features=("cpu_seconds",)), "## The model")
    assert re.search(r"\| package \| CPU-second \| [56](\.\d+)? J \| 0% to (99|100)% of the CPUs", model)


@pytest.mark.parametrize("name", list_models())
def test_every_shipped_card_says_what_for_and_what_not(name: str) -> None:
    card = resources.files("models").joinpath(f"{name}.md").read_text(encoding="utf-8")
    assert section(card, "## What it is for").strip()
    assert section(card, NOT_FOR).strip()
