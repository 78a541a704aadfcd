"""How far off a prediction may be, by the machine's load: the interval of a split-conformal calibration."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from estimator.model.document import Field

_MOST_BINS = 64
_MOST_WATTS = 1e9


@dataclass(frozen=True, slots=True)
class LoadMargin:
    """The true power lies within the margin of the prediction with the given coverage.

    watts: where the load is not known. edges: rising loads (cpu_seconds / (n_cpu · Δt)) that part the bins;
    by_bin: watts, one more than edges, or empty where the load makes no difference. outside: the least margin
    where a feature exceeds the zone's limits.
    """

    coverage: float
    watts: float
    edges: tuple[float, ...] = ()
    by_bin: tuple[float, ...] = ()
    outside: float = 0.0

    def at(self, load: float | None, *, inside: bool = True) -> float:
        """The margin at a load, watts ≥ 0; None for a load that is not measured."""
        known = load is not None and self.by_bin
        margin = self.by_bin[bisect_right(self.edges, load or 0.0)] if known else self.watts
        return margin if inside else max(margin, self.outside)


def load_of(cpu_seconds: float | None, n_cpu: int, interval_seconds: float) -> float | None:
    """The share of the machine's CPU time that was used; None where it is not measured."""
    capacity = n_cpu * interval_seconds
    return cpu_seconds / capacity if cpu_seconds is not None and capacity > 0 else None


def read_margin(interval: Field, unit: str) -> LoadMargin:
    """A zone's "interval": coverage, `unit` (its widest), and where they are there outside: {unit: …} and
    by_load: {"load": […], unit: […]}."""
    coverage, widest = interval["coverage"].number(most=1.0), interval[unit].number(most=_MOST_WATTS)
    members = interval.mapping()
    outside = interval["outside"][unit].number(most=_MOST_WATTS) if "outside" in members else 0.0
    if "by_load" not in members:
        return LoadMargin(coverage, widest, outside=outside)
    edges = interval["by_load"]["load"].array(most_items=_MOST_BINS, most=1.0)
    by_bin = interval["by_load"][unit].array(most_items=_MOST_BINS + 1, most=_MOST_WATTS)
    if (edges[1:] <= edges[:-1]).any():
        interval["by_load"]["load"].refuse("loads that rise")
    if len(by_bin) != len(edges) + 1:
        interval["by_load"][unit].refuse(f"{len(edges) + 1} numbers, one for each bin of load")
    return LoadMargin(coverage, widest, tuple(edges.tolist()), tuple(by_bin.tolist()), outside)
