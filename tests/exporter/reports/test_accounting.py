from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import CollectFailed
from exporter.reports.accounting import Pods, account
from exporter.reports.matrix import Series
from exporter.reports.merging import HourOfRows, NodeGroup, difference_ratio
from exporter.reports.node_hour import make_timeline
from exporter.reports.rows import KEY, Row
from tests.exporter.reports.nodes import account_of, node_hour, pods_of, rows_of, series_of, total
from tests.exporter.reports.world import HOUR, ZONES, Node, Pod

ALL_ZONES = sum(ZONES.values())
LONG = Pod("u1", "web-1", HOUR - 9_000.0, HOUR + 9_000.0, 10.0)
SHORT = Pod("u2", "web-2", HOUR + 100.0, HOUR + 190.0, 8.0)
OTHER = Pod("u3", "db-0", HOUR - 9_000.0, HOUR + 1_800.0, 4.0, "data", "db", "b")


def only(rows: list[Row], **wanted: object) -> Row:
    (row,) = [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
    return row


pods = st.builds(
    Pod,
    st.uuids().map(str),
    st.just("pod"),
    st.floats(HOUR - 4000, HOUR + 4000),
    st.floats(HOUR - 1000, HOUR + 9000),
    st.floats(0, 50),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["x", "y"]),
)
nodes = st.builds(
    Node,
    st.sampled_from(["n1", "n2"]),
    st.lists(pods.filter(lambda pod: pod.begin < pod.end), max_size=3, unique_by=lambda pod: pod.uid),
    step=st.sampled_from([30.0, 60.0]),
    offset=st.floats(0, 15),
    resets=st.lists(st.floats(HOUR - 3000, HOUR + 6000), max_size=2),
    outages=st.lists(st.tuples(st.just(HOUR + 900.0), st.floats(HOUR + 910, HOUR + 5400)), max_size=1),
    shared_idle_watts=st.sampled_from([0.0, 1.0]),
    source=st.sampled_from([("rapl", "", ""), ("model", "m", "f" * 8)]),
    error_watts=st.sampled_from([None, 0.5]),
)


@settings(max_examples=15)
@given(nodes)
def test_rows_add_up_to_what_the_meters_counted(node: Node) -> None:
    """Whatever ended, was reset or not scraped."""
    found = account_of(node)
    rows = rows_of([node])
    counted = sum(float(charges[0]) for charges in found.whole.values())
    assert total([row for row in rows if row.kind != "overhead"]) == pytest.approx(
        counted, rel=1e-9, abs=1e-9
    )
    assert all(row.low_joules <= row.joules + 1e-9 and row.joules <= row.high_joules + 1e-9 for row in rows)


@settings(max_examples=15)
@given(nodes)
def test_without_a_gap_nothing_differs(node: Node) -> None:
    rows = rows_of([replace(node, outages=())])
    assert difference_ratio(rows) < 1e-9
    assert not any(row.late for row in rows)
    assert only(rows, kind="idle").covered_seconds == pytest.approx(3600)


def test_each_workload_has_what_its_pods_used() -> None:
    rows = rows_of([Node("n1", (LONG, SHORT, OTHER))])
    web = only(rows, kind="active", workload="web")
    assert web.joules == pytest.approx((10.0 * 3600 + 8.0 * 90) * ALL_ZONES, rel=1e-9)
    assert (web.namespace, web.workload_kind, web.labels) == ("shop", "Deployment", (("team", "a"),))
    assert (web.pods, web.cpu_seconds) == (2, pytest.approx(0.5 * 3690))
    db = only(rows, kind="active", workload="db")
    assert db.joules == pytest.approx(4.0 * 1800 * ALL_ZONES, rel=1e-9)


def test_a_pod_of_ninety_seconds_is_whole() -> None:
    row = only(rows_of([Node("n1", (SHORT,), step=60.0)]), kind="active", workload="web")
    assert row.joules == pytest.approx(8.0 * 90 * ALL_ZONES, rel=1e-9)
    assert row.cpu_seconds == pytest.approx(45.0)


def test_energy_that_is_nobodys_has_rows_of_its_own() -> None:
    rows = rows_of([Node("n1", (LONG,), shared_idle_watts=3.0)])
    assert only(rows, kind="unattributed").joules == pytest.approx(0.5 * 3600 * ALL_ZONES)
    assert only(rows, kind="unattributed").detail == "no_usage"
    assert only(rows, workload_kind="kernel").workload == "kernel"
    assert only(rows, workload_kind="kernel").joules == pytest.approx(1.5 * 3600 * ALL_ZONES)
    assert only(rows, kind="idle_share").detail == "requests"
    assert only(rows, kind="idle_share").joules == pytest.approx(3.0 * 3600 * ALL_ZONES)
    assert only(rows, kind="idle").joules == pytest.approx(17.0 * 3600 * ALL_ZONES)


