"""One line of the benchmark table, and the table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured, against its budget in DESIGN section 8.

    measured: the raw figures in words. ratio_or_value and budget are in `unit`; ok: within the budget.
    budget and ok are None where there is none to hold: such a row explains another.
    """

    what: str
    measured: str
    ratio_or_value: float
    budget: float | None
    unit: str
    ok: bool | None


def at_most(what: str, measured: str, value: float, budget: float, unit: str) -> Row:
    """A row that is good up to its budget."""
    return Row(what, measured, value, budget, unit, value <= budget)


def note(what: str, measured: str, value: float, unit: str) -> Row:
    """A row without a budget."""
    return Row(what, measured, value, None, unit, None)


def print_table(rows: Iterable[Row]) -> None:
    """The rows as a Markdown table, each as soon as it is known, so that docs can hold what was printed."""
    print("| what | measured | value | budget | unit | ok |")
    print("|---|---|---:|---:|---|---|", flush=True)
    for row in rows:
        budget = "" if row.budget is None else f"≤ {row.budget:.3g}"
        ok = {True: "yes", False: "NO", None: ""}[row.ok]
        print(
            f"| {row.what} | {row.measured} | {row.ratio_or_value:.3g} | {budget} | {row.unit} | {ok} |",
            flush=True,
        )
