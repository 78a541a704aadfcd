"""Embodied carbon by specification and lifetime."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from ebpf.errors import UsageError
from exporter.reports.embodied import Machines, embodied_grams, kg_of_instance, read_machines
from tests.exporter.reports.embodied_table import embodied_table

YEAR_SECONDS = 8760 * 3600


def read(folder: Path, text: str) -> tuple[Machines, ...]:
    (folder / "machines.yaml").write_text(text)
    return read_machines(folder / "machines.yaml")


def test_a_quarter_of_four_years_machines_falls_on_one_year() -> None:
    assert Machines("big", 3, 1200.0).grams(YEAR_SECONDS) == pytest.approx(3 * 1200e3 / 4)
    assert embodied_grams([Machines("big", 1, 8.0, 2.0)] * 2, YEAR_SECONDS / 12) == pytest.approx(8000 / 12)


def test_a_file_names_machines_by_what_they_emitted_or_by_instance_type(tmp_path: Path) -> None:
    text = "big: {kgCO2e: 1500, machines: 3, lifetimeYears: 5}\nsmall: {instanceType: m5.24xlarge}\n"
    assert read(tmp_path, text) == (Machines("big", 3.0, 1500.0, 5.0), Machines("small", 1.0, 1200.0, 4.0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "wanted NODE_GROUP"),
        ("big: 7", "big: wanted kgCO2e or instanceType"),
        ("big: {kg: 7}", "unknown key kg"),
        ("big: {machines: 7}", "one of kgCO2e and instanceType"),
        ("big: {kgCO2e: -1}", "kgCO2e: wanted a number above 0, found -1"),
        ("big: {kgCO2e: 1, machines: .nan}", "machines: wanted a number above 0"),
        ("big: {instanceType: abacus.large}", "abacus.large; say kgCO2e"),
        ("big: {", "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=rf"machines\.yaml.*{said}"):
        read(tmp_path, text)


def test_an_instance_has_its_part_of_the_platform_by_vcpu() -> None:
    whole, part = kg_of_instance("m5.24xlarge"), kg_of_instance("m5.large")
    assert whole == 1200.0
    assert part == whole * 2 / 96
    assert kg_of_instance("m5") is None


def test_the_table_is_what_is_made_of_the_published_one() -> None:
    shipped = resources.files("exporter.reports").joinpath("embodied.csv").read_text(encoding="utf-8")
    assert shipped == embodied_table()
