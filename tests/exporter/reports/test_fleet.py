"""The simulated fleet: its pages are those of podjoule, and its truth adds up."""

from __future__ import annotations

import re

import numpy as np
import pytest

from exporter.metrics.families import SPECS
from tests.exporter.reports.curves import curve, steady, together
from tests.exporter.reports.fleet import HOUR, Plan, make
from tests.exporter.reports.samples import Samples
from tests.exporter.reports.truth import truth

SMALL = Plan(nodes=3, pods_a_day=150, hours=3, outage=(1.2, 1.6))
SCRAPED = {"job", "instance", "node_name"}
LABELS = re.compile(r'(\w+)="')


def _lines(plan: Plan) -> list[str]:
    """Of an hour."""
    text = "".join(Samples(make(plan)).text((plan.start, plan.start + HOUR)))
    return [line for line in text.splitlines() if not line.startswith("#")]


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return _lines(SMALL)


def test_every_series_is_one_that_podjoule_exports_with_its_labels(lines: list[str]) -> None:
    labels = {spec.name: {*spec.labels} for spec in SPECS}
    labels["podjoule_pod_info"] |= {"label_team", "label_product"}
    series = {line.rpartition("} ")[0] for line in lines}
    found = {(each.partition("{")[0], *LABELS.findall(each)) for each in series}
    ours = {name: of for name, *of in found if not name.startswith(("kube_", "process_"))}
    assert len(ours) > 20
    for name, of in ours.items():
        assert set(of) - SCRAPED <= labels[name], name


def test_samples_of_a_series_come_oldest_first(lines: list[str]) -> None:
    last: dict[str, float] = {}
    for line in lines:
        series, _, rest = line.rpartition("} ")
        at = float(rest.split()[1])
        assert at > last.get(series, 0)
        last[series] = at


def test_a_plan_makes_the_same_fleet_again(lines: list[str]) -> None:
    assert _lines(SMALL) == lines


def test_nobody_uses_anything_while_the_node_is_off() -> None:
    fleet = make(SMALL)
    windows = [(load, window) for load in fleet.loads for window in load.node.off]
    assert len(windows) > 10
    assert all(load.curve.between(*window) == pytest.approx(0, abs=1e-6) for load, window in windows)


def test_what_is_known_and_what_nobody_saw_is_all_that_the_meters_counted() -> None:
    fleet = make(SMALL)
    true = truth(fleet)
    whole = sum(load.curve.joules[-1] for load in fleet.loads)
    assert true.rows["joules"].sum() + true.unseen["joules"].sum() == pytest.approx(whole, rel=1e-12)
    assert 0 < true.unseen["joules"].sum() < 0.05 * whole
    assert true.nodes["joules"].sum() >= true.rows["joules"].sum()


def test_power_is_constant_between_its_changes_and_none_while_it_is_off() -> None:
    made = curve(np.array([0.0, 10.0, 20.0]), np.array([1.0, 3.0]), off=[(8.0, 12.0)])
    assert made.at(np.array([-1.0, 4.0, 8.0, 12.0, 20.0, 30.0])) == pytest.approx([0, 4, 8, 8, 32, 32])
    both = together([made, steady(5, 15, 2.0)], [1.0, 0.5])
    assert both.between(0, HOUR) == pytest.approx(32 + 10)
