"""The meters beside each other, as families."""

from __future__ import annotations

from collections.abc import Sequence

from estimator.energy import ZoneShare
from exporter.metrics import meter_families as f
from exporter.metrics.exposition import Family
from exporter.tick.power import Power


def meter_families(power: Power, shares: Sequence[ZoneShare], node: str) -> list[Family]:
    """None where a model or one meter of counters serves everything."""
    twins = [twin for twin in power.meter.twins() if twin.ratio is not None] if power.meter else []
    infos = power.source.infos()
    unsure = [
        share.energy
        for share in shares
        if share.energy.low_joules < share.energy.high_joules
        and share.energy.interval_seconds > 0
        and (info := infos.get(share.energy.zone))
        and not info.model
    ]
    spreads = [(each.high_joules - each.low_joules) / 2 / each.interval_seconds for each in unsure]
    return [
        f.DISAGREEMENT.family(
            [(node, twin.zone, twin.source, twin.other) for twin in twins],
            [twin.ratio or 0.0 for twin in twins],
        ),
        f.SPREAD_WATTS.family([(node, each.zone, each.path) for each in unsure], spreads),
    ]
