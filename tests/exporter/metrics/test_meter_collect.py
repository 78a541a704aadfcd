"""What the page says of meters beside each other, and of one that gives watts alone."""

from __future__ import annotations

import pytest

from tests.exporter.nodes import Node, of, series
from tests.exporter.two_meters import RAPL_WATTS, ran, two_meters


def test_each_zone_says_which_meter_it_is_from() -> None:
    node = two_meters()
    ran(node, 3)
    samples = node.samples()
    found = {
        dict(key[1])["zone"]: dict(key[1])["source"] for key in series(samples, "podjoule_power_source_info")
    }
    assert found == {"package": "perf", "dram": "hwmon"}


def test_how_far_a_twin_is_from_the_one_that_serves_is_told_after_a_minute_and_it_is_not_booked() -> None:
    node = two_meters()
    ran(node, 5)
    assert of(node.samples(), "podjoule_meter_disagreement_ratio") == 0.0
    ran(node, 15)
    samples = node.samples()
    assert series(samples, "podjoule_meter_disagreement_ratio").keys() == {
        (
            "podjoule_meter_disagreement_ratio",
            (("node_name", "n1"), ("other", "rapl"), ("source", "perf"), ("zone", "package")),
        )
    }
    assert of(samples, "podjoule_meter_disagreement_ratio") == pytest.approx(RAPL_WATTS / 40.0 - 1)
    assert of(samples, "kepler_node_cpu_joules_total", zone="package") == 40.0 * 5.0 * 19


def test_integrated_watts_say_how_far_they_may_be_off_and_are_no_model() -> None:
    node = two_meters()
    ran(node, 3)
    samples = node.samples()
    assert series(samples, "podjoule_meter_spread_watts") == {
        (
            "podjoule_meter_spread_watts",
            (("node_name", "n1"), ("path", "hwmon2/power1"), ("zone", "dram")),
        ): 2.0
    }
    assert of(samples, "kepler_node_cpu_watts", zone="dram") == 6.0
    assert not [name for name, _ in samples if name.startswith("podjoule_model_low")]


def test_a_meter_alone_has_no_twin_and_a_counter_no_spread() -> None:
    node = Node()
    node.tick()
    node.draw(10.0)
    samples = node.tick()
    assert not [name for name, _ in samples if name.startswith("podjoule_meter_")]
