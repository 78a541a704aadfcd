"""`podjoule snapshot --by process`: rows that add up to their workloads and to the node, whatever ended."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpf.cgroups import KERNEL_PATH
from ebpf.errors import UsageError
from exporter.commands import cli
from exporter.commands import snapshot as module
from exporter.commands.process_rows import process_rows, table_lines
from exporter.commands.snapshot import Asked, describe, snapshot, table
from exporter.configuration.config import Config
from tests.exporter.nodes import NODE, Node, container, in_pod, write_process

SSH, BUILD = "/system.slice/ssh.service", "/user.slice/user-1000.slice"
LEVELS = (*NODE, "process")
NAMES = {100: "nginx", 200: "sshd", 300: "cc1", 400: "make", 5: "kworker/0:1"}
ZONES = ("package", "dram")
AMOUNTS = ("cpu_seconds", "cycles", "instructions", "cache_misses", "watts", "joules")
ROW = ("what", "pid", "name", "exe", "running", "kind", "workload", "within", *AMOUNTS)


@pytest.fixture
def procfs(tmp_path: Path) -> Path:
    for pid, name in NAMES.items():
        write_process(tmp_path, pid, name, f"/usr/bin/{name}")
    (tmp_path / "cpuinfo").touch()
    return tmp_path


Use = dict[tuple[str, int], float]
USE: Use = {
    (container(1), 100): 2.0,
    (SSH, 200): 0.5,
    (BUILD, 300): 3.0,
    (BUILD, 400): 0.25,
    (BUILD, 0): 0.5,  # what the source cannot tell apart
    (BUILD, 9_999): 0.75,  # came and went
    (KERNEL_PATH, 5): 0.125,
    (KERNEL_PATH, 0): 0.125,  # interrupts
}


def measured(
    procfs: Path, use: Use, ended: tuple[int, ...] = (), top: int | None = None, joules: float = 100.0
) -> dict[str, Any]:
    """The document of five seconds in which this ran; ended: PIDs that are gone at the end."""
    node = Node(procfs=procfs, levels=LEVELS, zones=ZONES)
    for path in {path for path, _ in use} - {"/", KERNEL_PATH}:
        node.source.add(path)
    node.advance()
    assert node.measurement.processes is not None
    known = node.measurement.processes.seen()
    for (path, pid), seconds in use.items():
        node.source.use(path, seconds, tgid=pid, cycles=round(seconds * 1e9))
    for zone in ZONES:
        node.draw(joules, zone)
    for pid in ended:
        shutil.rmtree(procfs / str(pid))
    tick = node.advance()
    document: dict[str, Any] = describe(node.measurement, tick)
    document["processes"] = process_rows(node.measurement, tick, known, top)
    return document


def row_of(document: dict[str, Any], pid: int) -> dict[str, Any]:
    (row,) = (row for row in document["processes"] if row["pid"] == pid)
    return row  # type: ignore[no-any-return]


def check_sums(document: dict[str, Any]) -> None:
    """Of each workload and of the whole."""
    rows = document["processes"]
    for workload in document["workloads"]:
        mine = [row for row in rows if (row["kind"], row["workload"]) == (workload["kind"], workload["id"])]
        assert math.fsum(row["cpu_seconds"] for row in mine) == pytest.approx(
            workload["cpu_seconds"], rel=1e-9, abs=1e-12
        )
        for zone, joules in workload["joules"].items():
            found = math.fsum(row["joules"][zone] for row in mine)
            assert found == pytest.approx(joules, rel=1e-9, abs=1e-12)
    for zone, sums in document["zones"].items():
        whole = sums["active_joules"] - sums["unattributed_joules"]
        assert math.fsum(row["joules"][zone] for row in rows) == pytest.approx(whole, rel=1e-9, abs=1e-12)


def test_rows_say_who_where_and_how_much_the_largest_first(procfs: Path) -> None:
    document = measured(procfs, USE)
    json.dumps(document, allow_nan=False)
    assert all(tuple(row) == ROW for row in document["processes"])
    found = [(row["pid"], row["name"], row["within"]) for row in document["processes"] if row["pid"]]
    assert found == [
        (300, "cc1", BUILD),
        (100, "nginx", f"{1:064x}"),
        (200, "sshd", SSH),
        (400, "make", BUILD),
    ]
    row = row_of(document, 100)
    assert (row["exe"], row["kind"], row["running"]) == ("/usr/bin/nginx", "container", True)
    assert (row["cpu_seconds"], row["cycles"]) == (2.0, 2e9)
    assert row["watts"] == pytest.approx(sum(row["joules"].values()) / 5.0)


def test_what_no_process_has_stands_in_rows_of_its_own(procfs: Path) -> None:
    document = measured(procfs, USE)
    sums = {
        (row["what"], row["workload"]): row["cpu_seconds"] for row in document["processes"] if not row["pid"]
    }
    assert sums == {("kernel threads", "/"): 0.25, ("rest", BUILD): 1.25}
    check_sums(document)


def test_what_ended_meanwhile_has_the_name_it_had_at_the_start(procfs: Path) -> None:
    row = row_of(measured(procfs, USE, ended=(300,)), 300)
    assert (row["name"], row["running"], row["cpu_seconds"]) == ("cc1", False, 3.0)


def test_a_process_in_two_workloads_has_a_row_in_each(procfs: Path) -> None:
    document = measured(procfs, {(SSH, 200): 1.0, (BUILD, 200): 2.0})
    rows = {row["workload"]: row["cpu_seconds"] for row in document["processes"]}
    assert rows == {SSH: 1.0, BUILD: 2.0}
    check_sums(document)


def test_more_than_the_top_is_one_row_and_nothing_is_lost(procfs: Path) -> None:
    document = measured(procfs, USE, top=1)
    assert [row["what"] for row in document["processes"]] == ["process", "others", "rest", "kernel threads"]
    others = document["processes"][1]
    assert (others["name"], others["cpu_seconds"], others["cycles"]) == ("3 more", 2.75, 2.75e9)
    whole = measured(procfs, USE)
    for zone in ZONES:
        cut, all_of_it = (math.fsum(r["joules"][zone] for r in d["processes"]) for d in (document, whole))
        assert cut == pytest.approx(all_of_it, rel=1e-9)


pids = st.sampled_from([0, *NAMES, 9_999])
places = st.sampled_from(
    [container(1), SSH, BUILD, KERNEL_PATH, "/", in_pod(2), in_pod(2).rpartition("/")[0]]
)


@given(
    st.dictionaries(st.tuples(places, pids), st.floats(0, 10), max_size=12),
    st.floats(0, 2_000),
    st.integers(0, 5),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_add_up_to_their_workloads_and_to_the_node(
    procfs: Path, use: Use, joules: float, top: int
) -> None:
    check_sums(measured(procfs, use, joules=joules))
    cut = measured(procfs, use, joules=joules, top=top)
    for zone, sums in cut["zones"].items():
        whole = sums["active_joules"] - sums["unattributed_joules"]
        rows = math.fsum(row["joules"].get(zone, 0.0) for row in cut["processes"])
        assert rows == pytest.approx(whole, rel=1e-9, abs=1e-12)


def test_where_proc_is_another_namespaces_nobody_is_called_by_its_names(procfs: Path) -> None:
    """PID 100 there is nginx, PID 100 in the kernel somebody else."""
    (procfs / "2/comm").write_text("sleep\n")
    document = measured(procfs, USE)
    assert {row["name"] for row in document["processes"]} == {None}
    check_sums(document)


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_the_table_fits_and_has_the_sums_below(procfs: Path, columns: int) -> None:
    write_process(procfs, 300, "cc1\x1b[2J")
    lines = table(measured(procfs, USE, ended=(400,), top=20), columns).splitlines()
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    assert "300  cc1?[2J" in text
    assert "make (ended)" in text
    assert [line.split("(")[1].split(")")[0] for line in lines[-2:]] == [
        "kernel threads",
        "ended, or not told",
    ]


def test_without_energy_there_are_seconds_and_dashes(procfs: Path) -> None:
    row = {**dict.fromkeys(ROW), "what": "process", "pid": 1, "name": "init", "within": "/", "running": True}
    lines = table_lines([{**row, "cpu_seconds": 1.0, "joules": {}}], [], 80)
    assert lines == [["PID", "NAME", "WITHIN", "CPU S", "WATTS"], ["1", "init", "/", "1.000", "-"]]


@pytest.fixture
def command(
    procfs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Asked], str]:
    """What the command prints of a node where three programs run while it sleeps."""
    node = Node(procfs=procfs, levels=LEVELS, zones=ZONES)
    node.source.add(BUILD)

    def assembled(config: Config) -> object:
        assert "process" in config.exporter.prometheus.metrics_level
        return node.measurement

    def sleep(seconds: float) -> None:
        for pid in (100, 200, 300):
            node.source.use(BUILD, 0.5, tgid=pid)
        node.draw(100.0)
        node.source.advance(seconds)

    def run(asked: Asked) -> str:
        monkeypatch.setattr(module, "assemble", assembled)
        monkeypatch.setattr(module.time, "sleep", sleep)
        assert snapshot(Config(), replace(asked, by_process=True)) == 0
        return capsys.readouterr().out

    return run


def test_the_command_prints_both_formats(command: Callable[[Asked], str]) -> None:
    document = json.loads(command(Asked(5.0, "json")))
    assert {row["name"] for row in document["processes"]} == {"nginx", "sshd", "cc1"}
    check_sums(document)


def test_the_table_has_so_many_processes_as_are_asked_for(command: Callable[[Asked], str]) -> None:
    lines = command(Asked(5.0, "table", top=2)).splitlines()
    assert [line.split()[:2] for line in lines[-3:]] == [["100", "nginx"], ["200", "sshd"], ["(1", "more)"]]


def test_top_wants_processes() -> None:
    with pytest.raises(UsageError, match="--top goes with --by process"):
        cli._dispatch(["snapshot", "--top", "3"])
