"""Which zones are the node's energy: no joule twice, whatever appears, fails and comes back."""

from __future__ import annotations

from itertools import combinations

import pytest

from estimator.attribution.zones import CountedZones, node_zones
from estimator.energy import SourceInfo
from estimator.meters.port import ZONES

RAPL = dict.fromkeys(("package", "dram", "psys"), SourceInfo("rapl"))
MODEL = {"platform": SourceInfo("model", "mine", "abc")}


@pytest.mark.parametrize(
    ("known", "counted"),
    [
        ({"package"}, {"package"}),
        ({"package", "core", "uncore"}, {"package"}),
        ({"package", "dram", "core"}, {"package", "dram"}),
        ({"package", "dram", "psys"}, {"psys"}),
        ({"package", "dram", "psys", "platform"}, {"platform"}),
        ({"package", "dram", "core", "gpu"}, {"package", "dram", "gpu"}),
        ({"package", "gpu", "psys"}, {"psys"}),
        ({"package", "gpu", "platform"}, {"platform"}),
        ({"gpu"}, {"gpu"}),
        ({"core", "uncore"}, set()),
        (set(), set()),
    ],
)
def test_the_widest_zone_counts_alone(known: set[str], counted: set[str]) -> None:
    assert set(node_zones(known)) & known == counted


def test_no_combination_counts_two_zones_that_overlap() -> None:
    inner = [{"package", "dram"}, {"package"}, {"dram"}, set()]
    apart = [{"psys"}, {"platform"}, *inner, *({*zones, "gpu"} for zones in inner)]
    for n in range(len(ZONES) + 1):
        for known in combinations(ZONES, n):
            assert set(node_zones(known)) & set(known) in apart


def test_a_gpu_counts_beside_a_model_which_knows_of_none() -> None:
    assert node_zones({"platform", "gpu"}, modelled={"platform"}) == ("platform", "gpu")
    counted = CountedZones()
    beside = {**MODEL, "gpu": SourceInfo("nvml")}
    assert counted.choose(MODEL, {"platform": 40.0}) == ("platform",)
    assert counted.choose(beside, {"platform": 40.0, "gpu": 60.0}) == ("platform", "gpu")
    assert counted.choose({**beside, "platform": SourceInfo("ipmi")}, {"platform": 99.0}) == ("platform",)


def test_a_gpu_that_comes_later_counts_at_once() -> None:
    counted = CountedZones()
    counted.choose(RAPL, {"package": 20.0})
    assert counted.choose({**RAPL, "gpu": SourceInfo("nvml")}, {"package": 20.0, "gpu": 60.0})[-1] == "gpu"


def test_no_narrower_zone_stands_in_for_one_that_fails_for_a_tick() -> None:
    counted = CountedZones()
    assert counted.choose(RAPL, {"package": 20.0, "psys": 30.0}) == ("psys",)
    assert counted.choose(RAPL, {"package": 20.0}) == ("psys",)
    assert counted.choose(RAPL, {}) == ("psys",)
    assert counted.choose(RAPL, {"psys": 30.0, "package": 20.0}) == ("psys",)
    assert counted.zones == ("psys",)


def test_a_wider_zone_takes_over_at_the_tick_after_its_first() -> None:
    """Its first joules may reach back over ticks in which the package was counted."""
    counted = CountedZones()
    assert counted.choose(RAPL, {"package": 20.0}) == ("package", "dram")
    assert counted.choose(RAPL, {"package": 20.0, "psys": 30.0}) == ("package", "dram")
    assert counted.choose(RAPL, {"package": 20.0, "psys": 30.0}) == ("psys",)


def test_a_zone_that_overlaps_with_none_counts_at_once() -> None:
    counted = CountedZones()
    counted.choose(RAPL, {"package": 20.0})
    assert "dram" in counted.choose(RAPL, {"package": 20.0, "dram": 5.0})
    assert counted.zones == ("package", "dram")


def test_another_source_is_judged_by_what_it_has() -> None:
    counted = CountedZones()
    counted.choose(MODEL, {"platform": 40.0})
    assert counted.choose(RAPL, {"package": 20.0, "dram": 5.0}) == ("package", "dram")
    assert counted.zones == ("package", "dram")


def test_a_psys_below_its_packages_is_not_the_nodes_energy() -> None:
    counted = CountedZones()
    for _ in range(3):
        assert counted.choose(RAPL, {"package": 20.0, "dram": 4.0, "psys": 6.0}) == ("package", "dram")
    assert counted.zones == ("package", "dram")


def test_a_psys_that_is_late_for_a_tick_still_holds_its_packages() -> None:
    counted = CountedZones()
    for _ in range(20):
        counted.choose(RAPL, {"package": 20.0, "psys": 26.0})
    assert counted.choose(RAPL, {"package": 20.0}) == ("psys",)
    assert counted.choose(RAPL, {"package": 20.0, "psys": 52.0}) == ("psys",)


def test_a_zone_that_went_silent_for_good_makes_way() -> None:
    counted = CountedZones()
    for _ in range(5):
        counted.choose(RAPL, {"package": 20.0, "psys": 26.0})
    for _ in range(200):
        chosen = counted.choose(RAPL, {"package": 20.0})
    assert chosen == ("package", "dram")


def test_a_meter_that_takes_over_from_another_keeps_the_zone() -> None:
    """Else a narrower zone would stand in for it in that tick."""
    counted = CountedZones()
    for _ in range(2):
        counted.choose(RAPL | {"platform": SourceInfo("redfish")}, {"package": 20.0, "platform": 90.0})
    later = RAPL | {"platform": SourceInfo("ipmi")}
    assert counted.choose(later, {"package": 20.0, "platform": 90.0}) == ("platform",)
