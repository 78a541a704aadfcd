"""The whole in plain words: how much, how sure, what it caused, whether it adds up, what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from exporter.reports.page.charts.sources import is_measured
from exporter.reports.page.figures import (
    decimal,
    kilograms,
    kwh,
    kwh_between,
    money,
    percent,
    period,
    plural,
    span_before,
)
from exporter.reports.summary import Summary

ADDS_UP_WITHIN = 1e-6


def measured_ratio(summary: Summary) -> float:
    """The part that a meter said, 0 to 1."""
    by_source = summary.joules_by_source
    if whole := sum(by_source.values()):
        return sum(joules for source, joules in by_source.items() if is_measured(source)) / whole
    return summary.nodes.measured_joules / summary.nodes.joules if summary.nodes.joules else 0.0


def adds_up(summary: Summary) -> bool:
    """Whether rows and nodes are the same, but for rounding."""
    return abs(summary.difference_ratio) <= ADDS_UP_WITHIN


def sentences(summary: Summary) -> Iterator[str]:
    """One after another, for somebody who reads nothing else."""
    yield _energy(summary)
    yield _sureness(summary)
    yield from _caused(summary)
    yield _conservation(summary)
    yield _coverage(summary)
    yield _state(summary)


def badge(summary: Summary) -> tuple[str, str]:
    """Two words on how sure it is, and the class of their colour."""
    ratio = measured_ratio(summary)
    if ratio >= 1.0:
        return "measured", "good"
    return ("estimated", "warn") if ratio <= 0.0 else (f"{percent(ratio, 0)} measured", "mixed")


def _energy(summary: Summary) -> str:
    total, nodes = summary.total, summary.nodes
    who = _listed(summary.clusters) or "The cluster"
    if summary.namespaces:
        who = f"{_listed(summary.namespaces)} in {who}"
    said = f"{who} used {kwh(total.joules)} in {period(summary.from_seconds, summary.to_seconds)}"
    if summary.namespaces:
        return f"{said}; idle energy and overhead that are nobody's are not in it."
    overhead = total.joules - nodes.joules
    if overhead <= 1e-6 * total.joules:
        return f"{said}."
    return (
        f"{said}: {kwh(nodes.joules)} at its nodes and {kwh(overhead)} around them (cooling, power supply)."
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _sureness(summary: Summary) -> str:
    ratio, total = measured_ratio(summary), summary.total
    if ratio >= 1.0:
        said = "All of it was measured"
    elif ratio <= 0.0:
        said = "All of it is a model's estimate"
    else:
        said = f"{percent(ratio)} was measured, the rest is a model's estimate"
    if total.high_joules <= total.low_joules:
        return f"{said}."
    between = kwh_between(total.low_joules, total.high_joules).replace(" to ", " and ")
    return f"{said}; the whole lies between {between}."


def _caused(summary: Summary) -> Iterator[str]:
    total, parts = summary.total, []
    if total.grams is not None:
        parts.append(f"{kilograms(total.grams)} CO\u2082e")
    if total.cost is not None:
        parts.append(money(total.cost, summary.currency))
    if parts:
        yield f"That is {' and '.join(parts)}."


def _conservation(summary: Summary) -> str:
    if adds_up(summary):
        beside = "Together with all others, these" if summary.namespaces else "All"
        return f"{beside} rows add up to what the nodes' meters counted, to less than a millionth."
    if math.isinf(summary.difference_ratio):
        return "It does not add up: there are rows of an hour in which the nodes' meters counted nothing."
    percents = 100 * abs(summary.difference_ratio)
    return (
        f"It does not add up: in the worst hour rows and the nodes' meters differ by {percents:.2g}\u202f%."
    )


def _coverage(summary: Summary) -> str:
    ratio = summary.total.covered_ratio
    part = "all" if ratio >= 1.0 else percent(ratio)
    if not summary.hours_missing:
        return f"{part[0].upper()}{part[1:]} of the time was covered, and no hour is missing."
    missing, are = plural(summary.hours_missing, "hour"), "is" if summary.hours_missing == 1 else "are"
    return f"{missing} {are} missing, and nothing was put in their place; {part} of the rest was covered."


def _state(summary: Summary) -> str:
    if summary.closed:
        return f"The account is closed: its rows no longer change ({summary.closed[:12]})."
    return "The account is open: figures may still change."


def facts(summary: Summary) -> Iterator[tuple[str, str, str]]:
    """Name, figure and what is small beside it."""
    total = summary.total
    if total.high_joules > total.low_joules:
        yield "Between, kWh", _with_unit(kwh_between(total.low_joules, total.high_joules))[0], ""
    if total.grams is not None:
        yield "CO\u2082e", *_with_unit(kilograms(total.grams))
    if total.market_grams is not None:
        yield "CO\u2082e by contracts", *_with_unit(kilograms(total.market_grams))
    if total.cost is not None:
        yield "Cost", *_with_unit(money(total.cost, summary.currency))
    yield "Covered", percent(total.covered_ratio), _missing(summary)
    yield "Adds up", ("yes" if adds_up(summary) else "no"), ""
    yield "Account", ("closed" if summary.closed else "open"), summary.closed[:12]
    if summary.change and (before := summary.total.joules - summary.change.joules) > 0:
        ratio = summary.change.joules / before
        name = f"Against {span_before(summary.from_seconds, summary.to_seconds)}"
        yield name, f"{'+' if ratio >= 0 else ''}{decimal(100 * ratio, 1)}\u202f%", ""


def _missing(summary: Summary) -> str:
    return f"{plural(summary.hours_missing, 'hour')} missing" if summary.hours_missing else ""


def _with_unit(spelt: str) -> tuple[str, str]:
    figure, _, unit = spelt.rpartition("\u202f")
    return (figure, unit) if figure else (unit, "")
