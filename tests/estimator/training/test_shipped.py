"""The shipped bare-metal models are what their documented command makes."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from estimator.model.file import load_shipped, parse_model
from estimator.training.samples import Samples
from estimator.training.shipped import RECIPES, main

DATA = Path(__file__).parents[2] / "data"


def test_the_documented_command_makes_the_shipped_models(
    tmp_path: Path, nx12: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    """To a millionth: other processors and libraries round otherwise."""
    main(["--output", str(tmp_path), "--data", str(DATA), "--pictures", str(tmp_path)])
    assert "2 models" in capsys.readouterr().out
    rows = nx12.frame.iloc[::40].to_dict("records")
    for name in RECIPES:
        made = parse_model(name, (tmp_path / f"{name}.json").read_text())
        shipped = load_shipped(name)
        assert made.training == shipped.training
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        card = resources.files("models").joinpath(f"{name}.md").read_text(encoding="utf-8")
        assert words((tmp_path / f"{name}.md").read_text()) == words(card)
        for zone, of in shipped.zones.items():
            joules = [(of.predict(row, 32, 3.0), made.zones[zone].predict(row, 32, 3.0)) for row in rows]
            assert np.array([a for a, _ in joules]) == pytest.approx(
                np.array([b for _, b in joules]), rel=1e-6
            )


def words(card: str) -> str:
    """The card without its figures, which other processors round otherwise."""
    return re.sub(r"[-+]?\d[\d.e+-]*|sha256 `\w+`|[pnµmkMG]J?(?= )", "#", card)


@pytest.mark.parametrize("name", RECIPES)
def test_the_card_says_how_good_it_is_and_what_it_is_not_for(name: str) -> None:
    card = resources.files("models").joinpath(f"{name}.md").read_text(encoding="utf-8")
    model = load_shipped(name)
    assert model.sha256 in card
    for word in (
        "MAE",
        "MAPE",
        "WAPE",
        "bias",
        "idle bias",
        "interval holds",
        "later_part",
        "must not be used",
    ):
        assert word in card
    later = model.scores["later_part"]["package"]
    assert f"{later['mae_watts']:.3g} W" in card


def test_counters_tell_more_than_cpu_time() -> None:
    counters, cpu_time = (load_shipped(name).scores["later_part"] for name in RECIPES)
    for zone in counters:
        assert counters[zone]["mae_watts"] < cpu_time[zone]["mae_watts"]
    assert counters["package"]["mae_watts"] <= 8.0
    assert counters["dram"]["mae_watts"] <= 4.15
    assert min(counters[zone]["coverage_percent"] for zone in ("package", "dram")) >= 85


def test_a_file_stays_small() -> None:
    for name in RECIPES:
        text = resources.files("models").joinpath(f"{name}.json").read_text(encoding="utf-8")
        assert len(text) < 250_000
        assert text.count("\n") < 600
        json.loads(text)
