"""A minute of pods of every kind, in every mode and hierarchy: who is charged what, and by which name."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

import pytest

from tests.e2e.kubernetes.conftest import WATTS
from tests.e2e.kubernetes.discovery import DiscoveringPrometheus
from tests.e2e.kubernetes.names import wrong_names
from tests.e2e.kubernetes.releases import Release
from tests.e2e.kubernetes.truth import Truth, last_words_ns
from tests.e2e.kubernetes.workloads import NAMESPACE, Workloads

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(900)]

WINDOW_SECONDS = 60.0
# A run of the cron job begins with each minute: what comes just before the end is on no page yet.
FROM_SECOND, TO_SECOND = 12, 55
# What each release exports twice or in parts: the parts of the whole.
PARTS = (
    ("kepler_pod_cpu_joules_total", ""),
    ("kepler_container_cpu_joules_total", 'pod_id=""'),
    ("kepler_vm_cpu_joules_total", ""),
    ("podjoule_cgroup_cpu_joules_total", ""),
    ("kepler_node_cpu_idle_joules_total", ""),
    ("podjoule_node_unattributed_joules_total", ""),
)
# Name of the pod (or how it begins) -> workload_kind, workload_name, owner_kind.
WORKLOADS = {
    "double-": ("Deployment", "double", "ReplicaSet"),
    "single-": ("Deployment", "single", "ReplicaSet"),
    "ordered-0": ("StatefulSet", "ordered", "StatefulSet"),
    "minutely-": ("CronJob", "minutely", "Job"),
    "staged": ("Pod", "staged", ""),
    "doomed": ("Pod", "doomed", ""),
    "crashing": ("Pod", "crashing", ""),
}
CONTAINERS = {
    "double-": {"main"},
    "minutely-": {"main"},
    "staged": {"prepare", "main", "sidecar"},
    "crashing": {"main", "steady"},
    "static-": {"main"},
}


@dataclass(frozen=True)
class Window:
    """start, end: unix seconds. used_ns: what the kernel counted for a pod between the two, by its name.

    last_words_ns: all that it ever counted for the pod that was deleted.
    """

    prometheus: DiscoveringPrometheus
    truth: Truth
    start: float
    end: float
    used_ns: dict[str, int]
    last_words_ns: int

    def total(self, release: Release, family: str, selector: str = "", by: str = "zone") -> dict[str, float]:
        """What counters have counted from the exporter's start to the end, by one label."""
        return dict(self._values(_summed(release, family, selector, by), by, self.end))

    def gained(self, release: Release, family: str, selector: str = "", by: str = "zone") -> dict[str, float]:
        """What counters gained over the window, by one label."""
        promql = _summed(release, family, selector, by)
        before, after = (dict(self._values(promql, by, at)) for at in (self.start, self.end))
        return {key: value - before.get(key, 0.0) for key, value in after.items()}

    def series(self, release: Release, family: str, selector: str = "") -> list[tuple[dict[str, str], float]]:
        return self.prometheus.query(f'{family}{{release="{release.name}", {selector}}}', self.end)

    def _values(self, promql: str, by: str, at: float) -> list[tuple[str, float]]:
        return [(labels.get(by, ""), value) for labels, value in self.prometheus.query(promql, at)]


def _summed(release: Release, family: str, selector: str, by: str) -> str:
    return f'sum by ({by}) ({family}{{release="{release.name}", {selector}}})'


@pytest.fixture(scope="module")
def window(workloads: Workloads, prometheus: DiscoveringPrometheus, truth: Truth) -> Window:
    """One minute in which a pod is deleted, one is replaced and one's container is killed."""
    workloads.wait_for_cron_job()
    while not FROM_SECOND <= time.time() % 60 < TO_SECOND:
        time.sleep(0.5)
    measured = {name: truth.pod(NAMESPACE, name) for name in ("double-", "single-")}
    before = {name: pod.used_ns() for name, pod in measured.items()}
    start = time.time()
    time.sleep(WINDOW_SECONDS / 4)
    last_words_ns = _disturb(workloads, truth)
    time.sleep(max(0.0, start + WINDOW_SECONDS - time.time()))
    used_ns = {name: pod.used_ns() - before[name] for name, pod in measured.items()}
    end = time.time()
    truth.look()
    return Window(prometheus, truth, start, end, used_ns, last_words_ns)


def _disturb(workloads: Workloads, truth: Truth) -> int:
    """All that the kernel counted for the doomed pod until its end."""
    truth.look()
    for pid in truth.pod(NAMESPACE, "crashing").pids("main"):
        os.kill(pid, signal.SIGKILL)
    workloads.delete("doomed", "ordered-0")
    return last_words_ns(truth.pod(NAMESPACE, "doomed"))


def test_the_programs_count_in_the_kernel(window: Window, release: Release) -> None:
    assert [labels["source"] for labels, _ in window.series(release, "podjoule_usage_source_info")] == [
        "core"
    ]
    assert window.series(release, "podjoule_pod_directory_up")[0][1] == 1


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_pod_is_known_with_what_made_it(window: Window, release: Release, name: str) -> None:
    pod = window.truth.pod(NAMESPACE, name)
    infos = window.series(release, "podjoule_pod_info", f'pod_id="{pod.uid}"')
    told = [
        (info["pod_namespace"], info["pod_name"], info["workload_kind"], info["workload_name"])
        for info, _ in infos
    ]
    kind, workload, owner_kind = WORKLOADS[name]
    assert told == [(NAMESPACE, pod.name, kind, workload)]
    assert infos[0][0].get("owner_kind", "") == owner_kind