def test_overlapping_zones_are_not_counted_twice() -> None:
    with_core = rows_of([Node("n1", (LONG,), extra_zones=("core", "psys"))])
    assert with_core == rows_of([Node("n1", (LONG,), extra_zones=())])


def test_grams_and_cost_are_those_of_their_time() -> None:
    rows = rows_of([Node("n1", (LONG,), intensity=360.0, price=0.36)], market_intensity=36.0)
    web = only(rows, kind="active", workload="web")
    assert web.grams == pytest.approx(web.joules / 1e4)
    assert web.market_grams == pytest.approx(web.joules / 1e5)
    assert web.cost == pytest.approx(web.joules / 1e7)
    assert web.currency == "EUR"


def test_overhead_is_on_top_by_the_pue() -> None:
    rows = rows_of([Node("n1", (LONG,), pue=1.5, intensity=360.0)])
    whole = total([row for row in rows if row.kind != "overhead"])
    overhead = only(rows, kind="overhead")
    assert overhead.joules == pytest.approx(0.5 * whole)
    assert overhead.grams == pytest.approx(0.5 * whole / 1e4)


def test_where_one_node_tells_no_intensity_rows_that_it_shares_have_no_grams() -> None:
    silent = Node("n2", (replace(LONG, uid="u9"),), intensity=None)
    rows = rows_of([Node("n1", (LONG, OTHER)), silent])
    assert only(rows, kind="active", workload="web").grams is None
    assert only(rows, kind="active", workload="db").grams is not None


def test_the_bounds_of_a_model_are_those_of_its_power() -> None:
    rows = rows_of([Node("n1", (LONG,), source=("model", "cloud", "abc"), spread=0.3)])
    web = only(rows, kind="active", workload="web")
    assert web.source == "model:cloud@abc"
    assert web.low_joules == pytest.approx(0.7 * web.joules)
    assert web.high_joules == pytest.approx(1.3 * web.joules)


def test_the_bounds_of_a_meter_that_gives_watts_alone_are_those_of_its_counter() -> None:
    web = only(
        rows_of([Node("n1", (LONG,), source=("hwmon", "", ""), spread=0.1)]), workload="web", kind="active"
    )
    assert web.source == "measured:hwmon"
    assert web.low_joules == pytest.approx(0.9 * web.joules)
    assert web.high_joules == pytest.approx(1.1 * web.joules)


def test_a_meter_leaves_no_doubt_but_of_who_used_it() -> None:
    """Active rows may be wrong by the calibration's error, all of them together; what is idle is not."""
    rows = rows_of([Node("n1", (LONG, OTHER), error_watts=2.0)])
    active = [row for row in rows if row.kind in ("active", "unattributed")]
    wide = sum(row.high_joules - row.joules for row in active)
    assert wide == pytest.approx(2.0 * 3600 * ALL_ZONES)
    assert only(rows, kind="idle").high_joules == only(rows, kind="idle").joules
    assert {row.source for row in rows} == {"measured:rapl"}


def test_a_gap_is_late_energy_and_no_covered_time() -> None:
    node = Node("n1", (LONG,), outages=[(HOUR + 1000.0, HOUR + 2200.0)])
    rows = rows_of([node])
    late = [row for row in rows if row.late and row.kind != "overhead"]
    assert {row.covered_seconds for row in late} == {0.0}
    covered = only(rows, kind="idle", late=False).covered_seconds
    assert covered == pytest.approx(3600 - 1230, abs=30)
    assert total(late) == pytest.approx((node.watts() + 10) * (3600 - covered) * ALL_ZONES, rel=1e-9)


def test_rows_are_covered_as_far_as_their_least_covered_node() -> None:
    young = Node("n2", (replace(LONG, uid="u9"),), begin=HOUR + 1800.0)
    rows = rows_of([Node("n1", (LONG, OTHER)), young])
    assert only(rows, kind="active", workload="web").covered_seconds == pytest.approx(1800, abs=31)
    assert only(rows, kind="active", workload="db").covered_seconds == pytest.approx(3600)


def test_nothing_is_made_up_of_what_a_node_counted_before_it_was_first_seen() -> None:
    node = Node("n1", (LONG,))
    seen_late = replace(node, outages=[(HOUR - 99_999.0, HOUR + 1800.0)])
    assert total([row for row in rows_of([seen_late]) if row.kind != "overhead"]) < 0.51 * total(
        rows_of([node])
    )


def test_node_groups_are_apart_and_a_node_that_fits_none_has_none() -> None:
    groups = [NodeGroup("gpu", re.compile("gpu-.*")), NodeGroup("all", re.compile("gpu.*|n1"))]
    three = [Node("gpu-1", (LONG,)), Node("n1", (OTHER,)), Node("n2", (SHORT,))]
    rows = rows_of(three, groups=groups)
    assert {row.node_group for row in rows if row.workload == "web"} == {"gpu", ""}
    assert {row.node_group for row in rows if row.workload == "db"} == {"all"}
    assert difference_ratio(rows) < 1e-9


