"""A figure with its sentence beneath, and the colours and axes that all of them share."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from io import BytesIO

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's, which people who do not see red and green alike can tell apart: Color Universal Design,
# https://jfly.uni-koeln.de/color/
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    *("#000000", "#E69F00", "#56B4E9", "#009E73"),
    *("#F0E442", "#0072B2", "#D55E00", "#CC79A7"),
)
GRAY = "#767676"
# Beside each other in a stack: lightness alternates, so that they part in grey, too.
STACKED = (BLUE, ORANGE, GREEN, YELLOW, PURPLE, SKY, RED, BLACK)
HATCHES = ("", "///", "", "...", "", "\\\\\\", "", "xx")

WIDTH = 9.0
_SENTENCE = 138
_DPI = 80


class Plot(Figure):
    """A figure that a notebook shows by itself, without pyplot's global state.

    caption: the sentence that says what it shows, with its figures; it stands beneath the axes.
    """

    caption = ""

    def say(self, sentence: str) -> Plot:
        """Put the sentence beneath."""
        self.caption = sentence
        lines = textwrap.fill(sentence, _SENTENCE)
        self.supxlabel(lines, x=0.01, ha="left", fontsize=9, linespacing=1.35, wrap=False)
        return self

    def png(self) -> bytes:
        """The picture, the same bytes for the same data."""
        picture = BytesIO()
        self.savefig(picture, format="png", dpi=_DPI, metadata={"Software": None})
        return picture.getvalue()

    def __repr__(self) -> str:
        """The sentence, for who reads the picture without seeing it."""
        return self.caption or super().__repr__()

    def _repr_png_(self) -> bytes:
        return self.png()


def stacked(n_axes: int, height: float) -> tuple[Plot, list[Axes]]:
    """Axes one above the other, over the same abscissa."""
    figure = Plot(figsize=(WIDTH, height * n_axes + 0.6), layout="constrained")
    return figure, list(figure.subplots(n_axes, 1, sharex=True, squeeze=False)[:, 0])


def beside(n_axes: int, height: float = 3.0, columns: int = 3) -> tuple[Plot, list[Axes]]:
    """Axes beside each other, in as many lines as they take."""
    columns = min(columns, n_axes)
    lines = -(-n_axes // columns)
    figure = Plot(figsize=(WIDTH, height * lines + 0.6), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for empty in axes[n_axes:]:
        empty.remove()
    return figure, axes[:n_axes]


def minutes(timestamps: pd.Series) -> pd.Series:
    """Since the first of them."""
    return (timestamps - timestamps.min()) / 60


def listed(parts: Sequence[str]) -> str:
    """One, two and three."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
