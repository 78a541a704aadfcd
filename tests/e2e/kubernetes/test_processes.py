"""The level `process` in the chart's own deployment, which sees no process of the node: CPU time stays."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.kubernetes.manifests import container, pod_spec
from tests.e2e.kubernetes.releases import Release
from tests.e2e.kubernetes.truth import SeenPod, Truth, used_seconds
from tests.e2e.kubernetes.workloads import running_pods
from tests.live.pages import value_of
from tests.live.sandbox import hierarchies

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

NAMESPACE = "e2e-processes"
UP_SECONDS, REST_SECONDS = 20.0, 3.0
SMALL = {"resources": {"requests": {"cpu": "50m"}}}
# Two programs a turn: what they use is gone from the page's processes before anybody could look.
FORKING = {"command": ["sh", "-c", "while :; do busybox true; busybox sleep 0.02; done"]}
PODS = {"steady": {}, "forking": FORKING}


@dataclass(frozen=True)
class Measured:
    """A release's pages before and after, and what the kernel counted in between, by container."""

    before: str
    after: str
    used_seconds: dict[str, float]

    def gained(self, family: str, container_id: str) -> float:
        series = rf'{family}{{.*container_id="{container_id}".*'
        return value_of(self.after, series) - value_of(self.before, series)


@pytest.fixture(scope="module")
def by_hierarchy(make_release: Callable[..., Release]) -> Iterator[dict[str, Release]]:
    """One in each hierarchy, with every level."""
    levels = ["node", "container", "pod", "process"]
    made = {}
    for version in hierarchies():
        config = {
            "monitor": {"interval": "500ms"},
            "exporter": {"prometheus": {"metricsLevel": levels}},
            "ebpf": {"cgroupHierarchy": version},
        }
        made[version] = make_release(f"processes-{version}", values={**SMALL, "config": config})
    for each in made.values():
        each.wait()
    yield made
    for each in made.values():
        each.uninstall()


@pytest.fixture(scope="module")
def pods(cluster: Cluster, truth: Truth) -> Iterator[list[SeenPod]]:
    """One that uses CPU time by itself, one by what it starts."""
    specs = {name: pod_spec({**container("main", 300), **SMALL, **how}) for name, how in PODS.items()}
    with running_pods(cluster, truth, NAMESPACE, specs) as pods:
        yield pods


@pytest.fixture(scope="module")
def measured(by_hierarchy: dict[str, Release], pods: list[SeenPod]) -> Iterator[dict[str, Measured]]:
    """Between two moments at which no pod runs, and pages of them."""

    def look() -> tuple[dict[str, str], dict[str, dict[str, float]]]:
        _signal(pods, signal.SIGSTOP)
        time.sleep(REST_SECONDS)
        pages = {version: release.metrics() for version, release in by_hierarchy.items()}
        return pages, {version: used_seconds(pods, version) for version in by_hierarchy}

    before, used_before = look()
    _signal(pods, signal.SIGCONT)
    time.sleep(UP_SECONDS)
    after, used_after = look()
    yield {
        version: Measured(
            before[version],
            after[version],
            {each: seconds - used_before[version][each] for each, seconds in used_after[version].items()},
        )
        for version in by_hierarchy
    }
    _signal(pods, signal.SIGCONT)


def _signal(pods: list[SeenPod], number: int) -> None:
    """To all of them, thrice: what starts meanwhile has a father that starts no more."""
    for each in pods * 3:
        for pid in each.pids("main"):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@pytest.mark.parametrize("version", hierarchies())
def test_cpu_seconds_are_the_kernels_own(measured: dict[str, Measured], version: str) -> None:
    found = measured[version]
    assert len(found.used_seconds) == len(PODS)
    for container_id, seconds in found.used_seconds.items():
        told = found.gained("kepler_container_cpu_seconds_total", container_id)
        print(f"{version} {container_id[:8]}: {told:.4f} of {seconds:.4f} s, {told / seconds - 1:+.4%}")
        assert seconds > 0.5, "the load hardly ran"
        assert told == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize("version", hierarchies())
def test_a_process_is_counted_and_has_no_name(
    measured: dict[str, Measured], by_hierarchy: dict[str, Release], version: str
) -> None:
    """The node's PIDs name other processes in the pod, or none."""
    processes = re.findall(r"kepler_process_cpu_seconds_total{(.*)}", measured[version].after)
    assert processes
    assert all('comm=""' in each for each in processes)
    assert "does not show the kernel's processes" in by_hierarchy[version].log()
