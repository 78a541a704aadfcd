"""Every group in figures: one line each, one column for what is known of any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from exporter.reports.page.figures import DASH, change, decimal, decimals_for, percent
from exporter.reports.page.kinds import nobodys
from exporter.reports.page.markup import Markup
from exporter.reports.page.tables import Column, known, numbers, spelt, table, texts
from exporter.reports.summary import Amount, Group, Summary
from exporter.tariffs.tariffs import JOULES_PER_KWH

_HOUR_SECONDS = 3600.0
_TITLES = {"node_group": "Node group"}


def group_table(summary: Summary) -> Markup:
    """The table, the largest group first."""
    groups = sorted(summary.groups, key=lambda group: -group.amount.joules)
    names = [
        texts(title_of(by), (_named(group, place) for group in groups)) for place, by in enumerate(summary.by)
    ]
    columns = [*names, *known(_figures(groups, summary.currency))]
    return table("groups", f"Every {' and '.join(map(title_of, summary.by))}".lower(), columns, len(names))


def title_of(by: str) -> str:
    """`label:team` as "team", `node_group` as "Node group"."""
    _, is_label, name = by.partition("label:")
    return name if is_label else _TITLES.get(by, by.capitalize())


def _named(group: Group, place: int) -> str:
    """Nobody's kind stands in the first place that has no other name."""
    part = group.key[place] if place < len(group.key) else ""
    kind = nobodys(group.key)
    if not kind:
        return part or "(none)"
    return "" if part == f"({kind})" and part in group.key[:place] else part


def _figures(groups: Sequence[Group], currency: str) -> list[Column]:
    amounts = [group.amount for group in groups]
    whole = sum(amount.joules for amount in amounts)
    return [
        numbers("Energy, kWh", [amount.joules / JOULES_PER_KWH for amount in amounts]),
        _bounds(amounts),
        _ratios("Share", amounts, lambda amount: amount.joules / whole if whole else None),
        _changes(groups),
        numbers("CO\u2082e, kg", [_thousandth(amount.grams) for amount in amounts]),
        numbers("By contracts, kg", [_thousandth(amount.market_grams) for amount in amounts]),
        numbers(f"Cost, {currency}".rstrip(", "), [amount.cost for amount in amounts]),
        numbers("CPU hours", [_hours(amount.cpu_seconds) for amount in amounts]),
        numbers("W a CPU", [_watts_a_cpu(amount) for amount in amounts]),
        numbers("Reserved hours", [_hours(amount.requested_cpu_seconds) for amount in amounts]),
        _ratios(
            "Measured",
            amounts,
            lambda amount: amount.measured_joules / amount.joules if amount.joules else None,
        ),
        _ratios("Covered", amounts, lambda amount: amount.covered_ratio if amount.joules else None),
    ]


def _bounds(amounts: Sequence[Amount]) -> Column:
    decimals = decimals_for([amount.joules / JOULES_PER_KWH for amount in amounts])
    shown = (
        " to ".join(
            decimal(joules / JOULES_PER_KWH, decimals) for joules in (amount.low_joules, amount.high_joules)
        )
        for amount in amounts
    )
    return spelt("Low to high, kWh", shown, (amount.high_joules - amount.low_joules for amount in amounts))


def _ratios(title: str, amounts: Sequence[Amount], of: Callable[[Amount], float | None]) -> Column:
    ratios = [of(amount) for amount in amounts]
    return spelt(title, (percent(ratio) for ratio in ratios), ratios)


def _changes(groups: Sequence[Group]) -> Column:
    pairs = [(group.amount.joules, group.before.joules if group.before else None) for group in groups]
    return spelt(
        "Change",
        (change(after, before) if before else DASH for after, before in pairs),
        (after / before - 1.0 if before else None for after, before in pairs),
    )


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000.0


def _watts_a_cpu(amount: Amount) -> float | None:
    return amount.joules / amount.cpu_seconds if amount.cpu_seconds > 0 else None


def _hours(cpu_seconds: float | None) -> float | None:
    return cpu_seconds / _HOUR_SECONDS if cpu_seconds else None
