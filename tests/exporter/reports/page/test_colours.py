"""Colours can be told apart, by those who see fewer of them too, and text can be read."""

from __future__ import annotations

import itertools
import re
from importlib import resources

import numpy as np
import pytest

from exporter.reports.page.kinds import KINDS

# How colours look without one kind of cone: Machado, Oliveira, Fernandes 2009, severity 1, linear RGB.
SIGHTS = {
    "all cones": np.eye(3),
    "no long cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no middle cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "no short cones": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])
CSS = (resources.files("exporter.reports.page") / "ui/report.css").read_text()


def palette(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
    of = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", light))
    return of if scheme == "light" else {**of, **dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", dark))}


def linear(colour: str) -> np.ndarray:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * each for each in colour[1:])
    values = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(colour: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(colour, 0, 1) / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    """WCAG's, 1 to 21."""
    dark, light = sorted(float(linear(each) @ TO_XYZ[1]) for each in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sight", SIGHTS)
def test_no_two_kinds_look_alike(scheme: str, sight: str) -> None:
    colours = palette(scheme)
    for one, other in itertools.combinations((each.css.removeprefix("kind-") for each in KINDS.values()), 2):
        seen = [lab(SIGHTS[sight] @ linear(colours[name])) for name in (one, other)]
        assert np.linalg.norm(seen[0] - seen[1]) > 15, (one, other)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_more_and_less_look_different_to_all(scheme: str) -> None:
    colours = palette(scheme)
    for sight in SIGHTS.values():
        more, less = (lab(sight @ linear(colours[name])) for name in ("more", "less"))
        assert np.linalg.norm(more - less) > 30


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_shapes_stand_out_from_the_card_and_text_can_be_read(scheme: str) -> None:
    colours = palette(scheme)
    shapes = [each.css.removeprefix("kind-") for each in KINDS.values()]
    for name in (*shapes, "accent", "before", "more", "less", "edge"):
        assert contrast(colours[name], colours["card"]) >= 3, name
    for name in ("ink", "soft", "warn", "good", "accent"):
        assert contrast(colours[name], colours["card"]) >= 4.5, name
    assert contrast(colours["soft"], colours["page"]) >= 4.5
