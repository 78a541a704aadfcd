"""Reserved and not used: CPU time of workloads within what they reserved."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.reports.page.charts.drawing import bar
from exporter.reports.page.charts.entries import HEIGHT, Entry, entries, legend
from exporter.reports.page.figures import DOT, kwh, number, percent
from exporter.reports.page.markup import Markup, joined
from exporter.reports.page.scales import Scale
from exporter.reports.summary import Waster

SHOWN = 10
_HOUR_SECONDS = 3600.0


def wasters_chart(wasters: Sequence[Waster]) -> Markup:
    """The first of them as they come, each with what it reserved and, in it, what it used."""
    shown = [each for each in wasters if each.requested_cpu_seconds > 0][:SHOWN]
    longest = max((max(each.requested_cpu_seconds, each.cpu_seconds) for each in shown), default=0.0)
    if longest <= 0:
        return Markup()
    scale = Scale(0.0, longest)
    marks = [("used", "CPU time used"), ("reserved", "CPU time reserved")]
    return joined((entries(_entry(each, scale) for each in shown), legend(marks)))


def _entry(waster: Waster, scale: Scale) -> Entry:
    shapes = joined(
        (
            bar(*scale.span(0, waster.requested_cpu_seconds), 3, HEIGHT - 6, "reserved"),
            bar(*scale.span(0, waster.cpu_seconds), 3, HEIGHT - 6, "used"),
        )
    )
    hours = " of ".join(
        number(each / _HOUR_SECONDS) for each in (waster.cpu_seconds, waster.requested_cpu_seconds)
    )
    return Entry(
        waster.key[-1] if waster.key else "",
        shapes,
        f"{percent(waster.used_ratio)} used",
        DOT.join(part for part in waster.key[:-1] if part),
        f"{hours} CPU hours{DOT}{kwh(waster.idle_joules)} idle",
    )
