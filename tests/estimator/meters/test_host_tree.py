"""A meter that a host writes: what is no tree of its, garbage in one, and one that nobody writes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from estimator.errors import MeterUnavailable
from estimator.meters.host_tree import MARK, SCHEMA, HostMeter, host_source
from estimator.meters.powercap import PowercapMeter


class Tree:
    """A host's tree with a package of 5 J and its dram."""

    def __init__(self, root: Path, source: str = "rapl") -> None:
        self.root = root
        root.mkdir()
        (root / MARK).write_text(json.dumps({"schema": SCHEMA, "source": source, "base_uj": {"package": 7}}))
        for folder, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:2", "dram")):
            (root / folder).mkdir()
            (root / folder / "name").write_text(f"{name}\n")
            (root / folder / "max_energy_range_uj").write_text("9007199254740991\n")
            self.write("5000000\n", folder)

    def write(self, text: str, folder: str = "intel-rapl:0") -> None:
        """As the host does it: a new file in the old one's place."""
        beside = self.root / folder / "beside"
        beside.write_text(text)
        beside.replace(self.root / folder / "energy_uj")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> int:
        return int(self.seconds * 1e9)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "host")


def test_its_zones_are_the_whole_machines_whatever_they_are_called(tree: Tree) -> None:
    readings = HostMeter(tree.root).read()
    assert [(each.zone, each.socket, each.energy_uj) for each in readings] == [
        ("package", None, 5_000_000),
        ("dram", None, 5_000_000),
    ]


def test_zones_that_are_not_asked_for_are_not_read(tree: Tree) -> None:
    assert [each.zone for each in HostMeter(tree.root, ["dram"]).read()] == ["dram"]
    with pytest.raises(MeterUnavailable, match="no zone in the host's tree"):
        HostMeter(tree.root, ["psys"])


def test_other_readers_of_powercap_take_it_for_one(tree: Tree) -> None:
    meter = PowercapMeter(powercap=tree.root)
    assert {reading.zone for reading in meter.read()} == {"package", "dram"}
    meter.close()


@pytest.mark.parametrize(("source", "name"), [("rapl", "host"), ("redfish", "host"), ("model", "host-model")])
def test_its_name_says_whether_the_host_has_a_meter(tmp_path: Path, source: str, name: str) -> None:
    assert HostMeter(Tree(tmp_path / "host", source).root).name == name


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"schema": "another/1", "source": "rapl"}', "[" * 9_999]
)
def test_a_tree_without_the_hosts_mark_is_the_kernels(tree: Tree, content: str) -> None:
    (tree.root / MARK).write_text(content)
    assert host_source(tree.root) is None
    assert host_source(tree.root / "nowhere") is None


def test_a_zone_without_news_is_neither_read_nor_an_error(tree: Tree) -> None:
    meter = HostMeter(tree.root)
    assert len(meter.read()) == 2
    assert (meter.read(), list(meter.errors)) == ([], [])
    tree.write("5000000\n")
    assert (meter.read(), list(meter.errors)) == ([], []), "it was billed nothing"
    tree.write("5000001\n")
    assert [reading.energy_uj for reading in meter.read()] == [5_000_001]


@pytest.mark.parametrize("text", ["", "\n", "-5\n", "1e9\n", "0x10\n", "5 J\n", "\0\0\0\n", "٣\n"])
def test_what_is_no_number_is_an_error_of_that_zone_alone(tree: Tree, text: str) -> None:
    meter = HostMeter(tree.root)
    meter.read()
    tree.write(text)
    tree.write("6000000\n", "intel-rapl:0:2")
    assert [reading.zone for reading in meter.read()] == ["dram"]
    (error,) = meter.errors
    assert (error.path, error.vanished) == (str(tree.root / "intel-rapl:0"), False)
    tree.write("7000000\n")
    assert [reading.energy_uj for reading in meter.read()] == [7_000_000]
    assert not meter.errors


def test_a_zone_that_goes_has_vanished_and_one_that_comes_is_found(tree: Tree) -> None:
    meter = HostMeter(tree.root)
    meter.read()
    (tree.root / "intel-rapl:0:2/energy_uj").unlink()
    meter.read()
    assert [error.vanished for error in meter.errors] == [True]
    (tree.root / "intel-rapl:1").mkdir()
    (tree.root / "intel-rapl:1/name").write_text("psys\n")
    (tree.root / "intel-rapl:1/max_energy_range_uj").write_text("99\n")
    (tree.root / "intel-rapl:1/energy_uj").write_text("11\n")
    seen = {reading.zone for _ in range(12) for reading in meter.read()}
    assert seen == {"psys"}
    assert meter.zones == {"package", "dram", "psys"}


def test_a_host_that_does_not_write_for_a_minute_is_an_error_until_it_does(tree: Tree) -> None:
    clock = Clock()
    meter = HostMeter(tree.root, clock=clock)
    meter.read()
    clock.seconds = 59.0
    assert (meter.read(), list(meter.errors)) == ([], [])
    clock.seconds = 61.0
    assert meter.read() == []
    assert all("is it running?" in error.message and not error.vanished for error in meter.errors)
    assert len(meter.errors) == 2
    tree.write("5000000\n")
    tree.write("5000000\n", "intel-rapl:0:2")
    assert (meter.read(), list(meter.errors)) == ([], []), "it is there again, and has no news"


def test_what_may_not_be_read_is_said(tree: Tree) -> None:
    meter = HostMeter(tree.root)
    meter.read()
    target = tree.root / "intel-rapl:0/energy_uj"
    target.unlink()
    target.mkdir()
    meter.read()
    assert [os.fspath(error.path)[-12:] for error in meter.errors] == ["intel-rapl:0"]
