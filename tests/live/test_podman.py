"""A real container: named, with the right CPU seconds, and its joules kept after it is gone.

Also where podjoule runs in a container itself, in the host's namespaces and in namespaces of its own.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from ebpf.hierarchy import find_hierarchy
from tests.e2e.servers import Podjoule, after_another_tick, free_port, wait_for
from tests.live.podman import BUSY, PodmanContainer, as_here
from tests.live.sandbox import CGROUPFS, PROCFS, Cgroup, hierarchies

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

NAME = "podjoule-busy"
INTERVAL_SECONDS = 0.5
# A shell that is busy itself, and starts a program at each turn.
MANY = (
    "/bin/sh",
    "-c",
    "while :; do i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done; /bin/busybox true; done",
)


@pytest.fixture
def podjoule(tmp_path: Path) -> Iterator[Podjoule]:
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
        cgroup.wait_until_used(version, seconds=3.0)
        os.kill(container.pid, signal.SIGSTOP)  # the kernel's figure and ours are of the same moment
        text = after_another_tick(f"{podjoule.url}/metrics")
        true_seconds = cgroup.used_ns(version) / 1e9
        seconds = sample(text, "kepler_container_cpu_seconds_total", container.id)
        joules = sample(text, "kepler_container_cpu_joules_total", container.id)
    assert seconds is not None
    assert joules is not None
    assert seconds[0]["container_name"] == NAME
    assert seconds[0]["runtime"] == "podman"
    assert seconds[1] == pytest.approx(true_seconds, rel=0.01)
    assert joules[1] > 0
    time.sleep(4 * INTERVAL_SECONDS)
    kept = sample(podjoule.metrics(), "kepler_container_cpu_joules_total", container.id)
    assert kept is not None, "the container's energy went with it"
    assert kept[0] == joules[0]
    assert kept[1] >= joules[1]


@dataclass(frozen=True)
class Namespaces:
    """How podjoule's own container sees the machine. shows: whether it knows the host's processes by PID."""

    options: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    shows: bool = True


# Read-only, as whoever is careful mounts them.
TREE, PROCESSES = "--volume=/sys/fs/cgroup:/host/cgroup:ro", "--volume=/proc:/host/proc:ro"
PRIVATE = ("--cgroupns=private", "--pid=private")
NAMESPACES = {
    "the host's": Namespaces(
        ("--cgroupns=host", "--pid=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:ro"),
    ),
    "its own, with the host's tree": Namespaces(
        (*PRIVATE, TREE), ("--host.cgroupfs=/host/cgroup",), shows=False
    ),
    "its own, with the host's tree and processes": Namespaces(
        (*PRIVATE, TREE, PROCESSES), ("--host.cgroupfs=/host/cgroup", "--host.procfs=/host/proc")
    ),
}
LEVEL = "--metrics.level=node,container,process"


@contextmanager
def contained(
    namespaces: Namespaces, *arguments: str, until_ready: bool = True
) -> Iterator[tuple[PodmanContainer, str]]:
    """podjoule in a container, and where it serves."""
    address = f"127.0.0.1:{free_port()}"
    run = (sys.executable, "-m", "exporter.commands.cli", "run", f"--web.listen-address={address}")
    common = (f"--monitor.interval={int(INTERVAL_SECONDS * 1000)}ms", "--kube.enabled=false")
    command = (*run, *common, *namespaces.arguments, *arguments)
    with PodmanContainer("podjoule-itself", command, (*as_here(), *namespaces.options)) as container:
        if until_ready:
            try:
                wait_for(f"http://{address}/-/ready")
            except TimeoutError as error:
                raise TimeoutError(f"podjoule is not ready: {container.log()}") from error
        yield container, f"http://{address}/metrics"


@pytest.mark.parametrize("version", hierarchies())
@pytest.mark.parametrize("name", NAMESPACES)
def test_podjoule_in_a_container_counts_what_the_kernel_counts(name: str, version: str) -> None:
    """A process that uses CPU time for long and many that end at once, while processes are told apart."""
    namespaces = NAMESPACES[name]
    with contained(namespaces, LEVEL, f"--ebpf.cgroup-hierarchy={version}") as (podjoule, url):
        with PodmanContainer(NAME, MANY) as container:
            mount = hierarchies()[version]
            cgroup = Cgroup(container.cgroup_paths[mount.controller], {version: mount})
            cgroup.wait_until_used(version, seconds=3.0)
            freeze(cgroup, version)
            text = after_another_tick(url)
            true_seconds = cgroup.used_ns(version) / 1e9
        log = podjoule.log()
    told = sample(text, "kepler_container_cpu_seconds_total", container.id)
    assert told is not None
    print(f"{name}, {version}: {told[1]:.4f} of {true_seconds:.4f} s, {told[1] / true_seconds - 1:+.4%}")
    assert told[1] == pytest.approx(true_seconds, rel=0.01)
    assert ("does not show the kernel's processes" in log) is not namespaces.shows
    assert has_process(text, container, "busybox") is namespaces.shows


def test_a_part_of_the_tree_is_refused_with_the_mend() -> None:
    """As a container has it whose cgroup namespace is its own and who mounts nothing."""
    with contained(Namespaces(PRIVATE), LEVEL, until_ready=False) as (podjoule, _):
        assert podjoule.exit_code() != 0
        log = podjoule.log()
    assert "is a part of the cgroup tree, as in a cgroup namespace: mount the host's /sys/fs/cgroup" in log


def freeze(cgroup: Cgroup, version: str) -> None:
    """The kernel's figure and ours are of the same moment."""
    for _ in range(3):  # a shell that is stopped makes no more
        for pid in (cgroup.folder(version) / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGSTOP)


def has_process(text: str, container: PodmanContainer, comm: str) -> bool:
    """Whether a process of the container's is known by its name."""
    found = re.findall(rf'kepler_process_cpu_seconds_total{{.*container_id="{container.id}".*', text)
    return any(f'comm="{comm}"' in line or 'comm="sh"' in line for line in found)
