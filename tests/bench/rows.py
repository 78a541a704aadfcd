"""One line of the benchmark table, and the table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured, against its budget in DESIGN section 8.

    measured: the raw figures in words. ratio_or_value and budget are in `unit`; ok: within the budget.
    """

    what: str
    measured: str
    ratio_or_value: float
    budget: float
    unit: str
    ok: bool


def at_most(what: str, measured: str, value: float, budget: float, unit: str) -> Row:
    """A row that is good up to its budget."""
    return Row(what, measured, value, budget, unit, value <= budget)


def print_table(rows: Iterable[Row]) -> None:
    """The rows as a Markdown table, so that docs can hold what was printed."""
    print("| what | measured | value | budget | unit | ok |")
    print("|---|---|---:|---:|---|---|")
    for row in rows:
        figures = f"{row.ratio_or_value:.3g} | ≤ {row.budget:.3g} | {row.unit}"
        print(f"| {row.what} | {row.measured} | {figures} | {'yes' if row.ok else 'NO'} |")
