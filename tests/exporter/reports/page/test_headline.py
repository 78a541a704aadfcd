"""The headline is true of the figures, whichever they are."""

from __future__ import annotations

import math
from dataclasses import replace

from exporter.reports.page.headline import badge, facts, measured_ratio, sentences
from exporter.reports.summary import Summary
from tests.exporter.reports.page.example import KWH, amount, example, small


def said(summary: Summary) -> str:
    return " ".join(sentences(summary)).replace("\u202f", " ")


def test_it_tells_how_much_how_sure_and_what_it_caused() -> None:
    text = said(example())
    assert text.startswith(
        "prod-eu used 1,653 kWh in October 2026: 1,272 kWh at its nodes and 381 kWh around"
    )
    assert (
        "80.0 % was measured, the rest is a model's estimate; the whole lies between 1,570 and 1,736 kWh."
        in text
    )
    assert "That is 582 kg CO\u2082e and 512.45 EUR." in text
    assert "2 hours are missing, and nothing was put in their place; 99.6 % of the rest was covered." in text
    assert "The account is closed: its rows no longer change (3f9c2a6be0d1)." in text


def test_what_nobody_said_is_not_told() -> None:
    bare = replace(
        amount(2 * KWH), grams=None, cost=None, low_joules=2 * KWH, high_joules=2 * KWH, covered_ratio=1.0
    )
    text = said(small(total=bare, nodes=bare, joules_by_source={"measured:rapl": 1.0}))
    assert text == (
        "prod used 2.00 kWh in 2026-10-01. All of it was measured. "
        "All rows add up to what the nodes' meters counted, to less than a millionth. "
        "All of the time was covered, and no hour is missing. "
        "The account is open: figures may still change."
    )


def test_what_does_not_add_up_is_told_as_such() -> None:
    assert "It does not add up: in the worst hour rows and the nodes' meters differ by 0.34 %." in said(
        small(difference_ratio=-0.0034)
    )
    assert "rows of an hour in which the nodes' meters counted nothing" in said(
        small(difference_ratio=math.inf)
    )
    assert ("Adds up", "no", "") in facts(small(difference_ratio=2e-6))
    assert ("Adds up", "yes", "") in facts(small(difference_ratio=2e-7))


def test_a_month_of_models_alone_is_an_estimate() -> None:
    summary = small(joules_by_source={"model:a@1": KWH})
    assert measured_ratio(summary) == 0.0
    assert badge(summary) == ("estimated", "warn")
    assert "All of it is a model's estimate;" in said(summary)


def test_without_sources_the_nodes_say_how_much_was_measured() -> None:
    assert measured_ratio(small()) == 0.8
    assert measured_ratio(small(nodes=amount(0.0))) == 0.0


def test_one_hour_is_missing() -> None:
    assert "1 hour is missing" in said(small(hours_missing=1))


def test_a_part_is_not_told_as_the_whole() -> None:
    text = said(replace(example(), namespaces=("shop", "shop-jobs"), clusters=("prod",)))
    assert text.startswith(
        "shop and shop-jobs in prod used 1,653 kWh in October 2026; "
        "idle energy and overhead that are nobody's are not in it."
    )
    rows = "Together with all others, these rows add up to what the nodes' meters counted"
    assert rows in said(small(namespaces=("shop",)))
    assert "All rows" not in said(small(namespaces=("shop",)))
    assert said(small(namespaces=("a", "b", "c"))).startswith("a, b and c in prod used")
