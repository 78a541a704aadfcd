"""What explains that a span took more or less energy than the one before: parts that add up."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.reports.summary import Amount, Change

_IDLE = ("idle", "idle_share")


def change_between(
    kinds_before: Mapping[str, Amount], kinds: Mapping[str, Amount], before: Amount, now: Amount
) -> Change:
    """The change of the whole. kinds: amounts by kind of row, now and before; what has no CPU time is
    `other`.

    Work at the watts of before, then the change of these at today's work: (C1 - C0) w0 + (w1 - w0) C1. Grams
    the same way: energy at the intensity of before, and the rest.
    """
    joules = now.joules - before.joules
    work = _joules(kinds, "active") - _joules(kinds_before, "active")
    more = _more_work(kinds_before.get("active"), kinds.get("active"))
    idle = sum(_joules(kinds, kind) - _joules(kinds_before, kind) for kind in _IDLE)
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


def _more_work(before: Amount | None, now: Amount | None) -> float:
    """What the change of CPU time explains; where there was none before, all of it is more work."""
    seconds = (now.cpu_seconds if now else 0.0) - (before.cpu_seconds if before else 0.0)
    if before is None or not before.cpu_seconds:
        return now.joules if now and seconds else 0.0
    return seconds * before.joules / before.cpu_seconds


def _joules(kinds: Mapping[str, Amount], kind: str) -> float:
    return kinds[kind].joules if kind in kinds else 0.0
