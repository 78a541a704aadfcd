"""What a machine's answers come to: errors in percent, in one place for the tests and for the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Answer = dict[str, Any]

CPU_SLACK_NS = 20_000_000
"""cpu.stat itself is brought up to date at ticks: what is allowed whatever the load."""

SHORT_PROCESSES = {"x86_64": 360, "aarch64": 180}
"""So many have to have lived and died for their CPU time to say anything, by the machine."""


def percent_off(found: float, true: float) -> float:
    """How far `found` is from `true`, in percent of it; 0 where both are 0."""
    return abs(found - true) / true * 100 if true else (0.0 if not found else float("inf"))


def percent_outside(found: float, least: float, most: float) -> float:
    """How far a figure lies outside its bounds, in percent of the upper one."""
    return 100 * max(least - found, found - most, 0) / most


def outside_ns(row: Answer) -> int:
    """How far our count lies outside the two figures of the kernel that bracket it."""
    return int(max(row["least_ns"] - row["counted_ns"], row["counted_ns"] - row["most_ns"], 0))


def cpu_error_percent(row: Answer) -> float:
    """The same in percent of what the kernel says."""
    return outside_ns(row) / row["most_ns"] * 100


def loads_of(answers: dict[str, Answer]) -> Iterator[tuple[str, str, Answer]]:
    """Loader, load and row of every load of a machine."""
    counting = answers.get("core") or answers.get("core-and-bcc") or {}
    for loader, rows in counting.get("loads", {}).items():
        for load, row in rows.items():
            yield loader, load, row


def instruction_errors(answers: dict[str, Answer]) -> dict[str, float]:
    """By field: the largest difference from perf in percent, over the cgroups that counted enough to tell."""
    errors: dict[str, float] = {}
    for rows in answers.get("events", {}).get("counts", {}).values():
        for field, row in rows.items():
            if row["perf"] > 2_000:
                errors[field] = max(errors.get(field, 0), percent_off(row["counted"], row["perf"]))
    return errors


def sharing_errors(found: Iterable[Answer]) -> tuple[float, float]:
    """The worst of several loads: of shared time in points, of awake time in percent of the window."""
    found = list(found)
    return (
        max(loop["off_points"] for each in found for loop in each["loops"]),
        max(awake["off_percent"] for each in found for awake in each["awake"].values()),
    )


def exported_error(run: Answer, zone: str, *, restarted: bool) -> float:
    """How far a zone's exported energy is from the plant's truth, in percent, from first look to last.

    restarted: the time between the two processes is in it; else that is nobody's, and each counts by itself.
    """
    drawn, exported = run["drawn"][zone], run["exported"][zone]
    spans = [(0, 3)] if restarted else [(0, 1), (2, 3)]
    return percent_off(
        sum(exported[end] - exported[start] for start, end in spans),
        sum(drawn[end] - drawn[start] for start, end in spans),
    )


def unbalanced(books: Answer) -> float:
    """What idle, cgroups and unattributed leave of the whole, relative."""
    parts = books["idle"] + books["cgroups"] + books["unattributed"]
    return abs(parts - books["total"]) / books["total"]


def sums_off_percent(totals: Iterable[float], truths: Iterable[float]) -> float:
    """How far sums that were exported are from those of a meter's readings, in percent of what they span.

    Which reading the first sum is of is not known: the best of all is taken. Readings are far apart.
    """
    first, *_, last = totals = list(totals)
    truths = list(truths)
    worst = [
        max(min(abs(total - first - (truth - begin)) for truth in truths) for total in totals)
        for begin in truths
    ]
    return min(worst) / (last - first) * 100
