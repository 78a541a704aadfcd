"""One hour of some nodes, asked of a server: their samples, what came before a gap, their pods."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from exporter.metrics import tariff_families as c
from exporter.reports.accounting import Account, Pods, Workload, account
from exporter.reports.hours import HOUR_SECONDS, spelt
from exporter.reports.matrix import Series
from exporter.reports.node_hour import Timeline, by_node, make_node_hour, make_timeline
from exporter.reports.queries import NODE, Queries
from exporter.reports.source import Source
from exporter.reports.timeline import AROUND_SECONDS, LONGEST_STEP_SECONDS

log = logging.getLogger("exporter.reports")

DAY_SECONDS: Final = 86_400.0
LOOK_BACK_DAYS: Final = (1, 7, 31)
"""So far back it is looked for what a node's counters were before a gap, as far as that takes; a node without
a sample in all of that is new."""
_LAST_SECONDS = 60.0  # of what was before a gap


class HourOfNodes:
    """Asks for one hour of a few nodes.

    beside: is told a node, and as how many targets more it was scraped.
    """

    def __init__(
        self,
        source: Source,
        queries: Queries,
        hour: int,
        nodes: Sequence[str],
        beside: Callable[[str, int], None],
    ) -> None:
        self._source, self._queries, self._hour, self._nodes = source, queries, hour, nodes
        self._end = float(hour + HOUR_SECONDS)
        self._beside = beside

    def accounts(self) -> Iterator[Account]:
        """Of each node that was scraped in the hour, in the order of their names. Raises CollectFailed."""
        frames = by_node(
            self._source.samples(
                self._queries.frames, self._nodes, self._hour - AROUND_SECONDS, self._end + AROUND_SECONDS
            )
        )
        timelines = self._timelines(frames)
        if not timelines:
            return
        nodes = sorted(timelines)
        last = self._end + max(timeline.longest(self._hour).at_end for timeline in timelines.values())
        counters = by_node(self._counters(nodes, frames, self._hour - LONGEST_STEP_SECONDS, last))
        pods = self._pods(nodes)
        for node in nodes:
            yield self._account(
                timelines[node], [*frames[node], *counters.get(node, ())], pods.get(node, Pods())
            )

    def _timelines(self, frames: Mapping[str, Sequence[Series]]) -> dict[str, Timeline]:
        """Of those with a scrape that has to do with the hour."""
        found = {}
        for node, series in frames.items():
            timeline = make_timeline(node, series)
            if timeline is not None and ((timeline.times > self._hour) & (timeline.times <= self._end)).any():
                found[node] = timeline
                if timeline.beside:
                    self._beside(node, timeline.beside)
        return found

    def _account(self, timeline: Timeline, series: list[Series], pods: Pods) -> Account:
        longest = timeline.longest(self._hour)
        near = timeline.between(self._hour - LONGEST_STEP_SECONDS, self._end + longest.at_end)
        if near.times[0] > self._hour and (before := self._before(timeline, near)):
            earlier, more = before
            near, series = near.after(earlier), [*series, *more]
        return account(make_node_hour(near, series, self._hour, longest), pods)

    def _before(self, timeline: Timeline, near: Timeline) -> tuple[Timeline, list[Series]] | None:
        """The last scrapes before the first of the hour's, however long before, and the counters then."""
        earlier = timeline.between(self._hour - AROUND_SECONDS, near.times[0] - 1e-3)
        if not len(earlier.times):
            found = self._long_before(timeline.node)
            if found is None:
                return None
            earlier = found
        last = float(earlier.times[-1])
        frame = self._source.samples(self._queries.frames, [timeline.node], last - _LAST_SECONDS, last)
        zones = {timeline.node: frame}
        counters = self._counters([timeline.node], zones, last - _LAST_SECONDS, last)
        return earlier.between(last - _LAST_SECONDS, last), [*frame, *counters]

    def _long_before(self, node: str) -> Timeline | None:
        """The scrapes of the shortest time back in which there are any."""
        end = self._hour - AROUND_SECONDS
        latest = end
        for begin in (end - days * DAY_SECONDS for days in LOOK_BACK_DAYS):
            ticks = self._source.samples(self._queries.scraped, [node], begin, latest)
            if (found := make_timeline(node, ticks)) is not None:
                self._tell_gap(node, (self._hour - float(found.times[-1])) / DAY_SECONDS)
                return found
            latest = begin
        return None

    def _tell_gap(self, node: str, days: float) -> None:
        if days > LOOK_BACK_DAYS[0]:
            log.warning(
                "node_name %s: not scraped for %.1f days before %s; what its counters grew by meanwhile is"
                " late energy of that hour, what they had counted before a restart is not known",
                node,
                days,
                spelt(self._hour),
            )

    def _counters(
        self, nodes: Sequence[str], frames: Mapping[str, Sequence[Series]], begin: float, end: float
    ) -> list[Series]:
        zones = {
            each.labels.get("zone", "")
            for node in nodes
            for each in frames[node]
            if each.labels.get("__name__") == c.ENERGY_ZONE_INFO.name
        }
        if not zones:
            return []
        return [
            *self._source.samples(self._queries.counters(zones), nodes, begin, end),
            *self._source.samples(self._queries.containers(zones), nodes, begin, end),
        ]

    def _pods(self, nodes: Sequence[str]) -> dict[str, Pods]:
        """What is said of the nodes' pods.

        A mutable label counts as it was for the longest part of the hour.
        """
        seconds = HOUR_SECONDS + round(LONGEST_STEP_SECONDS)
        said = self._source.by_nodes(
            lambda some: self._queries.pods(some, seconds), nodes, self._end + LONGEST_STEP_SECONDS
        )
        asked = self._source.by_nodes(
            lambda some: self._queries.requests(some, HOUR_SECONDS), nodes, self._end
        )
        workloads, requested = self._workloads(said), _requested(asked)
        return {node: Pods(workloads.get(node, {}), requested.get(node, {})) for node in nodes}

    def _workloads(self, said: Sequence[Series]) -> dict[str, dict[str, Workload]]:
        chosen = self._queries.label_names
        by_weight = sorted(said, key=lambda each: (each.values[-1], sorted(each.labels.items())))
        found: dict[str, dict[str, Workload]] = {}
        for labels in (each.labels for each in by_weight):
            kept = sorted((name, value) for label, name in chosen.items() if (value := labels.get(label, "")))
            found.setdefault(labels.get(NODE, ""), {})[labels.get("pod_id", "")] = Workload(
                labels.get("pod_namespace", ""),
                labels.get("workload_kind") or "Pod",
                labels.get("workload_name") or labels.get("pod_name", ""),
                tuple(kept),
            )
        return found


def _requested(asked: Sequence[Series]) -> dict[str, dict[str, float]]:
    """By node, and by a pod's id as well as its name: one of them is what the exporter knows, too."""
    found: dict[str, dict[str, float]] = {}
    for each in sorted(asked, key=lambda each: sorted(each.labels.items())):
        labels, cpus = each.labels, float(each.values[-1])
        pods = found.setdefault(labels.get("node", ""), {})
        for name in (labels.get("uid", ""), f"{labels.get('namespace', '')}/{labels.get('pod', '')}"):
            if name:
                pods[name] = cpus
    return found
