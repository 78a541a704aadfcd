"""A person without rights: units and processes by the kernel's accounting, a line of what is missing."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.names.workloads import identify
from tests.e2e.servers import Plant
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live import loads
from tests.live.rights import NOBODY, open_folder, run_confined
from tests.live.sandbox import BUSY, Cgroup, cgroup, hierarchies, stop

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

EVERYTHING = ("BPF", "PERFMON", "DAC_READ_SEARCH", "SYS_PTRACE")


@pytest.fixture(scope="module")
def unit() -> Iterator[tuple[Cgroup, list[int]]]:
    """A unit with two processes that are always busy and many that hardly live; their PIDs."""
    with cgroup("laptop") as parent:
        made = parent.child("editor.service").make()
        running = [made.python(BUSY, cpu=1), made.python(BUSY, cpu=1)]
        running.append(made.python(loads.SHORT_PROCESSES, "/bin/true", cpu=0))
        made.wait_until_used("v2", 1.0)
        yield made, [process.pid for process in running[:2]]
        stop(*running)


@pytest.fixture
def rapl() -> Iterator[Path]:
    """A powercap tree that is root's alone, as the kernel's is."""
    with open_folder() as folder:
        tree = RaplTree(folder / "sys")
        for socket in (0, 1):
            tree.add_zone(f"intel-rapl:{socket}", f"package-{socket}", 1_000_000)
        for energy in tree.root.rglob("energy_uj"):
            energy.chmod(0o400)
        with Plant(tree, {f"intel-rapl:{socket}": 20.0 for socket in (0, 1)}):
            yield tree.root / "class/powercap"


def podjoule(*arguments: str, rights: tuple[str, ...], uid: int) -> subprocess.CompletedProcess[str]:
    done = run_confined(["-m", "exporter.commands.cli", *arguments, "--kube.enabled=false"], rights, uid)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


def check_sums(document: dict[str, Any]) -> None:
    for workload in document["workloads"]:
        mine = [
            row
            for row in document["processes"]
            if (row["kind"], row["workload"]) == (workload["kind"], workload["id"])
        ]
        for zone, joules in workload["joules"].items():
            found = math.fsum(row["joules"][zone] for row in mine)
            assert found == pytest.approx(joules, rel=1e-9, abs=1e-9)
    for zone, sums in document["zones"].items():
        whole = sums["active_joules"] - sums["unattributed_joules"]
        rows = math.fsum(row["joules"][zone] for row in document["processes"])
        assert rows == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize(
    ("rights", "uid", "version"),
    [*(((), NOBODY, version) for version in sorted(hierarchies())), (EVERYTHING, 0, "auto")],
)
def test_processes_add_up_to_their_unit_with_rights_and_without(
    unit: tuple[Cgroup, list[int]], rights: tuple[str, ...], uid: int, version: str
) -> None:
    group, pids = unit
    flags = ("--by=process", "--duration=2s", "--format=json", f"--ebpf.cgroup-hierarchy={version}")
    document = json.loads(podjoule("snapshot", *flags, rights=rights, uid=uid).stdout)
    check_sums(document)
    mine = [row for row in document["processes"] if row["workload"] == identify(group.path).id]
    seconds = {row["pid"]: row["cpu_seconds"] for row in mine}
    assert set(pids) <= set(seconds)
    assert seconds[pids[0]] == pytest.approx(seconds[pids[1]], rel=0.3)
    assert seconds[None] > 0, "those that ended meanwhile"
    assert {row["name"] for row in mine if row["pid"] in pids} <= {"python", "python3", "python3.11"}
    assert sum(row["watts"] for row in mine) > 0


def test_without_rights_one_line_says_what_is_missing_and_nothing_else_does(
    unit: tuple[Cgroup, list[int]], rapl: Path
) -> None:
    flags = ("--plain", "--interval=1s", f"--host.powercap={rapl}")
    done = podjoule("top", *flags, rights=(), uid=NOBODY)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert "estimated by " in lines[0]
    said = [line for line in lines if line.startswith("missing")]
    assert said == ["missing: BPF's counts and RAPL's meter (sudo podjoule top has them)"]
    (row,) = [line for line in lines if line.startswith(identify(unit[0].path).id)]
    assert " unit " in row
    assert " W " in row or "mW" in row


def test_with_root_nothing_is_missing(unit: tuple[Cgroup, list[int]], rapl: Path) -> None:
    flags = ("--plain", "--interval=1s", "--by=process", f"--host.powercap={rapl}")
    done = podjoule("top", *flags, rights=EVERYTHING, uid=0)
    assert done.stderr == ""
    assert "measured by rapl" in done.stdout
    assert "missing" not in done.stdout
    for pid in unit[1]:
        assert any(str(pid) in line.split() for line in done.stdout.splitlines())
