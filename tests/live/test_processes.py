"""Process accounting: threads in several cgroups, short lives, and the same totals as without it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.counters import CPU_NS, CounterSource
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.e2e.servers import Podjoule
from tests.live import loads
from tests.live.sandbox import BUSY, Cgroup, cgroup, hierarchies, stop

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]


@pytest.fixture(params=["core", "bcc"])
def source(request: pytest.FixtureRequest) -> Iterator[CounterSource]:
    opened = open_source(request.param, ProgramOptions(hierarchies()["v2"], by_process=True))
    yield opened
    opened.close()


def test_two_processes_of_one_cgroup_are_told_apart(source: CounterSource) -> None:
    with cgroup("pair") as group:
        busy, other = group.python(BUSY, cpu=1), group.python(BUSY, cpu=1)
        time.sleep(0.5)  # entering the cgroup is not the claim
        before, least_ns, most_ns = by_process(source, group)
        time.sleep(2)
        after, earlier_ns, later_ns = by_process(source, group)
        stop(busy, other)
    used = {pid: after[pid] - before.get(pid, 0) for pid in after}
    assert {busy.pid, other.pid} <= used.keys()
    assert earlier_ns - most_ns - 20e6 <= sum(used.values()) <= later_ns - least_ns + 20e6
    assert used[busy.pid] == pytest.approx(used[other.pid], rel=0.3)


def by_process(source: CounterSource, group: Cgroup) -> tuple[dict[int, int], int, int]:
    """CPU nanoseconds by process, between what the kernel says of the cgroup before and after."""
    earlier_ns = group.used_ns("v2")
    snapshot = source.read()
    later_ns = group.used_ns("v2")
    rows = snapshot.cgroup_id == group.cgroup_id("v2")
    used = snapshot.values[rows][:, :, CPU_NS].sum(axis=1).tolist()
    return dict(zip(snapshot.tgid[rows].tolist(), used, strict=True)), earlier_ns, later_ns


def test_processes_that_ended_leave_the_kernels_map(source: CounterSource) -> None:
    with cgroup("many") as group:
        process = group.python(loads.SHORT_PROCESSES, "/bin/true")
        entries = []
        for _ in range(6):
            time.sleep(1)
            snapshot = source.read()
            entries.append(int((snapshot.cgroup_id == group.cgroup_id("v2")).sum()))
        stop(process)
        for _ in range(3):
            snapshot = source.read()
        left = int((snapshot.cgroup_id == group.cgroup_id("v2")).sum())
    assert sum(entries) > 100, "the load is broken: hardly any process was seen"
    # a process stays for the reading it ended before and one more: two seconds' worth, whatever came earlier
    assert max(entries) < 3 * 200 + 20
    assert left <= 1


def test_a_process_is_exported_with_its_name_and_container(tmp_path: Path) -> None:
    with (
        cgroup("named") as group,
        Podjoule(
            "--monitor.interval=500ms", "--metrics.level=node,process", log=tmp_path / "podjoule.log"
        ) as podjoule,
    ):
        process = group.python(BUSY)
        group.wait_until_used("v2", 1.0)
        time.sleep(1)  # the tick that counts it
        text = podjoule.metrics()
        stop(process)
    line = next(
        line
        for line in text.splitlines()
        if line.startswith("kepler_process_cpu_seconds_total{") and f'pid="{process.pid}"' in line
    )
    labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
    assert labels["comm"].startswith("python")
    assert "python" in labels["exe"]
    assert labels["type"] == "regular"
    assert float(line.rpartition(" ")[2]) > 0.5
