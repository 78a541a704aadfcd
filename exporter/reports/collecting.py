"""An hour after the other: asked for by some nodes at a time, added up, and written."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from ebpf.errors import UsageError
from exporter.reports.accounting import Account
from exporter.reports.asking import HourOfNodes
from exporter.reports.hour_store import HourStore
from exporter.reports.hours import HOUR_SECONDS, spelt
from exporter.reports.merging import HourOfRows, NodeGroup, difference_ratio
from exporter.reports.options import Options
from exporter.reports.queries import NODE, Queries
from exporter.reports.source import Source
from exporter.reports.timeline import AROUND_SECONDS

log = logging.getLogger("exporter.reports")

NODES_AT_ONCE: Final = 4
"""Few enough for an answer of some ten megabytes at a hundred pods a node and a scrape every 15 s."""
_LONG_SECONDS = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Wanted:
    """How hours are collected. market_intensity: g/kWh of what was bought, None for nothing said."""

    queries: Queries
    groups: Sequence[NodeGroup] = ()
    market_intensity: float | None = None
    concurrency: int = 2
    nodes_at_once: int = NODES_AT_ONCE

    @property
    def options(self) -> Options:
        """What files say of it."""
        groups = tuple(f"{group.name}={group.pattern.pattern}" for group in self.groups)
        return Options(tuple(sorted(self.queries.pod_labels)), groups, self.market_intensity)


@dataclass(frozen=True, slots=True)
class Collected:
    """One hour. rows: none where the server has nothing of it. nodes: how many were scraped."""

    hour: int
    rows: int
    nodes: int
    joules: float = 0.0
    difference_ratio: float = 0.0


@dataclass(slots=True)
class _Told:
    """What was warned of: once for each node."""

    nodes: set[tuple[str, str]] = field(default_factory=set)

    def first(self, what: str, node: str) -> bool:
        """Whether it has not been said of the node."""
        before = len(self.nodes)
        self.nodes.add((what, node))
        return len(self.nodes) > before


class Collector:
    """Collects hours from a source into a store."""

    def __init__(self, source: Source, store: HourStore, wanted: Wanted) -> None:
        self._source, self._store, self._wanted = source, store, wanted
        self._told = _Told()

    def collect(self, hours: Sequence[int]) -> Iterator[Collected]:
        """Each hour as it is written, once; one without data is not.

        Raises CollectFailed, all hours before it written.
        """
        executor = ThreadPoolExecutor(self._wanted.concurrency, thread_name_prefix="collect")
        try:
            for hour in hours:
                yield self._write(hour, self._added_up(hour, executor))
        finally:
            self._source.stop()
            executor.shutdown(wait=False, cancel_futures=True)

    def _write(self, hour: int, added: HourOfRows) -> Collected:
        self._tell_lacking(added)
        rows = added.rows()
        if not rows:
            return Collected(hour, 0, added.nodes)
        self._store.write(hour, rows, self._wanted.options)
        joules = sum(row.joules for row in rows if row.kind != "overhead")
        return Collected(hour, len(rows), added.nodes, joules, difference_ratio(rows))

    def _added_up(self, hour: int, executor: ThreadPoolExecutor) -> HourOfRows:
        """No more answers are held than are asked for at a time; what is kept of a node is its sums."""
        added = HourOfRows(hour, self._wanted.groups, self._wanted.market_intensity)
        nodes, some = self._nodes(hour), self._wanted.nodes_at_once
        under_way: list[Future[list[Account]]] = [
            executor.submit(self._accounts, hour, nodes[first : first + some])
            for first in range(0, len(nodes), some)
        ]
        try:
            while under_way:
                for account in under_way.pop(0).result():
                    added.add(account)
        finally:
            for each in under_way:
                each.cancel()
        return added

    def _accounts(self, hour: int, nodes: Sequence[str]) -> list[Account]:
        asked = HourOfNodes(self._source, self._wanted.queries, hour, nodes, self._tell_beside)
        return list(asked.accounts())

    def _nodes(self, hour: int) -> list[str]:
        begin, end = hour - AROUND_SECONDS, hour + HOUR_SECONDS + AROUND_SECONDS
        found = self._source.label_values(NODE, self._wanted.queries.scrapes, begin, end)
        return [node for node in found if node]

    def _tell_beside(self, node: str, beside: int) -> None:
        if self._told.first("beside", node):
            log.warning(
                "node_name %s: scraped as %d targets at the same time; the one with the most samples counts."
                " Choose one by --selector, such as 'job=\"podjoule\"'",
                node,
                beside + 1,
            )

    def _tell_lacking(self, added: HourOfRows) -> None:
        for node in added.lacking["zones"]:
            if self._told.first("zones", node):
                log.warning(
                    "node_name %s: no podjoule_energy_zone_info, so none of its energy counts; is its"
                    " podjoule an old one, or are its metrics filtered?",
                    node,
                )
        for node in added.lacking["begin"]:
            if self._told.first("begin", node):
                log.warning(
                    "node_name %s: counters came onto its page with more than was used since the scrape"
                    " before, and count from then on; was --metrics.level changed, or a rule of"
                    " relabel_configs?",
                    node,
                )
        for what in ("grams", "cost"):
            lacking = added.lacking[what]
            if len(lacking) < added.nodes and lacking and self._told.first(what, lacking[0]):
                log.warning(
                    "node_name %s and %d more tell no %s, as others do: rows that they are part of have none",
                    lacking[0],
                    len(lacking) - 1,
                    what,
                )


def require_series(source: Source, queries: Queries, begin: int, end: int) -> None:
    """That the server has something of podjoule's in the range. Raises UsageError with the nearest mend."""
    if source.label_values(NODE, queries.scrapes, begin, end):
        return
    where = f"{source.url}: no {queries.scrapes} from {spelt(begin)} to {spelt(end)}"
    if queries.selector and source.label_values(NODE, Queries().scrapes, begin, end):
        jobs = source.label_values("job", Queries().scrapes, begin, end)
        raise UsageError(f"{where}, but there is without --selector; its jobs are {', '.join(jobs)}")
    around = (("later", end, end + _LONG_SECONDS), ("before", begin - _LONG_SECONDS, begin))
    for when, first, last in around:
        if source.label_values(NODE, queries.scrapes, first, last):
            raise UsageError(
                f"{where}, but there is {when}; look at --from and --to, and how long it keeps samples"
            )
    raise UsageError(f"{where}; is podjoule scraped by it, and is this the right server?")
