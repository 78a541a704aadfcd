"""Models and their scores as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from estimator.power_model import PowerModel

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
    return aligned(["NAME", "MADE FOR", "ZONES", "FEATURES", "ROWS"], rows, text_columns=4)


def scores_table(content: Mapping[str, Any], set_aside: Mapping[str, int]) -> str:
    """What `podjoule train` prints: each split and zone, the kind chosen, and the rows left out."""
    rows = [
        [split, zone, content["zones"][zone]["kind"], *_figures(score)]
        for split, zones in content["scores"].items()
        for zone, score in zones.items()
    ]
    head = ["SPLIT", "ZONE", "KIND", *(title for title, _ in _FIGURES)]
    return aligned(head, rows, text_columns=3) + _set_aside(set_aside)


def evaluation_table(document: Mapping[str, Any]) -> str:
    """What `podjoule evaluate` prints: the zones, then the rows outside the envelope as spans of time."""
    rows = [[zone, *_figures(score)] for zone, score in document["zones"].items()]
    text = aligned(["ZONE", *(title for title, _ in _FIGURES)], rows)
    return text + _set_aside(document.get("set_aside", {})) + _outside(document.get("outside_envelope"))


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Columns side by side, text to the left and numbers to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "".join(
        "  ".join(
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        + "\n"
        for line in lines
    )


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
