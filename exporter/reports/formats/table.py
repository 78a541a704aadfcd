"""A summary for a terminal."""

from __future__ import annotations

from exporter.plain_text import aligned, printable, shortened
from exporter.reports.expressions import LABEL
from exporter.reports.summary import Amount, Change, Group, Sci, Summary
from exporter.tariffs.tariffs import JOULES_PER_KWH

_ROOM = 48
_MOST_WASTERS = 5
_NONE = "-"


def table_text(summary: Summary) -> str:
    """The groups, the sums, what explains the change, the largest wasters, and what to know before it is
    believed."""
    parts = (_head(summary), _groups(summary), _change(summary.change), _wasters(summary), _sci(summary))
    return "\n".join(part for part in parts if part)


def _head(summary: Summary) -> str:
    total = summary.total
    state = f"closed, sha256 {summary.closed}" if summary.closed else "open"
    measured = total.measured_joules / total.joules if total.joules else 0.0
    lines = [
        f"{printable(summary.title)} ({state})",
        f"{_kwh(total.joules)} kWh ({_kwh(total.low_joules)} to {_kwh(total.high_joules)}), "
        f"{measured:.1%} measured, covered {total.covered_ratio:.2%}; "
        f"rows and nodes differ by {summary.difference_ratio:.1e}",
    ]
    if summary.hours_missing:
        lines.append(f"{summary.hours_missing} hours are missing")
    if summary.embodied_grams is not None:
        lines.append(f"embodied {summary.embodied_grams / 1e3:.3f} kg CO2e")
    return "".join(f"{line}\n" for line in lines)


def _groups(summary: Summary) -> str:
    money = summary.currency or "COST"
    names = [name.removeprefix(LABEL).upper() for name in summary.by]
    head = [*names, "KWH", "LOW", "HIGH", "MEASURED %", "KG CO2E", money, "COVERED %", "BEFORE %"]
    lines = [
        [*(shortened(printable(value), _ROOM) for value in group.key), *_figures(group.amount), _more(group)]
        for group in summary.groups
    ]
    whole = ["(total)", *[""] * (len(names) - 1), *_figures(summary.total), ""]
    return aligned([head, *lines, whole], range(len(names)))


def _figures(amount: Amount) -> list[str]:
    measured = amount.measured_joules / amount.joules if amount.joules else 0.0
    return [
        *(_kwh(joules) for joules in (amount.joules, amount.low_joules, amount.high_joules)),
        f"{measured * 100:.0f}",
        _NONE if amount.grams is None else f"{amount.grams / 1e3:.3f}",
        _NONE if amount.cost is None else f"{amount.cost:.2f}",
        f"{amount.covered_ratio * 100:.1f}",
    ]


def _more(group: Group) -> str:
    if group.before is None or not group.before.joules:
        return _NONE
    return f"{(group.amount.joules / group.before.joules - 1) * 100:+.1f}"


def _change(change: Change | None) -> str:
    if change is None:
        return ""
    lines = [
        ["CHANGE", "KWH"],
        ["CPU seconds", _kwh(change.cpu_seconds_joules, "+")],
        ["watts a CPU second", _kwh(change.watts_per_cpu_second_joules, "+")],
        ["idle", _kwh(change.idle_joules, "+")],
        ["other", _kwh(change.other_joules, "+")],
        ["together", _kwh(change.joules, "+")],
    ]
    if change.grams is None or change.energy_grams is None or change.intensity_grams is None:
        return aligned(lines)
    grams = [
        ["CHANGE", "KG CO2E"],
        ["energy", f"{change.energy_grams / 1e3:+.3f}"],
        ["intensity of the grid", f"{change.intensity_grams / 1e3:+.3f}"],
        ["together", f"{change.grams / 1e3:+.3f}"],
    ]
    return aligned(lines) + "\n" + aligned(grams)


def _wasters(summary: Summary) -> str:
    lines = [
        [
            shortened(printable("/".join(each.key)), _ROOM),
            f"{each.requested_cpu_seconds / 3600:.1f}",
            f"{each.used_ratio * 100:.1f}",
            _kwh(each.idle_joules),
        ]
        for each in summary.wasters[:_MOST_WASTERS]
    ]
    return aligned([["RESERVED AND IDLE", "CPU HOURS", "USED %", "IDLE KWH"], *lines]) if lines else ""


def _sci(summary: Summary) -> str:
    sci: Sci | None = summary.sci
    if sci is None:
        return ""
    return (
        f"SCI {sci.grams_per_unit:.6g} g CO2e per {printable(sci.unit)}: ({sci.operational_grams:.6g} g for "
        f"{sci.energy_kwh:.6g} kWh + {sci.embodied_grams:.6g} g embodied) / {sci.units:.6g}\n"
    )


def _kwh(joules: float, sign: str = "") -> str:
    return f"{joules / JOULES_PER_KWH:{sign}.3f}"
