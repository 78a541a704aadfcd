"""podjoule replaced while pods run, in three ways: no joule is lost, and no counter goes down."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ebpf.pins import remove_pins
from ebpf.program import HOOKS
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.kubernetes.exporters import doctor, exporter_pid
from tests.e2e.kubernetes.manifests import container, following, pod_spec, telling
from tests.e2e.kubernetes.pod_watch import PodWatch
from tests.e2e.kubernetes.releases import Release
from tests.e2e.kubernetes.truth import SeenPod, Truth, used_seconds
from tests.e2e.kubernetes.workloads import running_pods
from tests.e2e.servers import Plant
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live.in_kernel import in_kernel, still_there
from tests.live.pages import value_of

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

NAMESPACE = "e2e-continuity"
PODS = ("double", "single")
PACKAGE, WATTS = "intel-rapl:0", 60.0
UP_SECONDS, REST_SECONDS = 13.0, 3.0
# What the double one is to have used at the least, and how long it may take where others use the machine.
USED_SECONDS, LONGEST_SECONDS = 15.0, 150.0
SMALL = {"resources": {"requests": {"cpu": "50m"}}}
VALUES = {**SMALL, "config": {"monitor": {"interval": "500ms"}, "calibration": "off"}}

MakeRelease = Callable[..., Release]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> RaplTree:
    """A meter that stands still until something draws."""
    tree = RaplTree(tmp_path_factory.mktemp("node") / "sys")
    tree.add_zone(PACKAGE, "package-0", 5_000_000)
    return tree


@pytest.fixture(scope="module")
def release(make_release: MakeRelease, bpffs: Path, tree: RaplTree) -> Iterator[Release]:
    """podjoule that is to go on where the one before it stopped."""
    values = {
        **VALUES,
        "continuity": {"enabled": True, "pinPath": f"{bpffs}/podjoule"},
        "state": {"hostPath": str(tree.root.parent / "state")},
    }
    powercap = tree.root / "devices/virtual/powercap"
    made = make_release("continuity", powercap=powercap, values=values)
    made.wait()
    yield made
    made.uninstall()
    remove_pins(bpffs / "podjoule")


@pytest.fixture(scope="module")
def pods(cluster: Cluster, truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[SeenPod]]:
    """Two that use CPU time two to one."""
    shared = tmp_path_factory.mktemp("shared")
    loads = (telling(container("main", 400)), following(container("main", 200)))
    specs = (pod_spec({**load, **SMALL}, shared=shared) for load in loads)
    with running_pods(cluster, truth, NAMESPACE, dict(zip(PODS, specs, strict=True))) as pods:
        yield pods


@dataclass(frozen=True)
class Replaced:
    """before, after: pages while no pod ran, and between them everything happened.

    used_seconds: what the kernel counted for each container, by its id. drawn: joules by the meter.
    in_kernel: what each exporter held of BPF, in their order.
    """

    before: str
    after: str
    used_seconds: dict[str, float]
    drawn: float
    watch: PodWatch
    in_kernel: list[set[tuple[str, int]]]

    def gained(self, series: str) -> float:
        return value_of(self.after, series) - value_of(self.before, series)

    def of_container(self, family: str, container_id: str) -> float:
        return self.gained(rf'{family}{{.*container_id="{container_id}".*')


@pytest.fixture(scope="module")
def replaced(release: Release, pods: list[SeenPod], tree: RaplTree, truth: Truth) -> Iterator[Replaced]:
    """A minute in which the DaemonSet is restarted, upgraded, and its container killed."""
    held = []

    def rest() -> str:
        time.sleep(REST_SECONDS)
        held.append(in_kernel(exporter_pid(release, truth)))
        return release.metrics()

    def upgrade() -> None:
        replace(release, values={**release.values, "podAnnotations": {"e2e": "upgraded"}}).install()
        release.wait()

    def kill() -> None:
        os.kill(exporter_pid(release, truth), signal.SIGKILL)
        release.wait()

    with Plant(tree, {PACKAGE: WATTS}):
        time.sleep(REST_SECONDS)  # of a zone that never moved nothing is known
    _signal(pods, signal.SIGSTOP)
    before, used, started_uj = rest(), used_seconds(pods), tree.energy_uj(PACKAGE)
    with PodWatch(release.cluster, release.name) as watch:
        with Plant(tree, {PACKAGE: WATTS}):
            time.sleep(REST_SECONDS)  # so that each tick in which the pods run has all its watts
            _signal(pods, signal.SIGCONT)
            for disturb in (release.restart, upgrade, kill):
                time.sleep(UP_SECONDS)
                held.append(in_kernel(exporter_pid(release, truth)))
                disturb()
            time.sleep(UP_SECONDS)
            _await_used(pods, used)
            _signal(pods, signal.SIGSTOP)
            time.sleep(REST_SECONDS)
        after = rest()
        watch.look(after)
    drawn = (tree.energy_uj(PACKAGE) - started_uj) / 1e6
    gained = {each: seconds - used[each] for each, seconds in used_seconds(pods).items()}
    yield Replaced(before, after, gained, drawn, watch, held)
    _signal(pods, signal.SIGCONT)


def _await_used(pods: list[SeenPod], before: dict[str, float]) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        if max(seconds - before[each] for each, seconds in used_seconds(pods).items()) >= USED_SECONDS:
            return
        time.sleep(0.5)


def _signal(pods: list[SeenPod], number: int) -> None:
    for each in pods:
        for pid in each.pids("main"):
            os.kill(pid, number)


def test_no_counter_ever_goes_down(replaced: Replaced) -> None:
    assert replaced.watch.pages > 100
    assert replaced.watch.fallen == []


def test_each_exporter_was_another(replaced: Replaced) -> None:
    programs = [{number for kind, number in held if kind == "prog"} for held in replaced.in_kernel]
    assert len(set(map(frozenset, programs))) == 4
    links = [{number for kind, number in held if kind == "link"} for held in replaced.in_kernel]
    assert all(len(each) == len(HOOKS) for each in links)


def test_the_loads_themselves_are_two_to_one(replaced: Replaced) -> None:
    double, single = replaced.used_seconds.values()
    assert double > 10
    assert double / single == pytest.approx(2, rel=0.05)


def test_cpu_seconds_are_the_kernels_own(replaced: Replaced) -> None:
    for container_id, seconds in replaced.used_seconds.items():
        told = replaced.of_container("kepler_container_cpu_seconds_total", container_id)
        print(f"{container_id[:8]}: {told:.4f} of {seconds:.4f} s, {told / seconds - 1:+.4%}")
        assert told == pytest.approx(seconds, rel=0.005)


def test_each_cpu_second_has_its_joules(replaced: Replaced) -> None:
    """Constant watts shared by CPU time: each second of one CPU is worth the same."""
    per_second = WATTS / (os.cpu_count() or 1)
    for container_id, seconds in replaced.used_seconds.items():
        told = replaced.of_container("kepler_container_cpu_joules_total", container_id)
        true = per_second * seconds
        print(f"{container_id[:8]}: {told:.3f} of {true:.3f} J, {told / true - 1:+.4%}")
        assert told == pytest.approx(true, rel=0.005)


def test_the_node_has_all_that_was_drawn(replaced: Replaced) -> None:
    told = replaced.gained("kepler_node_cpu_joules_total")
    print(f"node {told:.3f} of {replaced.drawn:.3f} J, {told / replaced.drawn - 1:+.4%}")
    assert replaced.drawn > WATTS * 4 * UP_SECONDS
    assert told == pytest.approx(replaced.drawn, rel=0.005)


def test_the_downtime_is_counted_and_no_gap(replaced: Replaced, release: Release) -> None:
    counted = replaced.gained(r'podjoule_downtime_seconds_total{.*counted="true"')
    print(f"{counted:.2f} s without podjoule in three replacements; {replaced.watch.pages} pages")
    assert counted > 0
    assert replaced.gained(r'podjoule_downtime_seconds_total{.*counted="false"') == 0
    log = release.log()
    assert "taking over the counts in /host/sys/fs/bpf/podjoule/podjoule_" in log
    assert "without podjoule: nothing is lost" in log
    assert release.restarts() == 1, "the container that was killed"


def test_of_what_was_replaced_nothing_is_left_in_the_kernel(replaced: Replaced) -> None:
    held = set().union(*replaced.in_kernel)
    assert still_there(held) == replaced.in_kernel[-1]


def test_the_doctor_finds_pins_and_state_in_order(replaced: Replaced, release: Release) -> None:
    found = doctor(release)
    assert found["pins"].startswith("ok "), found["pins"]
    assert found["state"].startswith("ok "), found["state"]
