"""A margin is wider the farther a feature lies beyond what was seen."""

from __future__ import annotations

import math

import pytest

from estimator.errors import ModelInvalid
from estimator.model.document import Field
from estimator.model.margin import LoadMargin, read_ceiling, read_margin

OUTSIDE = {"watts": 6.0, "growth": {"cycles": {"limit": 2e9, "watts": 10.0}}}


def margin_of(**members: object) -> LoadMargin:
    return read_margin(Field("f", "interval", {"coverage": 0.9, "watts": 5.0, **members}), "watts")


def test_each_e_fold_beyond_the_limit_adds_as_much() -> None:
    margin = margin_of(outside=OUTSIDE)
    assert margin.at(0.5, rates={"cycles": 2e9}) == 5.0
    assert margin.at(0.5, inside=False, rates={"cycles": 2e9}) == 6.0
    assert margin.at(0.5, rates={"cycles": 2e9 * math.e}) == pytest.approx(16.0)
    assert margin.at(0.5, rates={"cycles": 2e9 * math.e**2, "instructions": 1e30}) == pytest.approx(26.0)


def test_a_file_without_growth_is_as_it_was() -> None:
    margin = margin_of(outside={"watts": 6.0})
    assert margin.at(0.5, inside=False, rates={"cycles": 1e30}) == 6.0
    assert margin_of().at(None, inside=False, rates={"cycles": 1e30}) == 5.0


@pytest.mark.parametrize(
    "wrong", [{"limit": 0.0, "watts": 1.0}, {"limit": 1.0, "watts": -1.0}, {"limit": 1.0}]
)
def test_growth_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ModelInvalid, match=r"interval\.outside\.growth\.cycles"):
        margin_of(outside={"watts": 6.0, "growth": {"cycles": wrong}})


def test_a_ceiling_is_told_or_there_is_none() -> None:
    assert read_ceiling(Field("f", "zone", {"ceiling_watts_per_cpu": 9.5})) == 9.5
    assert read_ceiling(Field("f", "zone", {})) == math.inf
    with pytest.raises(ModelInvalid, match="ceiling_watts_per_cpu"):
        read_ceiling(Field("f", "zone", {"ceiling_watts_per_cpu": -1.0}))
