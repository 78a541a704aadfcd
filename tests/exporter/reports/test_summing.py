"""Rows summed up: who took what, what nobody was given, and what explains the change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ebpf.errors import UsageError
from exporter.reports.engine import opened
from exporter.reports.expressions import dimensions
from exporter.reports.months import Span, Store
from exporter.reports.showing import Wanted, show
from exporter.reports.summary import Change, Group, Summary
from tests.exporter.reports.made_up import LONG_AGO, MODEL, Fleet, row, work, write_hours

HOUR = LONG_AGO["2026-10"]
BEFORE = LONG_AGO["2026-09"]
LONG_AFTER = HOUR + 90 * 86400
OCTOBER = Span("2026-10")
GRAMS = {"grams": 1.0}


def summary_of(
    store: Path, rows: list[dict[str, Any]], by: str = "namespace", against: Span | None = None
) -> Summary:
    write_hours(store, rows)
    opened_store = Store(str(store))
    with opened("duckdb", opened_store.files) as engine:
        return show(engine, opened_store, Wanted(OCTOBER, against, dimensions(by), ["prod"]), LONG_AFTER)


def test_a_tenants_account_is_its_namespaces_alone(tmp_path: Path) -> None:
    """How well it is covered and adds up is that of the nodes."""
    rows = [work(HOUR, "shop/web", 100.0, 10.0), work(HOUR, "data/db", 50.0, 5.0), row(HOUR, "idle", 30.0)]
    later = [row(HOUR + 3600, "idle", 198.0), row(HOUR + 3600, "difference", 2.0)]
    write_hours(tmp_path, [*rows, *later])
    store = Store(str(tmp_path))
    with opened("duckdb", store.files) as engine:
        wanted = Wanted(OCTOBER, None, dimensions("workload"), ["prod"], namespaces=("shop",))
        summary = show(engine, store, wanted, LONG_AFTER)
    assert [each.key for each in summary.groups] == [("shop/web",)]
    assert summary.total.joules == 100.0
    assert summary.title == "prod, shop: 2026-10"
    assert summary.namespaces == ("shop",)
    assert summary.total.covered_ratio == 1.0
    assert summary.difference_ratio == 0.01


def group(summary: Summary, *key: str) -> Group:
    return next(each for each in summary.groups if each.key == key)


def explained(change: Change) -> float:
    return (
        change.cpu_seconds_joules
        + change.watts_per_cpu_second_joules
        + change.idle_joules
        + change.other_joules
    )


def test_groups_add_up_to_the_total_and_nodes_are_the_total_without_overhead(tmp_path: Path) -> None:
    rows = [
        work(HOUR, "shop/web", 100.0, 10.0),
        {**work(HOUR, "shop/web", 20.0, None), "kind": "idle_share", "detail": "requests"},
        row(HOUR, "idle", 30.0),
        row(HOUR, "unattributed", 5.0, detail="no_row"),
        row(HOUR, "overhead", 15.0),
    ]
    summary = summary_of(tmp_path, rows)
    assert [each.key for each in summary.groups] == [
        ("shop",),
        ("(idle)",),
        ("(overhead)",),
        ("(unattributed)",),
    ]
    assert (group(summary, "shop").active_joules, group(summary, "shop").idle_share_joules) == (100.0, 20.0)
    assert summary.total.joules == sum(each.amount.joules for each in summary.groups) == 170.0
    assert summary.nodes.joules == 155.0


def test_what_one_row_lacks_the_sum_lacks_but_not_other_sums(tmp_path: Path) -> None:
    rows = [
        work(HOUR, "a/x", 1.0, 1.0, **GRAMS),
        work(HOUR, "a/y", 1.0, 1.0),
        work(HOUR, "b/z", 1.0, 1.0, **GRAMS),
    ]
    summary = summary_of(tmp_path, rows)
    assert group(summary, "a").amount.grams is None
    assert group(summary, "b").amount.grams == 1.0
    assert summary.total.grams is None


def test_measured_joules_and_sources_say_what_a_meter_said(tmp_path: Path) -> None:
    rows = [
        work(HOUR, "a/x", 3.0, 1.0),
        work(HOUR, "a/y", 4.0, 1.0, source=MODEL, low_joules=2.0, high_joules=9.0),
    ]
    summary = summary_of(tmp_path, rows)
    assert summary.total.measured_joules == 3.0
    assert summary.joules_by_source == {"measured:rapl": 3.0, MODEL: 4.0}
    assert (summary.total.low_joules, summary.total.high_joules) == (5.0, 12.0)


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("workload", {("shop/web",), ("system.slice/ssh.service",), ("(idle)",)}),
        ("owner", {("shop/Deployment/web",), ("unit/system.slice/ssh.service",), ("(idle)",)}),
        ("label:team", {("blue",), ("(no team)",), ("(idle)",)}),
        ("node_group", {("big",), ("(no node group)",)}),
        ("node_group,namespace", {("big", "shop"), ("(no node group)", "(no namespace)"), ("big", "(idle)")}),
        ("cluster", {("prod",)}),
    ],
)
def test_each_dimension_tells_apart_what_it_names(
    tmp_path: Path, by: str, keys: set[tuple[str, ...]]
) -> None:
    unit = {"workload_kind": "unit", "workload": "system.slice/ssh.service", "cpu_seconds": 1.0}
    rows = [
        work(HOUR, "shop/web", 1.0, 1.0, node_group="big", labels=[("team", "blue")]),
        row(HOUR, "active", 2.0, **unit),
        row(HOUR, "idle", 3.0, node_group="big"),
    ]
    assert {each.key for each in summary_of(tmp_path, rows, by).groups} == keys


@pytest.mark.parametrize("by", ["pod", "label:", "namespace,namespace", ""])
def test_a_dimension_that_rows_do_not_have_is_refused(by: str) -> None:
    with pytest.raises(UsageError, match="--by"):
        dimensions(by)


def test_work_without_a_known_cpu_time_explains_nothing_of_the_rest(tmp_path: Path) -> None:
    """As of virtual machines, or of a level of metrics without containers."""
    rows = [
        work(BEFORE, "a/x", 100.0, 10.0),
        work(BEFORE, "a/vm", 1000.0, None),
        work(HOUR, "a/x", 180.0, 15.0),
        work(HOUR, "a/vm", 1300.0, None),
    ]
    change = summary_of(tmp_path, rows, against=Span("2026-09")).change
    assert change is not None
    assert change.cpu_seconds_joules == pytest.approx(50.0)
    assert change.watts_per_cpu_second_joules == pytest.approx(30.0)
    assert change.other_joules == pytest.approx(300.0)
    assert explained(change) == pytest.approx(change.joules, rel=1e-12)


def test_the_change_is_more_work_other_watts_idle_and_the_rest_to_the_last_joule(tmp_path: Path) -> None:
    """By hand: 10 s at 10 J/s became 15 s at 12 J/s: 50 J of more work, 30 J of other watts."""
    rows = [
        work(BEFORE, "a/x", 100.0, 10.0, grams=10.0),
        row(BEFORE, "idle", 40.0, grams=4.0),
        work(HOUR, "a/x", 180.0, 15.0, grams=36.0),
        row(HOUR, "idle", 50.0, grams=10.0),
        row(HOUR, "unattributed", 7.0, grams=1.4),
    ]
    summary = summary_of(tmp_path, rows, against=Span("2026-09"))
    change = summary.change
    assert change is not None
    assert change.cpu_seconds_joules == pytest.approx(50.0)
    assert change.watts_per_cpu_second_joules == pytest.approx(30.0)
    assert (change.idle_joules, change.other_joules) == (10.0, pytest.approx(7.0))
    assert explained(change) == pytest.approx(change.joules, rel=1e-12)
    assert change.energy_grams == pytest.approx(97 * 14 / 140)
    assert change.grams == pytest.approx(47.4 - 14)
    before = group(summary, "a").before
    assert before is not None
    assert before.joules == 100.0


def test_who_is_gone_stands_last_with_what_it_had(tmp_path: Path) -> None:
    rows = [work(BEFORE, "old/x", 9.0, 1.0), work(HOUR, "new/x", 1.0, 1.0)]
    summary = summary_of(tmp_path, rows, against=Span("2026-09"))
    assert [
        (each.key, each.amount.joules, each.before and each.before.joules) for each in summary.groups
    ] == [
        (("new",), 1.0, None),
        (("old",), 0.0, 9.0),
    ]


def test_the_worst_waster_is_who_leaves_most_idle_energy_unused(tmp_path: Path) -> None:
    """1,000 s of 4,000 reserved are a quarter of the 80 J that idle; who reserves nothing is no waster."""
    rows = [
        work(HOUR, "a/lazy", 1.0, 100.0, requested_cpu_seconds=3000.0),
        work(HOUR, "a/busy", 1.0, 900.0, requested_cpu_seconds=1000.0),
        work(HOUR, "a/free", 1.0, 50.0),
        row(HOUR, "idle", 80.0),
    ]
    wasters = summary_of(tmp_path, rows).wasters
    assert [(each.key, each.idle_joules) for each in wasters] == [
        (("a", "lazy"), 60.0),
        (("a", "busy"), 20.0),
    ]
    assert wasters[0].used_ratio == pytest.approx(1 / 30)


def test_an_hour_that_does_not_add_up_is_told_also_where_others_hide_it(tmp_path: Path) -> None:
    rows = [
        work(HOUR, "a/x", 98.0, 1.0),
        row(HOUR, "difference", 1.0, node_group="big"),
        row(HOUR, "difference", -1.0, node_group="small"),
        work(HOUR + 3600, "a/x", 1e6, 1.0),
    ]
    assert summary_of(tmp_path, rows).difference_ratio == pytest.approx(2 / 98)


def test_days_have_each_kind_and_add_up_to_the_month(tmp_path: Path) -> None:
    fleet = Fleet(workloads=3)
    fleet.write(tmp_path, HOUR, 30)
    summary = summary_of(tmp_path, [])
    assert len(summary.days) == 31
    assert sum(map(sum, summary.joules_by_day.values())) == pytest.approx(summary.total.joules, rel=1e-12)
    assert sum(grams for grams in summary.grams_by_day if grams) == pytest.approx(
        summary.total.grams, rel=1e-12
    )
    assert sum(summary.low_joules_by_day) == pytest.approx(summary.total.low_joules, rel=1e-12)
    assert sum(summary.high_joules_by_day) == pytest.approx(summary.total.high_joules, rel=1e-12)
    assert summary.hours_missing == 31 * 24 - 30


def test_coverage_is_of_the_hours_that_files_hold_and_late_rows_have_none(tmp_path: Path) -> None:
    rows = [
        work(HOUR, "a/x", 1.0, 1.0, covered_seconds=1800.0),
        work(HOUR + 3600, "a/x", 1.0, 1.0),
        work(HOUR + 3600, "a/x", 1.0, 1.0, late=True, covered_seconds=0.0),
    ]
    summary = summary_of(tmp_path, rows)
    assert summary.total.covered_ratio == group(summary, "a").amount.covered_ratio == 0.75


def test_an_open_month_is_covered_as_its_hours_so_far_are(tmp_path: Path) -> None:
    """Of two clusters, which began at other times, and of a node group that is switched off at night."""
    write_hours(tmp_path, [work(HOUR + 7200, "a/x", 1.0, 1.0, covered_seconds=1800.0)], cluster="test")
    day = work(HOUR, "a/x", 1.0, 1.0, node_group="day")
    write_hours(tmp_path, [day, row(HOUR, "idle", 1.0), row(HOUR + 3600, "idle", 1.0)])
    store = Store(str(tmp_path))
    for clusters, covered in ((["prod"], 1.0), (["test"], 0.5), (["prod", "test"], 3.5 / 4)):
        with opened("duckdb", store.files) as engine:
            wanted = Wanted(OCTOBER, None, ("namespace",), clusters)
            summary = show(engine, store, wanted, HOUR + 10 * 86_400)
        assert summary.total.covered_ratio == summary.nodes.covered_ratio == covered
        assert summary.hours_missing > 0


def test_a_well_covered_workload_does_not_hide_a_node_that_is_not(tmp_path: Path) -> None:
    rows = [
        work(HOUR, "a/well", 1.0, 1.0),
        work(HOUR, "a/badly", 1.0, 1.0, covered_seconds=900.0),
        row(HOUR, "idle", 1.0, covered_seconds=900.0),
        work(HOUR, "a/badly", 1.0, 1.0, late=True, covered_seconds=0.0),
        row(HOUR + 3600, "idle", 1.0, late=True, covered_seconds=0.0),
    ]
    assert summary_of(tmp_path, rows).total.covered_ratio == 900 / 7200


def test_two_currencies_are_not_added(tmp_path: Path) -> None:
    rows = [work(HOUR, "a/x", 1.0, 1.0, cost=1.0, currency=currency) for currency in ("EUR", "USD")]
    with pytest.raises(UsageError, match="EUR and USD"):
        summary_of(tmp_path, rows)


def test_a_month_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing of 2026-10 .* prod: 2026-09"):
        summary_of(tmp_path, [work(BEFORE, "a/x", 1.0, 1.0)])


def test_a_year_is_its_months_and_is_compared_with_the_year_before(tmp_path: Path) -> None:
    rows = [
        work(BEFORE, "a/x", 1.0, 1.0),
        work(HOUR, "a/x", 2.0, 1.0),
        work(HOUR - 365 * 86400, "a/x", 7.0, 1.0),
    ]
    write_hours(tmp_path, rows)
    store, year = Store(str(tmp_path)), Span("2026")
    with opened("duckdb", store.files) as engine:
        summary = show(engine, store, Wanted(year, year.before, ("namespace",), ["prod"]), LONG_AFTER)
    assert summary.total.joules == 3.0
    assert summary.change is not None
    assert summary.change.joules == -4.0
    assert (Span("2026-01").before, Span("2026-02").to_seconds) == (
        Span("2025-12"),
        Span("2026-03").from_seconds,
    )


def test_only_the_clusters_that_are_asked_for_count(tmp_path: Path) -> None:
    write_hours(tmp_path, [work(HOUR, "a/x", 100.0, 1.0)], cluster="test")
    assert summary_of(tmp_path, [work(HOUR, "a/x", 1.0, 1.0)]).total.joules == 1.0
