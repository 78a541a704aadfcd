"""A day of a simulated fleet in a real Prometheus, collected, beside the truth of every joule.

Four nodes that are booted anew, get a new exporter with and without its state, or join late; pods that move
and pods of 90 s; and a Prometheus that is down for two hours.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("pyarrow.dataset", reason="pip install podjoule[report]")

from exporter.commands.cli import main
from tests.e2e.servers import Prometheus
from tests.exporter.reports.blocks import KEEPS, write_blocks
from tests.exporter.reports.comparison import WITHIN, Comparison, compare, read_rows
from tests.exporter.reports.fleet import HOUR, Fleet, Plan, make
from tests.exporter.reports.samples import Samples
from tests.exporter.reports.scrapes import ERROR_WATTS, HIGH, LOW, PRICE, PUE
from tests.exporter.reports.truth import Truth, truth

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PLAN = Plan(nodes=4, pods_a_day=300, hours=26, outage=(9.4, 11.4), replicas_a_node=6)
DOWN = PLAN.start + 9 * HOUR, PLAN.start + 11 * HOUR  # the hours in which the outage began and ended


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collect of all hours wrote and returned, and what it should have."""

    rows: pd.DataFrame
    fleet: Fleet
    truth: Truth
    beside: Comparison
    code: int
    url: str


def collect(url: str, store: Path, begin: int, end: int) -> int:
    """The exit code of `podjoule report collect`."""
    first, last = (datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat() for at in (begin, end))
    return main(
        [
            *("report", "collect", "--prometheus", url, "--cluster", "prod", "--store", str(store)),
            *("--from", first, "--to", last, "--labels", "team,product"),
            *("--node-groups", "metal=metal-.*", "cloud=cloud-.*"),
        ]
    )


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collected]:
    folder = tmp_path_factory.mktemp("accounts")
    fleet = make(PLAN)
    write_blocks(Samples(fleet, {"cluster": "prod"}), PLAN, folder)
    with Prometheus(folder, (), arguments=KEEPS) as server:
        code = collect(server.url, folder / "store", PLAN.start, PLAN.end)
        rows, true = read_rows(folder / "store"), truth(fleet)
        yield Collected(rows, fleet, true, compare(rows, true, PLAN), code, server.url)


def test_every_row_is_within_half_a_percent(collected: Collected) -> None:
    beside = collected.beside
    assert beside.wrong.empty, beside.wrong.to_string()
    assert {*beside.rows["kind"]} == {"active", "idle_share", "idle", "unattributed"}
    assert len(beside.of_workloads) > 800
    assert beside.worst < WITHIN
    in_the_wrong_hour, whole = beside.of_workloads[["error", "joules_true"]].sum()
    assert in_the_wrong_hour < 1e-4 * whole


def test_so_are_those_of_pods_of_90_seconds(collected: Collected) -> None:
    rows = collected.beside.of_workloads
    jobs = rows[(rows["workload_kind"] == "CronJob") & ~rows["late"]]
    assert len(jobs) > 200
    inner = jobs[jobs["edge_joules"] == 0]
    assert len(inner) > 0.85 * len(jobs)
    assert (inner["error"] <= WITHIN * inner["joules_true"]).all()


def test_pods_that_two_samples_cannot_tell_apart_are_whole_over_both_hours(collected: Collected) -> None:
    """A job that starts when the hour does: where in a step it began nobody knows, but nothing is lost."""
    rows = collected.beside.of_workloads
    punctual = rows[(rows["workload"] == "job-0") & (rows["hour_seconds"] < DOWN[0])]
    assert (punctual["edge_joules"] > 0).any()
    assert punctual["joules"].sum() == pytest.approx(punctual["joules_true"].sum(), rel=WITHIN)


def test_rows_of_an_hour_add_up_to_what_its_nodes_counted(collected: Collected) -> None:
    assert collected.beside.sum_error < 1e-6
    assert (collected.beside.nodes["joules_true"] > 0).all()


def test_what_no_sample_saw_is_the_difference_and_nobodys(collected: Collected) -> None:
    """Pods that came and went while Prometheus was down; else there is no difference."""
    nodes, rows = collected.beside.nodes, collected.beside.rows
    by = ["hour_seconds", "node_group", "late"]
    known = rows.groupby(by, as_index=False)["joules_true"].sum()
    both = nodes.merge(known, on=by, suffixes=("", "_known"))
    missing = both["joules_true"] - both["joules_true_known"]
    assert (missing[both["late"] & (both["hour_seconds"] == DOWN[1])] > 0).all()
    assert both["joules_difference"].to_numpy() == pytest.approx(missing.to_numpy(), abs=1e-6 * 1e6, rel=1e-3)


def test_carbon_is_the_integral_of_power_by_intensity(collected: Collected) -> None:
    assert collected.beside.carbon_error < 0.001


