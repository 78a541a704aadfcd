"""Who serves each zone, and why: for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from estimator.energy import SourceInfo
from estimator.meters.agreement import Twin
from exporter.tick.meters import MAY_HAVE
from exporter.tick.power import Power


@dataclass(frozen=True, slots=True)
class ZoneSource:
    """Where a zone's energy comes from. why: in half a line, "" where there is nothing to say."""

    info: SourceInfo
    why: str = ""


def zone_sources(power: Power) -> dict[str, ZoneSource]:
    """By zone that has given energy."""
    twins = power.meter.twins() if power.meter else []
    return {
        zone: ZoneSource(
            info,
            _why(
                info,
                [twin for twin in twins if twin.zone == zone],
                {name: why for name, why in power.unserving.items() if zone in MAY_HAVE[name]},
            ),
        )
        for zone, info in power.source.infos().items()
    }


def _why(info: SourceInfo, twins: Sequence[Twin], unserving: Mapping[str, str]) -> str:
    """Which others have the zone, and which meters are there and do not serve."""
    reasons = [f"preferred to {_others(twins)}"] if twins else []
    if info.source == "model":
        reasons.append("no meter has it")
    reasons += [f"{name} does not serve: {reason}" for name, reason in unserving.items()]
    return "; ".join(reasons)


def _others(twins: Sequence[Twin]) -> str:
    return ", ".join(
        twin.other if twin.ratio is None else f"{twin.other} ({100 * twin.ratio:.1f} % apart)"
        for twin in twins
    )
