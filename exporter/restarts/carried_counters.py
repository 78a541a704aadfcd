"""Counters that stand in no ledger and go on over a restart all the same: ticks, errors, runs."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from exporter.metrics import families as f
from exporter.metrics.exposition import Family, Labels

Key = tuple[str, Labels]

# The ledger's own: what it restores must not be added a second time.
BOOKED = frozenset(spec.name for spec in f.SPECS if spec.booked)
# What the kernel itself goes on counting while its maps are pinned.
KERNELS_OWN = frozenset({f.BPF_DROPPED_SECONDS.name, f.BPF_LOST_EVENTS.name})


class Carried:
    """Adds to each counter what the processes before this one had counted.

    The process's own (process_*) begin anew, as every Prometheus client's do.
    """

    def __init__(self) -> None:
        self._before: dict[str, dict[Labels, float]] = {}
        self._own: dict[Key, float] = {}

    def restore(self, kept: Mapping[Key, tuple[float, float]], continuing: Container[str] = ()) -> None:
        """Go on from what `kept` answered. continuing: families whose own count did not begin anew."""
        self._before = {}
        for (name, labels), (before, own) in kept.items():
            self._before.setdefault(name, {})[labels] = before + (0.0 if name in continuing else own)

    def kept(self) -> Mapping[Key, tuple[float, float]]:
        """By series: what was counted before this process, and by it."""
        before = {(name, labels): n for name, series in self._before.items() for labels, n in series.items()}
        return {key: (before.get(key, 0.0), self._own.get(key, 0.0)) for key in {**before, **self._own}}

    def carry(self, families: Iterable[Family]) -> list[Family]:
        """The families, those of counters with what was counted before."""
        return [self._carry(family) if _is_carried(family) else family for family in families]

    def _carry(self, family: Family) -> Family:
        own = dict(zip(family.labels, map(float, family.values), strict=True))
        self._own |= {(family.name, labels): value for labels, value in own.items()}
        width = len(family.label_names)  # a version before this one may have had other labels
        before = {k: n for k, n in self._before.get(family.name, {}).items() if len(k) == width}
        if not before:
            return family
        total = {labels: own.get(labels, 0.0) + before.get(labels, 0.0) for labels in {**own, **before}}
        return replace(family, labels=list(total), values=list(total.values()))


def _is_carried(family: Family) -> bool:
    return family.type == "counter" and family.name not in BOOKED
