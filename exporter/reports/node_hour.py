"""What a server has of one node about an hour, as one timeline: whichever targets it was scraped as."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from estimator.energy import FloatArray
from exporter.errors import CollectFailed
from exporter.metrics.families import NODE_JOULES
from exporter.reports import gpus
from exporter.reports.matrix import Series
from exporter.reports.queries import NODE, OWN_LABELS, SCRAPES
from exporter.reports.timeline import (
    BoolArray,
    Longest,
    Steps,
    begun_anew,
    increments,
    longest_of,
    make_steps,
    on_scrapes,
)

Labels = tuple[str, ...]
Target = tuple[tuple[str, str], ...]
"""The labels that a scrape gives to all series of a page, sorted."""
_NAME = "__name__"
_OWN: Final = {label for labels in OWN_LABELS.values() for label in labels} | {gpus.UUID}
_SLACK = 0.2  # of the longest step: half of the usual one
_STAYS = 0.5  # a target of which less than that lies outside the times of others is scraped beside them


@dataclass(frozen=True, slots=True)
class Table:
    """Series of one family.

    labels: its own, in the family's order, each set once. values: (n, scrapes), NaN for none.
    """

    labels: tuple[Labels, ...]
    values: FloatArray


@dataclass(frozen=True, slots=True)
class Span:
    """When a target is the node's. begin, end: its first and last sample."""

    target: Target
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Which targets a node was, one after the other. names: of the labels that tell targets apart.

    beside: how many more it was scraped as at the same time, which do not count.
    """

    node: str
    names: frozenset[str]
    spans: tuple[Span, ...]
    times: FloatArray
    beside: int = 0

    def longest(self, hour: int) -> Longest:
        """Up to how long a step between its scrapes is covered."""
        return longest_of(self.times, hour)

    def between(self, begin: float, end: float) -> Timeline:
        """The same with the scrapes in (begin, end] alone."""
        return replace(self, times=self.times[(self.times > begin) & (self.times <= end)])

    def after(self, earlier: Timeline) -> Timeline:
        """The same with scrapes of an earlier time before its own."""
        return replace(
            self,
            names=self.names | earlier.names,
            spans=(*earlier.spans, *self.spans),
            times=np.concatenate((earlier.times, self.times)),
        )


@dataclass(frozen=True, slots=True)
class NodeHour:
    """One node: the steps between its scrapes, and its families on them.

    late: the steps in which series that are new do not count from 0 (see baselines), None where there are
    none.
    """

    node: str
    hour: int
    steps: Steps
    tables: Mapping[str, Table]
    late: BoolArray | None = None

    def table(self, name: str) -> Table:
        """A family's series; none where the node has none."""
        return self.tables.get(name) or Table((), np.empty((0, len(self.steps.end) + 1)))

    def grown(self, values: FloatArray) -> FloatArray:
        """What counters of this node grew by in each step."""
        anew = begun_anew(self.table(SCRAPES).values, self.table(NODE_JOULES.name).values)
        return increments(values, anew, self.late)


def by_node(series: Iterable[Series]) -> dict[str, list[Series]]:
    """Series by the node that they are of."""
    found: dict[str, list[Series]] = defaultdict(list)
    for each in series:
        found[each.labels.get(NODE, "")].append(each)
    return found


def make_timeline(node: str, series: Sequence[Series]) -> Timeline | None:
    """Of all targets of a node those that follow each other; None without a sample of SCRAPES.

    Of targets that were scraped at the same time the one with the most samples counts: two jobs that scrape
    one exporter must not count twice. Raises CollectFailed where a target's labels hide the exporter's.
    """
    ticks = [each for each in series if each.labels.get(_NAME) == SCRAPES]
    names = frozenset(name for each in ticks for name in each.labels) - {_NAME, NODE}
    if hidden := _OWN.intersection(names):
        raise CollectFailed(
            f"node_name {node}: the scrape gives a label {min(hidden)}, which hides podjoule's own; give that"
            " label another name in relabel_configs"
        )
    times: dict[Target, list[FloatArray]] = defaultdict(list)
    for each in ticks:
        times[_target(names, each.labels)].append(each.times)
    by_target = {target: np.unique(np.concatenate(pieces)) for target, pieces in times.items()}
    spans, beside = _spans(by_target)
    if not spans:
        return None
    own = [_clip(by_target[span.target], span) for span in spans]
    return Timeline(node, names, spans, np.unique(np.concatenate(own)), beside)


def make_node_hour(timeline: Timeline, series: Iterable[Series], hour: int, longest: Longest) -> NodeHour:
    """The families of a node on its scrapes. longest: up to which a step is covered."""
    spans: dict[Target, list[Span]] = defaultdict(list)
    for span in timeline.spans:
        spans[span.target].append(span)
    pieces: dict[str, dict[Labels, list[tuple[FloatArray, FloatArray]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for each in series:
        row = _row(each.labels)
        if row is not None and (own_spans := spans.get(_target(timeline.names, each.labels))):
            name, labels = row
            pieces[name][labels] += [_inside(each, span) for span in own_spans]
    slack = _SLACK * longest.within
    tables = {name: _table(timeline.times, rows, slack) for name, rows in pieces.items()}
    return NodeHour(timeline.node, hour, make_steps(timeline.times, longest.of(timeline.times)), tables)


def _row(labels: Mapping[str, str]) -> tuple[str, Labels] | None:
    """The family that a series counts in and its own labels there; None where it counts in none."""
    name = labels.get(_NAME, "")
    if twin := gpus.twin_of(name):
        return twin.name, tuple(gpus.label_of(labels, each) for each in twin.labels)
    if name not in OWN_LABELS:
        return None
    return name, tuple(labels.get(each, "") for each in OWN_LABELS[name])


def _table(
    times: FloatArray, rows: Mapping[Labels, Sequence[tuple[FloatArray, FloatArray]]], slack_seconds: float
) -> Table:
    labels = tuple(sorted(rows))
    return Table(labels, np.array([on_scrapes(times, rows[each], slack_seconds) for each in labels]))


def _inside(series: Series, span: Span) -> tuple[FloatArray, FloatArray]:
    inside = (series.times >= span.begin) & (series.times <= span.end)
    return series.times[inside], series.values[inside]


def _spans(by_target: Mapping[Target, FloatArray]) -> tuple[tuple[Span, ...], int]:
    """Those that count, by their begin, and how many do not.

    One that takes over counts from where the other ends.
    """
    taken: list[Span] = []
    for target in sorted(by_target, key=lambda each: (-len(by_target[each]), each)):
        at = by_target[target]
        free = at[~np.any([(at >= span.begin) & (at <= span.end) for span in taken] or [at < at], axis=0)]
        if len(free) < _STAYS * len(at) or any(free[0] < span.begin < free[-1] for span in taken):
            continue
        taken.append(Span(target, float(free[0]), float(free[-1])))
    return tuple(sorted(taken, key=lambda span: span.begin)), len(by_target) - len(taken)


def _clip(times: FloatArray, span: Span) -> FloatArray:
    return times[(times >= span.begin) & (times <= span.end)]


def _target(names: Iterable[str], labels: Mapping[str, str]) -> Target:
    return tuple(sorted((name, labels[name]) for name in names if labels.get(name)))
