"""FOCUS: charges that the FinOps Foundation's own validator takes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from ebpf.errors import UsageError
from exporter.reports.formats.focus import focus_text
from exporter.reports.summary import Amount, Group, Summary
from tests.exporter.reports.formats import focus_validator
from tests.exporter.reports.formats.summaries import summary_with


def charges(summary: Summary) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(focus_text(summary))))


@pytest.fixture(scope="module")
def validator() -> None:
    try:
        focus_validator.install()
    except focus_validator.NotInstalled as error:
        pytest.skip(f"needs focus-validator from a package index: {error}")


@pytest.mark.e2e
def test_focus_validator_takes_it(validator: None, tmp_path: Path) -> None:
    file = tmp_path / "focus.csv"
    file.write_text(focus_text(summary_with()))
    assert "Validation succeeded" in focus_validator.validate(file)


@pytest.mark.e2e
def test_focus_validator_would_say_so(validator: None, tmp_path: Path) -> None:
    file = tmp_path / "focus.csv"
    file.write_text(focus_text(summary_with()).replace(",EUR,", ",EURO,").replace("Usage-Based", "Daily"))
    said = focus_validator.validate(file)
    assert "ChargeFrequency_Enum failed" in said
    assert "BillingCurrency_IsCurrencyCode failed" in said


def test_charges_add_up_and_their_energy_and_carbon_stand_beside_them() -> None:
    found = charges(summary_with())
    assert sum(float(each["BilledCost"]) for each in found) == pytest.approx(0.5)
    assert [float(each["ConsumedQuantity"]) for each in found] == [1.0, 0.25]
    assert [float(each["x_EnergyJoules"]) for each in found] == [3.6e6, 0.9e6]
    assert [each["x_CarbonGrams"] for each in found] == ["400.0", "100.0"]
    assert json.loads(found[0]["Tags"]) == {"namespace": "shop"}
    assert float(found[0]["ListUnitPrice"]) * float(found[0]["ConsumedQuantity"]) == pytest.approx(0.4)


def test_a_group_without_energy_is_no_charge() -> None:
    empty = Group(("gone",), Amount(0.0, 0.0, 0.0, cost=0.0), 0.0, 0.0)
    assert len(charges(summary_with(empty))) == 2


def test_without_a_cost_there_is_nothing_to_charge() -> None:
    with pytest.raises(UsageError, match=r"no cost; set cost\.pricePerKwh"):
        focus_text(summary_with(cost=None))
