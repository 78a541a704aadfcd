"""A summary as a document: units stand in the names, and what nobody knows is null."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from exporter.reports.summary import Amount, Group, Sci, Summary, Waster

SCHEMA: Final = "podjoule.report/1"


def document(summary: Summary) -> dict[str, Any]:
    """The whole of it."""
    return {
        "schema": SCHEMA,
        "title": summary.title,
        "clusters": list(summary.clusters),
        "namespaces": list(summary.namespaces),
        "from": utc(summary.from_seconds),
        "to": utc(summary.to_seconds),
        "by": list(summary.by),
        "currency": summary.currency or None,
        "closed_sha256": summary.closed or None,
        "hours_missing": summary.hours_missing,
        # Without an end where the nodes counted nothing and rows something.
        "difference_ratio": summary.difference_ratio if math.isfinite(summary.difference_ratio) else None,
        "total": asdict(summary.total),
        "nodes": asdict(summary.nodes),
        "kinds": {kind: asdict(amount) for kind, amount in summary.kinds.items()},
        "groups": [_group(group, summary.by) for group in summary.groups],
        "joules_by_source": summary.joules_by_source,
        "days": _days(summary),
        "change": asdict(summary.change) if summary.change else None,
        "wasters": [_waster(each) for each in summary.wasters],
        "embodied_grams": summary.embodied_grams,
        "sci": _sci(summary.sci) if summary.sci else None,
    }


def json_text(summary: Summary) -> str:
    """The document as JSON."""
    return json.dumps(document(summary), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def utc(seconds: int) -> str:
    """A time as RFC 3339 has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _group(group: Group, by: tuple[str, ...]) -> dict[str, Any]:
    before: Amount | None = group.before
    return {
        "key": dict(zip(by, group.key, strict=True)),
        **asdict(group.amount),
        "active_joules": group.active_joules,
        "idle_share_joules": group.idle_share_joules,
        "before": asdict(before) if before else None,
    }


def _days(summary: Summary) -> list[dict[str, Any]]:
    return [
        {
            "day": utc(day)[:10],
            "joules": {kind: joules[i] for kind, joules in summary.joules_by_day.items()},
            "grams": summary.grams_by_day[i] if summary.grams_by_day else None,
            "low_joules": summary.low_joules_by_day[i] if summary.low_joules_by_day else None,
            "high_joules": summary.high_joules_by_day[i] if summary.high_joules_by_day else None,
        }
        for i, day in enumerate(summary.days)
    ]


def _waster(waster: Waster) -> dict[str, Any]:
    names = dict(zip(("namespace", "workload"), waster.key, strict=True))
    figures = {key: value for key, value in asdict(waster).items() if key != "key"}
    return {**names, **figures, "used_ratio": waster.used_ratio}


def _sci(sci: Sci) -> dict[str, Any]:
    return {**asdict(sci), "grams_per_unit": sci.grams_per_unit}
