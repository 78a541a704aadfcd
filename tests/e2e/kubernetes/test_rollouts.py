"""`kubectl rollout restart`, of what is measured and of podjoule itself."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from tests.e2e.kubernetes.conftest import WATTS
from tests.e2e.kubernetes.discovery import DiscoveringPrometheus
from tests.e2e.kubernetes.names import wrong_names
from tests.e2e.kubernetes.releases import NAMESPACE as RELEASES
from tests.e2e.kubernetes.releases import Release
from tests.e2e.kubernetes.truth import SeenPod, Truth
from tests.e2e.kubernetes.workloads import NAMESPACE, Workloads

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Rollouts:
    """old, new: the Deployment's pod. began: unix seconds at which the exporters were told to restart."""

    prometheus: DiscoveringPrometheus
    truth: Truth
    old: SeenPod
    new: SeenPod
    began: float

    def of_new_exporter(self, release: Release, family: str) -> list[tuple[dict[str, str], float]]:
        exporter = self.truth.pod(RELEASES, f"{release.name}-").name
        return self.prometheus.query(f'{family}{{release="{release.name}", exporter="{exporter}"}}')


@pytest.fixture(scope="module")
def rollouts(
    releases: dict[str, Release], workloads: Workloads, prometheus: DiscoveringPrometheus, truth: Truth
) -> Rollouts:
    """First the Deployment, watched by the old exporters; then these."""
    truth.look()
    old = truth.pod(NAMESPACE, "double-")
    workloads.restart("deployment/double")
    time.sleep(8)
    truth.look()
    began = time.time()
    for release in releases.values():
        release.restart()
    truth.look()
    exporters = "count(count by (exporter) (podjoule_ticks_total > 5))"
    prometheus.wait_for(exporters, lambda found: found == len(releases))
    time.sleep(4)
    return Rollouts(prometheus, truth, old, truth.pod(NAMESPACE, "double-"), began)


def test_both_pods_of_the_deployment_have_its_name(rollouts: Rollouts, release: Release) -> None:
    assert rollouts.old.uid != rollouts.new.uid
    selector = f'release="{release.name}", workload_kind="Deployment", workload_name="double"'
    found = rollouts.prometheus.query(f"last_over_time(podjoule_pod_info{{{selector}}}[10m])")
    told = {(labels["pod_id"], labels["pod_name"]) for labels, _ in found}
    assert told == {(pod.uid, pod.name) for pod in (rollouts.old, rollouts.new)}


def test_the_new_exporter_knows_what_lives_and_nothing_else(rollouts: Rollouts, release: Release) -> None:
    found = rollouts.of_new_exporter(release, "kepler_pod_cpu_joules_total")
    uids = {labels["pod_id"] for labels, _ in found}
    assert rollouts.new.uid in uids
    assert rollouts.old.uid not in uids


def test_its_counters_begin_anew(rollouts: Rollouts, release: Release) -> None:
    age = time.time() - rollouts.began
    node = rollouts.of_new_exporter(release, "kepler_node_cpu_joules_total")
    assert {labels["zone"] for labels, _ in node} == set(WATTS)
    for labels, joules in node:
        assert 0 < joules <= WATTS[labels["zone"]] * age * 1.1
    for family in ("kepler_pod_cpu_joules_total", "kepler_node_cpu_idle_joules_total"):
        assert all(joules >= 0 for _, joules in rollouts.of_new_exporter(release, family))


def test_no_series_is_wrong_before_or_after(rollouts: Rollouts, release: Release) -> None:
    rollouts.truth.look()
    assert wrong_names(rollouts.prometheus, rollouts.truth, release) == []