def test_a_workload_on_two_nodes_is_one_row() -> None:
    two = [Node("n1", (LONG,)), Node("n2", (replace(LONG, uid="u9"),))]
    row = only(rows_of(two), kind="active", workload="web")
    assert (row.pods, row.joules) == (2, pytest.approx(2 * 10 * 3600 * ALL_ZONES))


def test_no_two_rows_have_the_same_key_and_they_stand_in_its_order() -> None:
    rows = rows_of([Node("n1", (LONG, SHORT, OTHER)), Node("n2", (replace(SHORT, uid="u8"),))])
    keys = [tuple(getattr(row, name) for name in KEY) for row in rows]
    assert keys == sorted(set(keys))


def test_what_is_reserved_counts_while_the_pod_lived() -> None:
    node = Node("n1", (LONG, SHORT))
    added = HourOfRows(HOUR)
    added.add(account(node_hour(node), pods_of(node, u1=2.0, u2=1.0)))
    row = only(added.rows(), kind="active", workload="web")
    assert row.requested_cpu_seconds == pytest.approx(2.0 * 3600 + 90, abs=61)


def test_a_pod_that_kubernetes_does_not_tell_of_has_its_own_name() -> None:
    node = Node("n1", (LONG,))
    added = HourOfRows(HOUR)
    added.add(account(node_hour(node), pods_of(replace(node, pods=()))))
    row = only(added.rows(), kind="active", namespace="shop")
    assert (row.workload_kind, row.workload) == ("unknown", "web-1")


def test_without_a_level_of_containers_cpu_time_is_not_known_and_what_was_reserved_is() -> None:
    """What is reserved is of the time that the pods' energy was counted."""
    node = Node("n1", (LONG, OTHER))
    series = [each for each in series_of(node) if "container" not in each.labels["__name__"]]
    pods = pods_of(node, u1=2.0, u3=0.5)
    row, other = (
        only(_rows_of_series(node, series, pods), kind="active", workload=name) for name in ("web", "db")
    )
    assert (row.cpu_seconds, other.cpu_seconds) == (None, None)
    assert row.requested_cpu_seconds == pytest.approx(2.0 * 3600)
    assert other.requested_cpu_seconds == pytest.approx(0.5 * 1800, abs=15)


def test_a_difference_is_a_row_and_a_ratio() -> None:
    """A level of metrics is switched off: the pods' energy is on nobody's row."""
    node = Node("n1", (LONG,))
    pods_off = [each for each in series_of(node) if not each.labels["__name__"].startswith("kepler_pod")]
    rows = _rows_of_series(node, pods_off)
    assert only(rows, kind="difference").joules == pytest.approx(10 * 3600 * ALL_ZONES)
    assert difference_ratio(rows) == pytest.approx(10 / (10 + node.watts()))


def _rows_of_series(node: Node, series: list[Series], pods: Pods | None = None) -> list[Row]:
    from exporter.reports.node_hour import make_node_hour

    timeline = make_timeline(node.name, series)
    assert timeline is not None
    added = HourOfRows(HOUR)
    added.add(account(make_node_hour(timeline, series, HOUR, timeline.longest(HOUR)), pods or pods_of(node)))
    return added.rows()


def test_two_jobs_that_scrape_one_exporter_count_once() -> None:
    node = Node("n1", (LONG, SHORT))
    seldom = replace(node, step=60.0, target={"job": "another"})
    both = [*series_of(node), *series_of(seldom)]
    timeline = make_timeline("n1", both)
    assert timeline is not None
    assert (timeline.beside, [dict(span.target)["job"] for span in timeline.spans]) == (1, ["podjoule"])
    assert _rows_of_series(node, both) == rows_of([node])


def test_an_exporter_that_got_another_address_is_one_timeline() -> None:
    node = Node("n1", (LONG, SHORT))
    moved = replace(node, target={"pod": "podjoule-2"}, begin=node.begin)
    first = [_cut(each, HOUR - 9999, HOUR + 1500) for each in series_of(node)]
    second = [_cut(each, HOUR + 1500, HOUR + 99_999) for each in series_of(moved)]
    timeline = make_timeline("n1", [*first, *second])
    assert timeline is not None
    assert (timeline.beside, len(timeline.spans)) == (0, 2)
    assert _rows_of_series(node, [*first, *second]) == rows_of([node])


def _cut(series: Series, begin: float, end: float) -> Series:
    inside = (series.times > begin) & (series.times <= end)
    return Series(series.labels, series.times[inside], series.values[inside])


def test_a_label_of_the_scrape_that_hides_ours_is_refused() -> None:
    node = Node("n1", (LONG,), target={"job": "podjoule", "runtime": "prod"})
    with pytest.raises(CollectFailed, match="gives a label runtime, which hides podjoule's own"):
        make_timeline("n1", series_of(node))