def test_cpu_seconds_are_those_of_the_pods(collected: Collected) -> None:
    rows = collected.beside.of_workloads
    inner = rows[(rows["edge_joules"] == 0) & (rows["cpu_seconds_true"] > 0)]
    off = (inner["cpu_seconds"] / inner["cpu_seconds_true"] - 1).abs()
    assert off.max() < WITHIN


def test_an_outage_is_said_and_nothing_is_invented(collected: Collected) -> None:
    rows = collected.rows
    idle = rows[(rows["kind"] == "idle") & ~rows["late"]].set_index("hour_seconds")["covered_seconds"]
    assert idle[DOWN[0]].tolist() == pytest.approx([0.4 * HOUR] * 2, abs=PLAN.interval_seconds)
    assert idle[DOWN[1]].tolist() == pytest.approx([0.6 * HOUR] * 2, abs=PLAN.interval_seconds)
    assert DOWN[0] + HOUR not in set(rows["hour_seconds"])
    late = rows[rows["late"]]
    assert (late["covered_seconds"] == 0).all()
    untroubled = idle[idle.index > DOWN[1] + 6 * HOUR]
    assert untroubled.max() == pytest.approx(HOUR)


def test_late_rows_hold_what_counters_knew(collected: Collected) -> None:
    rows = collected.beside.rows
    late = rows[rows["late"] & (rows["hour_seconds"] == DOWN[1])]
    assert set(late["kind"]) >= {"active", "idle", "idle_share", "unattributed"}
    assert (late["error"] <= 1e-6 * late["joules_true"].abs() + 1e-6).all(), late.to_string()


def test_a_reboot_and_an_upgrade_without_state_take_nothing_twice(collected: Collected) -> None:
    """The kubelet of a node is there all the time: its energy is that of its counter's spells, added up."""
    rows = collected.beside.rows
    of_kubelet = rows[rows["workload"] == "/system.slice/kubelet.service"]
    assert of_kubelet["joules"].sum() == pytest.approx(of_kubelet["joules_true"].sum(), rel=1e-4)
    resets = [reset for node in collected.fleet.nodes for reset in node.resets]
    assert len(resets) >= 4


def test_rows_say_what_measured_them_and_within_which_bounds(collected: Collected) -> None:
    rows = collected.rows[collected.rows["kind"] != "difference"]
    cloud, metal = (rows[rows["node_group"] == group] for group in ("cloud", "metal"))
    assert cloud["source"].str.fullmatch("model:cloud-x86@(c1){32}").all()
    assert (cloud["low_joules"] / cloud["joules"]).to_numpy() == pytest.approx(LOW, rel=1e-6)
    assert (cloud["high_joules"] / cloud["joules"]).to_numpy() == pytest.approx(HIGH, rel=1e-6)
    assert (metal["source"] == "measured:rapl").all()
    idle = metal[metal["kind"] == "idle"]
    assert (idle["low_joules"] == idle["high_joules"]).all()
    in_hour = metal[metal["hour_seconds"] == PLAN.start + HOUR]
    shared_out = in_hour[in_hour["kind"].isin(["active", "unattributed"])]
    doubt = (shared_out["high_joules"] - shared_out["joules"]).sum()
    assert doubt == pytest.approx(2 * ERROR_WATTS * HOUR, rel=0.01)  # two nodes by then


def test_cost_is_energy_by_its_price(collected: Collected) -> None:
    rows = collected.rows
    assert (rows["currency"] == "EUR").all()
    assert rows["cost"].to_numpy() == pytest.approx(rows["joules"].to_numpy() / 3.6e6 * PRICE, rel=1e-9)


def test_the_overhead_is_the_pues_part(collected: Collected) -> None:
    rows = collected.rows
    over = rows[rows["kind"] == "overhead"]["joules"].sum()
    assert over == pytest.approx((PUE - 1) * collected.beside.nodes["joules"].sum(), rel=1e-6)


def test_workloads_have_their_labels_and_what_they_reserved(collected: Collected) -> None:
    rows, loads = collected.rows[collected.rows["kind"] == "active"], collected.fleet.loads
    labels = {(load.namespace, load.workload): dict(load.labels) for load in loads if load.is_pod}
    for row in rows[rows["namespace"] != ""].itertuples():
        wanted = {} if row.workload_kind == "unknown" else labels[row.namespace, row.workload]
        assert dict(row.labels) == wanted
    begin, end = PLAN.start + HOUR, PLAN.start + 2 * HOUR
    lived = (load.request_cores * max(0.0, min(load.end, end) - max(load.begin, begin)) for load in loads)
    found = rows[rows["hour_seconds"] == begin]["requested_cpu_seconds"].sum()
    assert found == pytest.approx(sum(lived), rel=0.02)


def test_what_does_not_add_up_makes_the_exit_code_1_and_else_it_is_0(
    collected: Collected, tmp_path: Path
) -> None:
    assert collected.code == 1
    assert collect(collected.url, tmp_path, PLAN.start + HOUR, PLAN.start + 4 * HOUR) == 0
