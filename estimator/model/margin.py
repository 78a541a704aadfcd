"""How far off a prediction may be, by the machine's load: the interval of a split-conformal calibration."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from estimator.model.document import Field
from estimator.model.estimate import Features

_MOST_BINS = 64
_MOST_WATTS = 1e9
_LEAST_LIMIT = 1e-9


@dataclass(frozen=True, slots=True)
class LoadMargin:
    """The true power lies within the margin of the prediction with the given coverage.

    watts: where the load is not known. edges: rising loads (cpu_seconds / (n_cpu · Δt)) that part the bins;
    by_bin: watts, one more than edges, or empty where the load makes no difference. outside: the least margin
    where a feature exceeds the zone's limits. growth: by feature its limit, per CPU-second of capacity, and
    the watts by which the margin grows for each e-fold beyond it.
    """

    coverage: float
    watts: float
    edges: tuple[float, ...] = ()
    by_bin: tuple[float, ...] = ()
    outside: float = 0.0
    growth: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def at(self, load: float | None, *, inside: bool = True, rates: Features | None = None) -> float:
        """The margin at a load, watts ≥ 0; None for a load that is not measured. rates: of the features, per
        CPU-second of capacity."""
        known = load is not None and self.by_bin
        margin = self.by_bin[bisect_right(self.edges, load or 0.0)] if known else self.watts
        beyond = self._beyond(rates or {})
        return margin if inside and not beyond else max(margin, self.outside) + beyond

    def _beyond(self, rates: Features) -> float:
        return math.fsum(
            watts * math.log(rates[name] / limit)
            for name, (limit, watts) in self.growth.items()
            if rates.get(name, 0.0) > limit
        )


def load_of(cpu_seconds: float | None, n_cpu: int, interval_seconds: float) -> float | None:
    """The share of the machine's CPU time that was used; None where it is not measured."""
    capacity = n_cpu * interval_seconds
    return cpu_seconds / capacity if cpu_seconds is not None and capacity > 0 else None


def read_margin(interval: Field, unit: str) -> LoadMargin:
    """A zone's "interval": coverage, `unit` (its widest), and where they are there by_load: {"load": […],
    unit: […]} and outside: {unit: …, "growth": {feature: {"limit": …, unit: …}}}."""
    coverage, widest = interval["coverage"].number(most=1.0), interval[unit].number(most=_MOST_WATTS)
    members = interval.mapping()
    outside = interval["outside"][unit].number(most=_MOST_WATTS) if "outside" in members else 0.0
    growth = _growth(interval["outside"], unit) if "outside" in members else {}
    if "by_load" not in members:
        return LoadMargin(coverage, widest, outside=outside, growth=growth)
    edges = interval["by_load"]["load"].array(most_items=_MOST_BINS, most=1.0)
    by_bin = interval["by_load"][unit].array(most_items=_MOST_BINS + 1, most=_MOST_WATTS)
    if (edges[1:] <= edges[:-1]).any():
        interval["by_load"]["load"].refuse("loads that rise")
    if len(by_bin) != len(edges) + 1:
        interval["by_load"][unit].refuse(f"{len(edges) + 1} numbers, one for each bin of load")
    return LoadMargin(coverage, widest, tuple(edges.tolist()), tuple(by_bin.tolist()), outside, growth)


def _growth(outside: Field, unit: str) -> dict[str, tuple[float, float]]:
    if "growth" not in outside.mapping():
        return {}
    return {
        name: (of["limit"].number(least=_LEAST_LIMIT), of[unit].number(most=_MOST_WATTS))
        for name, of in outside["growth"].items()
    }


def read_ceiling(zone: Field) -> float:
    """Watts per CPU that a zone's predictions stay within; inf where the file does not say."""
    if "ceiling_watts_per_cpu" not in zone.mapping():
        return math.inf
    return zone["ceiling_watts_per_cpu"].number(most=_MOST_WATTS)
