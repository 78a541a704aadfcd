"""What explains the change from the month before, as a waterfall that begins at what that month was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.reports.page.charts.drawing import bar, line
from exporter.reports.page.charts.entries import HEIGHT, Entry, entries
from exporter.reports.page.figures import kilograms, kwh, signed
from exporter.reports.page.markup import Markup, joined
from exporter.reports.page.scales import Scale
from exporter.reports.summary import Change

_NOISE = 1e-9  # what is left of a difference of sums


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the change: from where it goes to where, counted from the month before. Together: from 0."""

    name: str
    note: str
    start: float
    end: float
    together: bool = False

    @property
    def by(self) -> float:
        """How much it adds; negative where it takes away."""
        return self.end - self.start


def steps(parts: Sequence[tuple[str, str, float]]) -> tuple[Step, ...]:
    """Each part begins where the one before ended; the last step is all of them together."""
    made, level = [], 0.0
    for name, note, amount in parts:
        made.append(Step(name, note, level, level + amount))
        level += amount
    return (*made, Step("Together", "", 0.0, level, together=True))


def energy_steps(change: Change) -> tuple[Step, ...]:
    """In joules."""
    return steps(
        (
            ("CPU time", "more or less work", change.cpu_seconds_joules),
            ("Watts a CPU second", "the same work at another cost", change.watts_per_cpu_second_joules),
            ("Idle", "nodes that wait", change.idle_joules),
            ("Other", "unattributed, difference, overhead", change.other_joules),
        )
    )


def carbon_steps(change: Change) -> tuple[Step, ...]:
    """In grams; nothing where they are not known."""
    if change.energy_grams is None or change.intensity_grams is None:
        return ()
    return steps(
        (
            ("Energy", "at the grid of before", change.energy_grams),
            ("Grid", "its carbon intensity alone", change.intensity_grams),
        )
    )


def energy_waterfall(change: Change) -> Markup:
    """The change of the energy."""
    return _waterfall(energy_steps(change), kwh)


def carbon_waterfall(change: Change) -> Markup:
    """The change of the emissions, or nothing."""
    return _waterfall(carbon_steps(change), kilograms) if carbon_steps(change) else Markup()


def _waterfall(of: Sequence[Step], spelt: Callable[[float], str]) -> Markup:
    levels = [0.0, *(each.end for each in of)]
    scale = Scale(min(levels), max(levels) if max(levels) > min(levels) else min(levels) + 1.0)
    return entries((_entry(each, scale, spelt, last=each is of[-1]) for each in of), HEIGHT, "waterfall")


def _entry(step: Step, scale: Scale, spelt: Callable[[float], str], *, last: bool) -> Entry:
    css = ("more" if step.by > 0 else "less") + (" together" if step.together else "")
    zero, level = scale.place(0.0), scale.place(step.end)
    shapes = [line(zero, 0, zero, HEIGHT, "zero"), bar(*scale.span(step.start, step.end), 2, HEIGHT - 4, css)]
    if not last:
        shapes.append(line(level, HEIGHT - 2, level, HEIGHT + 16, "link"))
    return Entry(
        step.name,
        joined(shapes),
        signed(spelt(step.by if abs(step.by) > _NOISE * (scale.high - scale.low) else 0.0)),
        step.note,
    )
