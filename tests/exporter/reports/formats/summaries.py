"""A small summary: two teams' namespaces and what was idle."""

from __future__ import annotations

from exporter.reports.months import Span
from exporter.reports.summary import Amount, Change, Group, Sci, Summary, Waster

OCTOBER = Span("2026-10")
SHOP = Amount(3.6e6, 3.4e6, 3.9e6, 400.0, None, 0.4, 1000.0, 4000.0, 3.6e6, 0.99)
IDLE = Amount(0.9e6, 0.9e6, 0.9e6, 100.0, None, 0.1, 0.0, None, 0.9e6, 1.0)


def summary_with(*groups: Group, cost: float | None = 0.5, **rest: object) -> Summary:
    """Of October; further groups stand last."""
    total = Amount(4.5e6, 4.3e6, 4.8e6, 500.0, None, cost, 1000.0, 4000.0, 4.5e6, 0.99)
    before = Amount(3.0e6, 3.0e6, 3.0e6, 300.0)
    found = (Group(("shop",), SHOP, 3.0e6, 0.6e6, before), Group(("(idle)",), IDLE, 0.0, 0.0))
    told: dict[str, object] = {
        "title": "prod: 2026-10",
        "clusters": ("prod",),
        "from_seconds": OCTOBER.from_seconds,
        "to_seconds": OCTOBER.to_seconds,
        "by": ("namespace",),
        "groups": (*found, *groups),
        "total": total,
        "nodes": total,
        "kinds": {"active": SHOP, "idle": IDLE},
        "difference_ratio": 1e-12,
        "days": (OCTOBER.from_seconds,),
        "joules_by_day": {"active": (3.6e6,), "idle": (0.9e6,)},
        "grams_by_day": (500.0,),
        "low_joules_by_day": (4.3e6,),
        "high_joules_by_day": (4.8e6,),
        "joules_by_source": {"measured:rapl": 4.5e6},
        "currency": "EUR",
        "change": Change(1.5e6, 1.0e6, 0.2e6, 0.2e6, 0.1e6, 200.0, 150.0, 50.0),
        "wasters": (Waster(("shop", "web"), 4000.0, 1000.0, 0.9e6),),
        "sci": Sci("sum(increase(orders_total[$range]))", "order", 100.0, 1.25, 500.0, 60.0),
        "embodied_grams": 60.0,
        "hours_missing": 3,
    }
    return Summary(**{**told, **rest})  # type: ignore[arg-type]
