"""A summary as text, a document and flat tables: the same figures, with units in the names."""

from __future__ import annotations

import csv
import io
import json
import math

import pyarrow.parquet as pq
import pytest

from exporter.reports.formats.document import document, json_text
from exporter.reports.formats.flat import csv_text, parquet_bytes
from exporter.reports.formats.table import table_text
from exporter.reports.summary import Amount, Group
from tests.exporter.reports.formats.summaries import summary_with


def test_the_document_says_what_the_summary_says() -> None:
    found = json.loads(json_text(summary_with()))
    assert found == document(summary_with())
    assert (found["from"], found["to"]) == ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z")
    assert found["groups"][0]["key"] == {"namespace": "shop"}
    assert found["groups"][0]["low_joules"] == 3.4e6
    assert found["groups"][1]["before"] is None
    assert found["days"] == [
        {
            "day": "2026-10-01",
            "joules": {"active": 3.6e6, "idle": 0.9e6},
            "grams": 500.0,
            "low_joules": 4.3e6,
            "high_joules": 4.8e6,
        }
    ]
    assert found["wasters"][0]["used_ratio"] == 0.25
    assert found["sci"]["grams_per_unit"] == pytest.approx(5.6)
    assert found["closed_sha256"] is None


def test_a_ratio_without_an_end_is_null() -> None:
    summary = summary_with(difference_ratio=math.inf)
    assert json.loads(json_text(summary))["difference_ratio"] is None


def test_csv_and_parquet_have_the_same_rows() -> None:
    summary = summary_with(by=("label:team",))
    in_csv = list(csv.DictReader(io.StringIO(csv_text(summary))))
    in_parquet = pq.read_table(io.BytesIO(parquet_bytes(summary))).to_pylist()
    assert (
        [row["label_team"] for row in in_csv]
        == [row["label_team"] for row in in_parquet]
        == ["shop", "(idle)"]
    )
    assert [float(row["joules"]) for row in in_csv] == [row["joules"] for row in in_parquet] == [3.6e6, 0.9e6]
    assert in_csv[1]["market_grams"] == ""
    assert in_parquet[1]["market_grams"] is None
    assert in_parquet[0]["part_ratio"] == 0.8


def test_the_table_says_how_sure_each_figure_is_and_what_changed() -> None:
    lines = table_text(summary_with()).splitlines()
    assert lines[0] == "prod: 2026-10 (open)"
    assert lines[1].startswith("1.250 kWh (1.194 to 1.333), 100.0% measured, covered 99.00%")
    assert "3 hours are missing" in lines
    assert [line.split() for line in lines if line.startswith(("shop ", "(idle)"))] == [
        ["shop", "1.000", "0.944", "1.083", "100", "0.400", "0.40", "99.0", "+20.0"],
        ["(idle)", "0.250", "0.250", "0.250", "100", "0.100", "0.10", "100.0", "-"],
    ]
    assert ["together", "+0.417"] in [line.split() for line in lines]
    assert ["shop/web", "1.1", "25.0", "0.250"] in [line.split() for line in lines]
    assert lines[-1] == "SCI 5.6 g CO2e per order: (500 g for 1.25 kWh + 60 g embodied) / 100"


def test_a_name_cannot_talk_to_the_terminal() -> None:
    evil = Group(("\x1b[31mred",), Amount(1.0, 1.0, 1.0), 1.0, 0.0)
    assert "\x1b" not in table_text(summary_with(evil))
