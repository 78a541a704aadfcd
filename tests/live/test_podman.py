"""A real container: named, with the right CPU seconds, and its joules kept after it is gone."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.hierarchy import find_hierarchy
from tests.e2e.servers import Podjoule
from tests.live.podman import BUSY, PodmanContainer, missing
from tests.live.sandbox import CGROUPFS, PROCFS, Cgroup, hierarchies

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

NAME = "podjoule-busy"
INTERVAL_SECONDS = 0.5


@pytest.fixture
def podjoule(tmp_path: Path) -> Iterator[Podjoule]:
    if lacking := missing():
        pytest.skip(f"needs {', '.join(lacking)}")
    interval = f"{int(INTERVAL_SECONDS * 1000)}ms"
    with Podjoule("--monitor.interval", interval, log=tmp_path / "podjoule.log") as running:
        yield running


def sample(text: str, family: str, container_id: str) -> tuple[dict[str, str], float] | None:
    """Labels and value of a container's series."""
    for line in text.splitlines():
        if line.startswith(f"{family}{{") and container_id in line:
            labels, _, value = line.rpartition(" ")
            return dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)
    return None


def test_a_busy_container_is_named_and_counted_and_its_joules_outlive_it(podjoule: Podjoule) -> None:
    followed = find_hierarchy("auto", CGROUPFS, PROCFS)
    version = f"v{followed.version}"
    with PodmanContainer(NAME, BUSY) as container:
        path = container.cgroup_paths[followed.controller]
        cgroup = Cgroup(path, hierarchies())
        time.sleep(10)
        os.kill(container.pid, signal.SIGSTOP)  # the kernel's figure and ours are of the same moment
        time.sleep(3 * INTERVAL_SECONDS)
        true_seconds = cgroup.used_ns(version) / 1e9
        text = podjoule.metrics()
        seconds = sample(text, "kepler_container_cpu_seconds_total", container.id)
        joules = sample(text, "kepler_container_cpu_joules_total", container.id)
    assert seconds is not None
    assert joules is not None
    assert seconds[0]["container_name"] == NAME
    assert seconds[0]["runtime"] == "podman"
    assert true_seconds > 2
    assert seconds[1] == pytest.approx(true_seconds, rel=0.01)
    assert joules[1] > 0
    time.sleep(4 * INTERVAL_SECONDS)
    kept = sample(podjoule.metrics(), "kepler_container_cpu_joules_total", container.id)
    assert kept is not None, "the container's energy went with it"
    assert kept[0] == joules[0]
    assert kept[1] >= joules[1]
