"""The API server goes away and comes back, while everything is measured."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.kubernetes.conftest import WATTS
from tests.e2e.kubernetes.discovery import DiscoveringPrometheus
from tests.e2e.kubernetes.names import wrong_names
from tests.e2e.kubernetes.releases import Release
from tests.e2e.kubernetes.truth import Truth
from tests.e2e.kubernetes.workloads import Workloads

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

ASKS_API_SERVER = 'release=~"apiserver-.*"'
OUTAGE_SECONDS = 15.0


@dataclass(frozen=True)
class Outage:
    """before, during, after: unix seconds. restarts: of each release, before."""

    prometheus: DiscoveringPrometheus
    truth: Truth
    before: float
    during: float
    after: float
    restarts: dict[str, int]

    def errors(self, release: Release, at: float) -> float:
        return self.prometheus.value(
            f'sum(podjoule_pod_directory_errors_total{{release="{release.name}"}})', at
        )

    def names(self, release: Release, at: float) -> set[tuple[str, str, str]]:
        """Of all that is not begun and ended by the clock: the minute may end meanwhile."""
        found = self.prometheus.query(f'podjoule_pod_info{{release="{release.name}"}}', at)
        return {
            (each["pod_id"], each["pod_namespace"], each["pod_name"])
            for each, _ in found
            if not each["pod_name"].startswith("minutely-")
        }


@pytest.fixture(scope="module")
def outage(
    cluster: Cluster,
    releases: dict[str, Release],
    prometheus: DiscoveringPrometheus,
    workloads: Workloads,
    truth: Truth,
) -> Outage:
    """It is gone for some fifteen seconds; over when every directory says that it answers again."""
    truth.look()
    asking = sum(release.mode == "apiserver" for release in releases.values())
    up = f"sum(podjoule_pod_directory_up{{{ASKS_API_SERVER}}})"
    restarts = {name: release.restarts() for name, release in releases.items()}
    before = time.time()
    cluster.stop_api_server()
    try:
        prometheus.wait_for(up, lambda found: found == 0)
        time.sleep(OUTAGE_SECONDS)
        during = time.time()
    finally:
        cluster.start_api_server()
    prometheus.wait_for(up, lambda found: found == asking, seconds=90)
    return Outage(prometheus, truth, before, during, time.time(), restarts)


def test_names_stay_and_measurement_goes_on(outage: Outage, release: Release) -> None:
    assert outage.names(release, outage.during) == outage.names(release, outage.before) != set()
    joules = f'kepler_node_cpu_joules_total{{release="{release.name}", zone="package"}}'
    gained = outage.prometheus.value(joules, outage.during) - outage.prometheus.value(joules, outage.before)
    assert gained == pytest.approx(WATTS["package"] * (outage.during - outage.before), rel=0.25)


def test_errors_are_counted_where_the_api_server_is_asked(outage: Outage, release: Release) -> None:
    if release.mode == "apiserver":
        assert outage.errors(release, outage.during) > outage.errors(release, outage.before)


def test_it_goes_on_without_a_restart(outage: Outage, release: Release) -> None:
    assert release.restarts() == outage.restarts[release.name]


def test_nobody_is_renamed(outage: Outage, release: Release) -> None:
    outage.truth.look()
    assert wrong_names(outage.prometheus, outage.truth, release) == []
