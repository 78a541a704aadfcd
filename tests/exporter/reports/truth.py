"""What a fleet's account has to say: an hour's joules, grams and CPU seconds by workload, from its curves
alone.

A part of a load's energy is *known* if a sample was taken after it while its series was there. What was
counted over a gap in the samples is known too, but late: in the hour in which the gap ended. What no sample
ever saw is *unseen*.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tests.exporter.reports.curves import Curve, Floats, Window, together
from tests.exporter.reports.fleet import HOUR, TTL, Fleet, Load, Node
from tests.exporter.reports.scrapes import QUARTER, Flags, intensity, last_reset, scrapes

KEY = ["hour_seconds", "node_group", "namespace", "workload_kind", "workload", "kind", "detail", "late"]
_FOREVER = 10.0 * 365 * 86400
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class Part:
    """Energy of a load from begin to end; late: booked in the hour of that time, None if in its own."""

    begin: float
    end: float
    late: float | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """A node's samples: their times, and the gaps between them that are longer than a step may be.

    bounds: (begin, hour's bound, end) of every other step in which an hour ends.
    """

    node: Node
    times: Floats
    gaps: tuple[Window, ...]
    bounds: Floats

    @property
    def is_gap(self) -> Flags:
        """Of each step between two samples, whether it is too long."""
        return np.isin(self.times[:-1], [begin for begin, _ in self.gaps])

    def increments(self, whole: Curve) -> Floats:
        """What a counter of this node grew by from sample to sample, from 0 where it was reset in between."""
        since = np.maximum(self.times[:-1], last_reset(self.node, self.times[1:]))
        return whole.at(self.times[1:]) - whole.at(since)

    def spells(self, load: Load, ttl: float) -> Iterator[tuple[float, float, float]]:
        """(begin, last known, end) of each time between resets; before the first sample nothing is known."""
        edges = [
            load.begin,
            *(reset for reset in self.node.resets if load.begin < reset < load.end),
            load.end,
        ]
        for begin, end in itertools.pairwise(edges):
            later = (*self.node.resets, np.inf)
            until = min(end + ttl, next(reset for reset in later if reset >= end))
            first, after = np.searchsorted(self.times, [begin, until], side="right")
            last = min(end, self.times[after - 1]) if after > first else begin
            yield max(begin, min(self.times[0], end)), max(begin, last), end

    def parts(self, load: Load, ttl: float) -> Iterator[Part]:
        """What is known of a load, cut at the gaps."""
        for begin, last, _ in self.spells(load, ttl):
            at = begin
            for gap_begin, gap_end in self.gaps:
                if gap_begin < last and gap_end > at:
                    yield Part(at, max(at, gap_begin))
                    yield Part(max(at, gap_begin), min(last, gap_end), late=gap_end)
                    at = gap_end
            if at < last:
                yield Part(at, last)

    def edges(self, load: Load, curve: Curve) -> Iterator[tuple[float, float]]:
        """(hour, joules) of each step over an hour's bound: by how much a straight line misses the curve."""
        there = (self.bounds[:, 2] > load.begin) & (self.bounds[:, 0] < load.end)
        for first, bound, last in self.bounds[there]:
            before, whole = curve.at(np.array([bound, last])) - curve.at(np.array([first]))
            missed = abs(before - whole * (bound - first) / (last - first))
            if missed > _NOTHING * whole:
                yield from ((bound - HOUR, missed), (bound, missed))


def watch(fleet: Fleet, node: Node) -> Watch:
    """The samples of a node; a step may have 2.5 times the median one, and 5 min at most."""
    times = scrapes(fleet.plan, node)
    steps = np.diff(times)
    longest = min(2.5 * float(np.median(steps)), 300.0)
    over = np.flatnonzero((_hour(times[1:]) > times[:-1]) & (steps <= longest))
    bounds = np.column_stack([times[over], _hour(times[over + 1]), times[over + 1]])
    return Watch(
        node, times, tuple((times[i], times[i + 1]) for i in np.flatnonzero(steps > longest)), bounds
    )


@dataclass(frozen=True, slots=True)
class Truth:
    """rows: known joules, grams and CPU seconds by KEY, and `edge_joules`: what steps over an hour's bound
    put into the wrong one of the two, since power changed within them and nobody can tell when. nodes: what
    their meters counted, by node group, hour and late. unseen: joules that no sample saw, by workload.
    """

    rows: pd.DataFrame
    nodes: pd.DataFrame
    unseen: pd.DataFrame


AMOUNTS = ["joules", "grams", "cpu_seconds", "edge_joules"]


def truth(fleet: Fleet) -> Truth:
    """Of all that the fleet's samples tell."""
    watches = {node.name: watch(fleet, node) for node in fleet.nodes}
    rows, unseen = _Table(), []
    for load in fleet.loads:
        seen, who = watches[load.node.name], _who(load)
        rows.add(
            who, load, load.curve, seen, TTL, cores=1 / load.watts_per_core if _has_seconds(load) else 0.0
        )
        unseen += [(*who[:4], load.curve.between(load.begin, seen.times[0]))]
        unseen += [(*who[:4], load.curve.between(last, end)) for _, last, end in seen.spells(load, TTL)]
        if load.share is not None:
            rows.add((*who[:4], "idle_share", "requests"), load, load.share, seen, TTL)
            rows.add((who[0], "", "", "", "idle", ""), load, load.share, seen, TTL, sign=-1.0)
    of_unseen = pd.DataFrame(unseen, columns=[*KEY[1:5], "joules"])
    return Truth(
        rows.sums(KEY),
        pd.concat([_metered(watches[name], loads) for name, loads in fleet.of_nodes().items()])
        .groupby(["hour_seconds", "node_group", "late"], as_index=False)[["joules", "sampled_joules"]]
        .sum(),
        of_unseen.groupby(KEY[1:5], as_index=False)["joules"].sum(),
    )


def _metered(seen: Watch, loads: Sequence[Load]) -> pd.DataFrame:
    """What a node's meter counted by hour, and what straight lines from sample to sample make of it."""
    meter = together([load.curve for load in loads], [1.0] * len(loads))
    everything = Load(seen.node, "node", "", meter.times[0], meter.times[-1], meter)
    table = _Table()
    table.add((seen.node.group, *[""] * 5), everything, meter, seen, _FOREVER)
    exact = table.sums(["hour_seconds", "node_group", "late"])
    sampled = seen.increments(meter)
    lines = Curve(seen.times, np.concatenate([[0.0], np.cumsum(np.where(seen.is_gap, 0.0, sampled))]))
    hours = exact["hour_seconds"].to_numpy(dtype=float)
    grown = lines.at(hours + HOUR) - lines.at(hours)
    late = [float(sampled[seen.is_gap & (_hour(seen.times[1:]) == hour)].sum()) for hour in hours]
    return exact.assign(sampled_joules=np.where(exact["late"], late, grown))


class _Table:
    """Amounts by quarter of an hour, gathered as arrays."""

    def __init__(self) -> None:
        self._names: list[tuple[str, ...]] = []
        self._pieces: list[np.ndarray] = []

    def add(
        self, name: tuple[str, ...], load: Load, curve: Curve, seen: Watch, ttl: float,
        sign: float = 1.0, cores: float = 0.0,
    ) -> None:  # fmt: skip
        """What is known of a curve. name: node group, namespace, workload's kind and name, kind, detail."""
        self._names.append(name)
        for part in seen.parts(load, ttl):
            grid = np.array([part.begin, *_quarters(part.begin, part.end), part.end])
            joules, middles = sign * np.diff(curve.at(grid)), (grid[:-1] + grid[1:]) / 2
            hours = _hour(middles if part.late is None else np.full(len(middles), part.late))
            grams = joules * intensity(middles) / 3.6e6
            self._append(hours, part.late is not None, joules, grams, joules * cores)
        for hour, missed in seen.edges(load, curve):
            self._append(np.array([hour]), False, 0.0, 0.0, 0.0, missed)

    def _append(self, hours: Floats, late: bool, *amounts: Floats | float) -> None:
        piece = np.zeros((len(hours), 3 + len(AMOUNTS)))
        piece[:, 0], piece[:, 1], piece[:, 2] = len(self._names) - 1, hours, late
        for column, amount in enumerate(amounts):
            piece[:, 3 + column] = amount
        self._pieces.append(piece)

    def sums(self, key: list[str]) -> pd.DataFrame:
        """Summed up by these columns."""
        whole = np.concatenate(self._pieces)
        table = pd.DataFrame(whole[:, 3:], columns=AMOUNTS)
        names = (
            pd.DataFrame(self._names, columns=KEY[1:7]).iloc[whole[:, 0].astype(int)].reset_index(drop=True)
        )
        table = pd.concat([table, names], axis=1)
        table["hour_seconds"], table["late"] = whole[:, 1].astype(int), whole[:, 2].astype(bool)
        return table.groupby(key, as_index=False)[AMOUNTS].sum()


def _who(load: Load) -> tuple[str, ...]:
    if load.kind == "idle":
        return load.node.group, "", "", "", "idle", ""
    if load.kind == "unattributed":
        return load.node.group, "", "", "", "unattributed", load.workload
    name = load.kind if load.workload == "/" else load.workload
    return load.node.group, load.namespace, load.kind, name, "active", ""


def _has_seconds(load: Load) -> bool:
    return load.kind not in ("idle", "unattributed", "vm")


def _hour(times: Floats) -> Floats:
    return np.floor(times / HOUR) * HOUR


def _quarters(begin: float, end: float) -> Floats:
    """The quarters of an hour that begin in between."""
    return np.arange(np.floor(begin / QUARTER) + 1, np.ceil(end / QUARTER)) * QUARTER
