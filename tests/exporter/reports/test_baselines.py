"""Counters that come onto a page with what they counted before: as after another --metrics.level."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.reports.accounting import Account, account
from exporter.reports.charges import Columns
from exporter.reports.matrix import Series
from exporter.reports.merging import HourOfRows
from exporter.reports.node_hour import make_node_hour, make_timeline
from exporter.reports.rows import Row
from tests.exporter.reports.nodes import account_of, pods_of, series_of, total
from tests.exporter.reports.world import HOUR, ZONES, Node, Pod

LONG = Pod("u1", "web-1", HOUR - 3_000.0, HOUR + 9_000.0, 10.0)
SHORT = Pod("u2", "db-0", HOUR + 1_000.0, HOUR + 1_900.0, 4.0, "data", "db", "b")
NODE = Node("n1", (LONG, SHORT), begin=HOUR - 3_000.0, shared_idle_watts=2.0)
ALL_ZONES = sum(ZONES.values())
SEEN = HOUR + 1_807.0
"""A scrape."""


def seen_from(begin: float, families: str) -> Account:
    """The account where these families are on no page before."""
    series = [_since(each, begin, families) for each in series_of(NODE)]
    timeline = make_timeline("n1", series)
    assert timeline is not None
    return account(make_node_hour(timeline, series, HOUR, timeline.longest(HOUR)), pods_of(NODE))


def _since(series: Series, begin: float, families: str) -> Series:
    if not re.search(families, series.labels["__name__"]):
        return series
    there = series.times >= begin
    return Series(series.labels, series.times[there], series.values[there])


def rows_of(found: Account) -> list[Row]:
    added = HourOfRows(HOUR)
    added.add(found)
    return added.rows()


def of_web(rows: list[Row]) -> Row:
    (row,) = [row for row in rows if row.kind == "active" and row.workload == "web"]
    return row


def test_pods_that_are_seen_late_have_what_they_used_since() -> None:
    rows = rows_of(seen_from(SEEN, "pod_cpu|pod_idle|container"))
    web = of_web(rows)
    assert web.joules == pytest.approx(10.0 * (HOUR + 3600 - SEEN) * ALL_ZONES)
    assert web.cpu_seconds == pytest.approx(0.5 * (HOUR + 3600 - SEEN))
    assert total(rows, "idle_share") == pytest.approx(
        2.0 * (3600 - 1807 + SHORT.end - SEEN) * ALL_ZONES, rel=1e-9
    )
    assert total(rows, "difference") > 0


def test_a_pod_whose_names_came_late_keeps_what_it_used_meanwhile() -> None:
    """It draws nearly all that the node does, and is on no page for its first half minute."""
    heavy = Pod("u1", "web-1", HOUR + 600.0, HOUR + 3_000.0, 500.0)
    node = Node("n1", (heavy,), begin=HOUR - 3_000.0)
    series = [_since(each, heavy.begin + 30.0, "pod_cpu|container") for each in series_of(node)]
    timeline = make_timeline("n1", series)
    assert timeline is not None
    found = account(make_node_hour(timeline, series, HOUR, timeline.longest(HOUR)), pods_of(node))
    assert of_web(rows_of(found)).joules == pytest.approx(500.0 * 2_400 * ALL_ZONES)


def test_cpu_time_that_is_seen_later_than_the_energy_counts_from_then_on() -> None:
    found = seen_from(SEEN, "cpu_seconds")
    web = of_web(rows_of(found))
    assert web.joules == pytest.approx(10.0 * 3600 * ALL_ZONES)
    assert web.cpu_seconds == pytest.approx(0.5 * (HOUR + 3600 - SEEN))
    assert "begin" in found.lacks


def test_a_node_whose_own_counters_are_seen_late_counts_from_then_on() -> None:
    found = seen_from(SEEN, "node_cpu|unattributed")
    watts = NODE.watts() + 10.0
    since = watts * (HOUR + 3600 - SEEN) + 4.0 * (SHORT.end - SEEN)
    whole = sum(float(charges[Columns.JOULES]) for charges in found.whole.values())
    assert whole == pytest.approx(since * ALL_ZONES, rel=1e-9)


def test_a_pod_that_is_new_counts_from_0() -> None:
    assert "begin" not in account_of(NODE).lacks
    rows = rows_of(account_of(NODE))
    assert next(row for row in rows if row.workload == "db").joules > 4.0 * 890 * ALL_ZONES


def test_a_level_without_containers_lacks_no_begin() -> None:
    assert "begin" not in seen_from(HOUR + 99_999, "cpu_seconds").lacks


@settings(max_examples=15)
@given(
    st.floats(HOUR - 1200, HOUR + 4000),
    st.sampled_from(["pod_cpu", "pod_idle", "cgroup", "pod|container|cgroup", "idle", "unattributed"]),
)
def test_no_more_is_on_rows_than_the_node_counted(begin: float, families: str) -> None:
    found = seen_from(begin, families)
    rows = rows_of(found)
    whole = sum(float(charges[Columns.JOULES]) for charges in found.whole.values())
    # What could be of pods without names is taken for theirs: a minute's and a step's energy at most.
    assert total(rows, "difference") >= -whole / 3600 * (60 + 30)
    assert total(rows, "idle") >= -1e-6 * whole
