"""`podjoule snapshot`: rows that add up to what was measured, as JSON for programs and a table for people."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.cgroups import KERNEL_PATH
from ebpf.fake import FakeCounterSource
from exporter.commands import snapshot as module
from exporter.commands.snapshot import Asked, describe, snapshot, table
from exporter.configuration.config import Config
from exporter.tick.power import NoEnergy, Power
from tests.exporter.nodes import Node, container, in_pod
from tests.exporter.two_meters import ran, two_meters

VM = r"/machine.slice/machine-qemu\x2d1\x2dweb.scope"
PATHS = (
    container(1),
    f"{container(1)}/init.scope",
    in_pod(2),
    in_pod(3),
    in_pod(2).rpartition("/")[0],
    in_pod(4, pod=1).rpartition("/")[0],
    "/system.slice/ssh.service",
    "/user.slice/user-1000.slice",
    VM,
    "/jobs",
)
ROW = {
    "kind": str,
    "id": str,
    "name": str,
    "namespace": (str, type(None)),
    "cpu_seconds": float,
    "cycles": (float, type(None)),
    "instructions": (float, type(None)),
    "cache_misses": (float, type(None)),
    "joules": dict,
}
MANY = 5_500  # more than a ledger keeps of the ended otherwise
ZONE = ("total_joules", "idle_joules", "active_joules", "unattributed_joules")


def measured(node: Node, use: dict[str, float], joules: float = 100.0) -> dict[str, Any]:
    for path in use.keys() - {"/", KERNEL_PATH}:
        node.source.add(path)
    node.advance()
    for path, seconds in use.items():
        node.source.use(path, seconds, cycles=round(seconds * 1e9))
    for zone in ("package", "dram"):
        node.draw(joules, zone)
    return describe(node.measurement, node.advance())  # type: ignore[return-value]


def check_sums(document: dict[str, Any]) -> None:
    for zone, sums in document["zones"].items():
        rows = math.fsum(row["joules"][zone] for row in document["workloads"])
        whole = rows + sums["idle_joules"] + sums["unattributed_joules"]
        assert whole == pytest.approx(sums["total_joules"], rel=1e-9)
        assert sums["active_joules"] + sums["idle_joules"] == pytest.approx(sums["total_joules"], rel=1e-9)


def test_the_document_is_the_designs_and_nothing_else() -> None:
    document = measured(Node(zones=("package", "dram")), {in_pod(1): 1.0, "/a.service": 2.0})
    assert list(document) == ["interval_seconds", "source", "model", "sources", "zones", "workloads"]
    assert (document["interval_seconds"], document["source"]) == (5.0, "rapl")
    assert {zone: tuple(sums) for zone, sums in document["zones"].items()} == {"package": ZONE, "dram": ZONE}
    for row in document["workloads"]:
        assert list(row) == list(ROW)
        for key, kind in ROW.items():
            assert isinstance(row[key], kind), key
        assert set(row["joules"]) == {"package", "dram"}
    json.dumps(document, allow_nan=False)


def test_it_says_which_meter_each_zone_is_from_and_why() -> None:
    node = two_meters()
    ran(node, 2)
    document = describe(node.measurement, node.advance())
    assert document["source"] == "perf"
    assert document["sources"] == {
        "package": {"source": "perf", "model": None, "why": "preferred to rapl"},
        "dram": {"source": "hwmon", "model": None, "why": None},
    }
    assert "package is from perf: preferred to rapl\ndram is from hwmon\n" in table(document)


def test_of_one_meter_the_first_line_says_all() -> None:
    text = table(measured(Node(), {"/a.service": 2.0}))
    assert text.startswith("5.0 s, energy from rapl\n\nZONE")
    assert " is from " not in text


def test_rows_are_leaves_the_largest_first() -> None:
    document = measured(Node(), {in_pod(1): 1.0, "/a.service": 2.0, VM: 0.5})
    rows = [(row["kind"], row["name"], row["cpu_seconds"]) for row in document["workloads"]]
    assert rows == [
        ("unit", "/a.service", 2.0),
        ("container", f"{1:064x}", 1.0),
        ("vm", "web", 0.5),
    ]


def test_a_pods_own_cgroup_is_a_row_without_its_containers() -> None:
    pod = in_pod(1).rpartition("/")[0]
    document = measured(Node(), {in_pod(1): 3.0, pod: 1.0}, joules=10.0)
    rows = {row["kind"]: row for row in document["workloads"]}
    assert rows["pod"]["cpu_seconds"] == pytest.approx(1.0)
    assert rows["pod"]["cycles"] == pytest.approx(1e9)
    assert rows["pod"]["joules"]["package"] == pytest.approx(rows["container"]["joules"]["package"] / 3)
    check_sums(document)


def test_what_is_not_measured_is_null() -> None:
    node = Node(source=FakeCounterSource(n_cpu=2, available=frozenset({"cpu_ns"})), energy=NoEnergy())
    document = measured(node, {container(1): 1.0})
    (row,) = document["workloads"]
    assert (row["cycles"], row["instructions"], row["cache_misses"]) == (None, None, None)
    assert (row["joules"], document["zones"], document["source"]) == ({}, {}, "none")


@given(
    st.dictionaries(st.sampled_from(PATHS), st.floats(0, 10)),
    st.floats(0, 2_000),
    st.floats(0, 1),
    st.sets(st.sampled_from(PATHS)),
)
def test_rows_idle_and_unattributed_add_up_to_the_zone(
    use: dict[str, float], joules: float, dropped: float, ended: set[str]
) -> None:
    node = Node(sockets=2, zones=("package", "dram"))
    for path in use:
        node.source.add(path)
    node.advance()
    for path, seconds in use.items():
        node.source.use(path, seconds, cpu=int(seconds) % 4)
        if path in ended:
            node.source.end(path)
    node.source.drop(dropped)
    for zone in ("package", "dram"):
        node.draw(joules, zone)
    check_sums(describe(node.measurement, node.advance()))  # type: ignore[arg-type]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Node, str], str]:
    """What the command prints for a node on which something happens while it sleeps."""

    def run(node: Node, output: str) -> str:
        def sleep(seconds: float) -> None:
            for number in range(MANY):
                path = container(number)
                node.source.add(path)
                node.source.use(path, 0.001)
                node.source.end(path)
            node.draw(1_000.0)
            node.source.advance(seconds)

        monkeypatch.setattr(module.time, "sleep", sleep)
        monkeypatch.setattr(module, "assemble", lambda _: node.measurement)
        assert snapshot(Config(), Asked(5.0, output)) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("ttl", [0.0, 300.0])
def test_what_ended_meanwhile_is_in_it_however_short_its_ttl_and_however_many(
    command: Callable[[Node, str], str], ttl: float
) -> None:
    node = Node(ttl=ttl)
    node.source.add(container(1))
    document = json.loads(command(node, "json"))
    assert len(document["workloads"]) == MANY
    check_sums(document)
    assert node.source.closed


def test_the_table_has_the_same_numbers(command: Callable[[Node, str], str]) -> None:
    text = command(Node(), "table")
    assert text.startswith("5.0 s, energy from rapl\n\nZONE ")
    _, zones, workloads = text.split("\n\n")
    assert (len(zones.splitlines()), len(workloads.splitlines())) == (2, 1 + MANY)


@pytest.mark.parametrize("columns", [80, 100, 132])
def test_the_table_fits(columns: int) -> None:
    paths = {
        container(1): 4.0,
        "/system.slice/" + "a-very-long-name-" * 20 + ".service": 3.0,
        VM: 2.0,
        KERNEL_PATH: 1.0,
        "/": 0.5,
    }
    document = measured(Node(zones=("package", "dram")), paths)
    lines = table(document, columns).splitlines()
    assert max(map(len, lines)) <= columns
    assert [line.split()[0] for line in lines[7:]] == ["container", "unit", "vm", "kernel", "root"]
    assert all(line == line.rstrip() for line in lines)


def test_a_name_keeps_its_ends_and_short_ones_are_whole() -> None:
    document = measured(Node(), {container(0xABC): 1.0, "/a.service": 1.0})
    text = table(document, 60)
    assert "…" in text
    assert "abc " in text
    assert "/a.service" in text


def test_a_name_cannot_command_the_terminal() -> None:
    document = measured(Node(), {"/evil\x1b[2J\r\x07": 1.0})
    assert document["workloads"][0]["name"] == "/evil\x1b[2J\r\x07"
    assert "/evil?[2J??" in table(document)


def test_idle_workloads_are_not_in_the_table() -> None:
    document = measured(Node(), {container(1): 0.0, "/a.service": 1.0})
    assert len(document["workloads"]) == 2
    assert "container" not in table(document)


@pytest.mark.parametrize(
    ("model", "fallback", "code"),
    [("auto", {}, 1), ("none", {}, 0), ("m.json", {"m.json": "cycles"}, 1)],
)
def test_a_snapshot_without_energy_or_by_another_model_ends_with_1(
    model: str, fallback: dict[str, str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    power = Power(NoEnergy(), {}, lambda: None, fallback=lambda: fallback)
    monkeypatch.setattr(module, "assemble", lambda _config: Node(power=power).measurement)
    monkeypatch.setattr(module.time, "sleep", lambda _seconds: None)
    assert snapshot(Config(model=model), Asked(1.0, "json")) == code
