"""What explains that a span took more or less energy than the one before: parts that add up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from exporter.reports.summary import Amount, Change

_WORK, _IDLE = ("active",), ("idle", "idle_share")


def change_between(
    sums_before: Sequence[Mapping[str, Any]], sums: Sequence[Mapping[str, Any]], before: Amount, now: Amount
) -> Change:
    """The change of the whole; work whose CPU time is not known is `other`. sums: of expressions.amounts.

    Work at the watts of before, then the change of these at today's work: (C1 - C0) w0 + (w1 - w0) C1. Grams
    the same way: energy at the intensity of before, and the rest.
    """
    joules = now.joules - before.joules
    work = _sum(sums, "worked_joules", _WORK) - _sum(sums_before, "worked_joules", _WORK)
    more = _more_work(sums_before, sums)
    idle = _sum(sums, "joules", _IDLE) - _sum(sums_before, "joules", _IDLE)
    grams = energy_grams = None
    if now.grams is not None and before.grams is not None and before.joules:
        grams = now.grams - before.grams
        energy_grams = joules * before.grams / before.joules
    return Change(
        joules=joules,
        cpu_seconds_joules=more,
        watts_per_cpu_second_joules=work - more,
        idle_joules=idle,
        other_joules=joules - work - idle,
        grams=grams,
        energy_grams=energy_grams,
        intensity_grams=None if grams is None or energy_grams is None else grams - energy_grams,
    )


def _more_work(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> float:
    """What the change of CPU time explains; where there was none before, all of it is more work."""
    seconds_before, seconds = (_sum(rows, "cpu_seconds", _WORK) for rows in (before, now))
    joules_before, joules = (_sum(rows, "worked_joules", _WORK) for rows in (before, now))
    if not seconds_before:
        return joules if seconds else 0.0
    return (seconds - seconds_before) * joules_before / seconds_before


def _sum(rows: Sequence[Mapping[str, Any]], name: str, kinds: Sequence[str]) -> float:
    return math.fsum(row[name] or 0.0 for row in rows if row["kind"] in kinds)
