"""The families about the meters beside each other, and how sure a meter is that gives watts alone."""

from __future__ import annotations

from exporter.metrics.specs import NODE, Catalogue

declare = Catalogue()

DISAGREEMENT = declare.gauge(
    "podjoule_meter_disagreement_ratio",
    "How far another source of a zone is from the one that serves it, the difference of their energy over the"
    " last ten minutes or so by that of the one that serves; of several devices the one that is furthest apart",
    ("zone", "source", "other"),
)
SPREAD_WATTS = declare.gauge(
    "podjoule_meter_spread_watts",
    "How far the power over the last tick may be off, where it was integrated from watts, in watts",
    NODE,
)