def test_a_static_pod_is_its_own_workload(window: Window, release: Release) -> None:
    pod = window.truth.pod(NAMESPACE, "static-")
    infos = window.series(release, "podjoule_pod_info", f'pod_id="{pod.uid}"')
    told = [(info["pod_name"], info["workload_kind"], info["workload_name"]) for info, _ in infos]
    assert told == [(pod.name, "Pod", pod.name)]


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_have_their_names(window: Window, release: Release, name: str) -> None:
    pod = window.truth.pod(NAMESPACE, name)
    selector = f'pod_id="{pod.uid}", zone="package", container_name!=""'
    found = window.series(release, "kepler_container_cpu_joules_total", selector)
    assert {labels["container_name"] for labels, _ in found} == CONTAINERS[name]
    for labels, _ in found:
        assert pod.containers[labels["container_id"]] == labels["container_name"]


def test_the_loads_themselves_are_two_to_one(window: Window) -> None:
    assert window.used_ns["double-"] / window.used_ns["single-"] == pytest.approx(2, rel=0.02)


def test_two_pods_stand_two_to_one(window: Window, release: Release) -> None:
    by_pod = window.gained(release, "kepler_pod_cpu_joules_total", 'zone="package"', by="pod_id")
    double, single = (by_pod[window.truth.pod(NAMESPACE, name).uid] for name in ("double-", "single-"))
    assert single > 10
    assert double / single == pytest.approx(2, rel=0.05)


def test_the_node_draws_what_its_meter_counts(window: Window, release: Release) -> None:
    gained = window.gained(release, "kepler_node_cpu_joules_total")
    assert gained == {zone: pytest.approx(watts * WINDOW_SECONDS, rel=0.06) for zone, watts in WATTS.items()}


def test_the_parts_add_up_to_the_node(window: Window, release: Release) -> None:
    node = window.total(release, "kepler_node_cpu_joules_total")
    parts = [window.total(release, family, selector) for family, selector in PARTS]
    assert set(node) == set(WATTS)
    for zone, joules in node.items():
        assert sum(part.get(zone, 0.0) for part in parts) == pytest.approx(joules, rel=0.005)


def test_a_pod_holds_what_its_containers_hold(window: Window, release: Release) -> None:
    by_pod = window.total(release, "kepler_pod_cpu_joules_total", by="pod_id")
    by_container = window.total(release, "kepler_container_cpu_joules_total", 'pod_id!=""', by="pod_id")
    for name in ("double-", "staged", "doomed", "crashing", "static-"):
        uid = window.truth.pod(NAMESPACE, name).uid
        assert by_pod[uid] == pytest.approx(by_container[uid], rel=0.005)


def test_a_pod_that_was_deleted_keeps_all_it_used(window: Window, release: Release) -> None:
    uid = window.truth.pod(NAMESPACE, "doomed").uid
    selector = f'release="{release.name}", pod_id="{uid}"'
    seconds = window.prometheus.value(f"sum(kepler_container_cpu_seconds_total{{{selector}}})", window.end)
    assert seconds == pytest.approx(window.last_words_ns / 1e9, rel=0.005)
    joules = f'kepler_pod_cpu_joules_total{{{selector}, zone="package"}}'
    assert window.prometheus.value(joules, window.end) > 5
    assert window.prometheus.value(f"resets({joules}[{WINDOW_SECONDS:.0f}s])", window.end) == 0


def test_a_pod_that_was_replaced_is_two_pods_of_one_name(window: Window, release: Release) -> None:
    selector = f'pod_namespace="{NAMESPACE}", pod_name="ordered-0", zone="package"'
    found = window.series(release, "kepler_pod_cpu_joules_total", selector)
    uids = {pod.uid for pod in window.truth.pods.values() if pod.name == "ordered-0"}
    assert len(uids) == 2
    assert {labels["pod_id"] for labels, _ in found} == uids
    assert all(joules > 0 for _, joules in found)


def test_a_container_that_was_restarted_loses_nothing(window: Window, release: Release) -> None:
    uid = window.truth.pod(NAMESPACE, "crashing").uid
    selector = f'pod_id="{uid}", container_name="main", zone="package"'
    found = window.series(release, "kepler_container_cpu_joules_total", selector)
    assert len({labels["container_id"] for labels, _ in found}) == 2
    assert all(joules > 0 for _, joules in found)
    promql = f'resets(kepler_pod_cpu_joules_total{{release="{release.name}", pod_id="{uid}"}}[60s])'
    assert [value for _, value in window.prometheus.query(promql, window.end)] == [0, 0]


def test_nothing_is_without_a_name_or_under_a_wrong_one(window: Window, release: Release) -> None:
    assert wrong_names(window.prometheus, window.truth, release) == []


def test_nothing_went_wrong_on_the_way(window: Window, release: Release) -> None:
    for family in ("podjoule_component_errors_total", "podjoule_pod_directory_errors_total"):
        assert all(value == 0 for _, value in window.series(release, family)), family
    worst = f'max(max_over_time(podjoule_conservation_error_ratio{{release="{release.name}"}}[60s]))'
    assert window.prometheus.value(worst, window.end) <= 1e-9
    assert release.restarts() == 0
    assert " error " not in release.log()
