"""Models and their scores as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from estimator.model.power_model import PowerModel
from exporter.plain_text import aligned

_FIGURES = (
    ("ROWS", "rows"),
    ("MAE W", "mae_watts"),
    ("MAPE %", "mape_percent"),
    ("WAPE %", "wape_percent"),
    ("BIAS W", "bias_watts"),
    ("R2", "r2"),
    ("COVERAGE %", "coverage_percent"),
)
_MOST_SPANS = 20


def models_table(models: Sequence[PowerModel]) -> str:
    """One line a model."""
    rows = [
        [
            model.name,
            model.machine.microarchitecture or "any",
            ",".join(model.zones),
            ",".join(model.features),
            str(model.training.get("rows", "")),
        ]
        for model in models
    ]
    return aligned([["NAME", "MADE FOR", "ZONES", "FEATURES", "ROWS"], *rows], range(4))


def scores_table(content: Mapping[str, Any], set_aside: Mapping[str, int]) -> str:
    """What `podjoule train` prints: each split and zone, the kind chosen, and the rows left out."""
    rows = [
        [split, zone, content["zones"][zone]["kind"], *_figures(score)]
        for split, zones in content["scores"].items()
        for zone, score in zones.items()
    ]
    head = ["SPLIT", "ZONE", "KIND", *(title for title, _ in _FIGURES)]
    return aligned([head, *rows], range(3)) + _set_aside(set_aside)


def advice_text(advice: Sequence[str]) -> str:
    """What more would help a model, a line each."""
    return "".join(f"would help: {each}\n" for each in advice)


def evaluation_table(document: Mapping[str, Any]) -> str:
    """What `podjoule evaluate` prints: the zones, then the rows outside the envelope as spans of time."""
    rows = [[zone, *_figures(score)] for zone, score in document["zones"].items()]
    text = aligned([["ZONE", *(title for title, _ in _FIGURES)], *rows])
    text += _set_aside(document.get("set_aside", {})) + _outside(document.get("outside_envelope"))
    return text + "".join(f"beware: {doubt}\n" for doubt in document.get("doubts", ()))


def _figures(score: Mapping[str, float | None]) -> list[str]:
    values = [score.get(name) for _, name in _FIGURES]
    return ["-" if value is None else f"{value:.5g}" for value in values]


def _set_aside(counts: Mapping[str, int]) -> str:
    listed = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    return f"\nset aside: {listed or 'no row'}\n"


def _outside(outside: Mapping[str, Any] | None) -> str:
    if outside is None:
        return ""
    spans = [f"  {first:.0f} to {last:.0f}: {count} rows" for first, last, count in outside["spans"]]
    more = [f"  and {len(spans) - _MOST_SPANS} spans more"] if len(spans) > _MOST_SPANS else []
    head = f"outside the envelope: {outside['rows']} of {outside['of']} rows"
    return "\n".join([head, *spans[:_MOST_SPANS], *more]) + "\n"
