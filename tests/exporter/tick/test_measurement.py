"""The whole path in memory: whatever happens to cgroups, counters and meter, no joule is lost or made up."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ebpf.cgroups import KERNEL_PATH
from ebpf.fake import FakeCounterSource
from estimator.energy import SourceInfo, Usage, ZoneEnergy
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import MeterError
from estimator.meters.powercap import PowercapMeter
from estimator.meters.powercap_counter import read_file
from exporter.tick.measurement import conservation_error
from exporter.tick.power import NoEnergy
from tests.estimator.meters.rapl_tree import RaplTree
from tests.exporter.nodes import Node, Samples, container, in_pod, of, parse, series

RELATIVE = 1e-9
EIO = OSError(errno.EIO, os.strerror(errno.EIO))
EVERYTHING = ("container", "pod", "vm", "unit", "user", "kernel", "root", "job", "other")
NODE_JOULES = "kepler_node_cpu_joules_total"
IDLE_JOULES = "kepler_node_cpu_idle_joules_total"
UNATTRIBUTED = "podjoule_node_unattributed_joules_total"


def failed(path: str) -> MeterError:
    return MeterError(path, "energy_uj failed: Input/output error", vanished=False)


def gone(path: str) -> MeterError:
    return MeterError(path, "energy_uj is gone: No such device", vanished=True)


def attributed(samples: Samples, zone: str) -> float:
    """What all workloads hold; a pod's series repeats its containers'."""
    return math.fsum(
        (
            of(samples, "kepler_pod_cpu_joules_total", zone=zone),
            of(samples, "kepler_container_cpu_joules_total", zone=zone, pod_id=""),
            of(samples, "kepler_vm_cpu_joules_total", zone=zone),
            of(samples, "podjoule_cgroup_cpu_joules_total", zone=zone),
        )
    )


def assert_conserved(samples: Samples, zone: str) -> None:
    parts = (
        attributed(samples, zone),
        of(samples, IDLE_JOULES, zone=zone),
        of(samples, UNATTRIBUTED, zone=zone),
    )
    assert math.fsum(parts) == pytest.approx(of(samples, NODE_JOULES, zone=zone), rel=RELATIVE, abs=1e-12)


def test_the_first_tick_is_the_baseline_and_no_energy() -> None:
    node = Node()
    node.source.add(container(1))
    node.source.use(container(1), 3.0)
    node.draw(1000.0)
    tick = node.advance()
    assert (tick.interval_seconds, tick.shares) == (0.0, [])
    assert node.measurement.ledger.balances("container").cpu_seconds.tolist() == [0.0]


def test_energy_goes_to_those_who_ran_in_proportion_and_the_rest_is_idle() -> None:
    node = Node()
    for number in (1, 2, 3):
        node.source.add(container(number))
    node.advance()
    node.source.use(container(1), 4.0, cpu=0)
    node.source.use(container(2), 1.0, cpu=1)
    node.draw(100.0)
    tick = node.advance()
    (share,) = tick.shares
    assert (share.idle_joules, share.idle_method) == (50.0, "usage_ratio")
    assert conservation_error(share) <= RELATIVE
    assert list(node.joules("container").values()) == [40.0, 10.0, 0.0]


def test_each_socket_pays_for_itself() -> None:
    node = Node(sockets=2)
    node.source.add(container(1))
    node.source.add(container(2))
    node.advance()
    node.source.use(container(1), 5.0, cpu=0)
    node.source.use(container(2), 5.0, cpu=3)
    node.counters[0].draw(80.0)
    node.counters[1].draw(20.0)
    tick = node.advance()
    assert [conservation_error(share) <= RELATIVE for share in tick.shares] == [True, True]
    assert list(node.joules("container").values()) == pytest.approx([40.0, 10.0])


def test_a_container_that_came_and_went_between_two_ticks_has_its_energy_and_its_name() -> None:
    node = Node()
    node.advance()
    node.source.add(in_pod(1))
    node.source.use(in_pod(1), 10.0)
    node.source.end(in_pod(1))
    node.draw(7.0)
    node.advance()
    assert list(node.joules("container", "pod").values()) == [7.0, 7.0]
    for _ in range(3):
        node.advance()
    assert list(node.joules("container", "pod").values()) == [7.0, 7.0]


def test_the_kernels_own_work_is_a_workload() -> None:
    node = Node()
    node.advance()
    node.source.use(KERNEL_PATH, 10.0)
    node.draw(7.0)
    node.advance()
    assert node.joules("kernel") == {"/": 7.0}


def test_what_the_map_could_not_hold_is_unattributed() -> None:
    node = Node()
    node.source.add(container(1))
    node.tick()
    node.source.use(container(1), 6.0)
    node.source.drop(4.0, cpu=1)
    node.draw(10.0)
    samples = node.tick()
    assert of(samples, UNATTRIBUTED, reason="map_full") == pytest.approx(4.0)
    assert_conserved(samples, "package")


def test_a_read_that_fails_loses_nothing_and_stops_nothing() -> None:
    node = Node()
    node.source.add(container(1))
    node.tick()
    node.source.use(container(1), 10.0)
    node.draw(30.0)
    node.source.failures.append(EIO)
    samples = node.tick()
    assert of(samples, "podjoule_component_errors_total", component="counters") == 1
    assert of(samples, "podjoule_component_up", component="counters") == 0
    node.source.use(container(1), 10.0)
    node.draw(30.0)
    samples = node.tick()
    assert of(samples, "podjoule_component_up", component="counters") == 1
    assert of(samples, "kepler_container_cpu_joules_total") == 60.0
    assert of(samples, "kepler_container_cpu_seconds_total") == 20.0
    assert of(samples, "kepler_container_cpu_watts") == 6.0


def test_what_was_true_of_the_last_tick_is_not_said_of_one_that_failed() -> None:
    node = Node()
    node.source.add(container(1))
    node.tick()
    node.source.use(container(1), 10.0)
    node.draw(30.0)
    assert of(node.tick(), "kepler_node_cpu_watts") == 6.0
    node.source.failures.append(EIO)
    samples = node.tick()
    for name in ("kepler_node_cpu_watts", "kepler_container_cpu_watts", "kepler_node_cpu_usage_ratio"):
        assert not series(samples, name)
    assert of(samples, "kepler_container_cpu_joules_total") == 30.0
    assert of(samples, "podjoule_ticks_total") == 3


class Broken(NoEnergy):
    info = SourceInfo("rapl")

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        raise RuntimeError("a defect of ours")


def test_a_source_of_energy_that_breaks_costs_the_energy_alone() -> None:
    node = Node(energy=Broken())
    node.source.add(container(1))
    with pytest.raises(RuntimeError):
        node.advance()
    for seconds in (1.0, 2.0):
        node.source.use(container(1), seconds)
        with pytest.raises(RuntimeError):
            node.advance()
    assert node.measurement.ledger.balances("container").cpu_seconds.tolist() == [3.0]
    assert node.measurement.components.by_name["power"].errors == 3


def test_a_zone_that_fails_has_no_watts_and_its_next_reading_spans_both_ticks() -> None:
    node = Node(zones=("package", "dram"))
    node.source.add(container(1))
    node.tick()
    node.counters[1].failing = failed("dram-0")
    for _ in range(2):
        node.source.use(container(1), 10.0)
        node.draw(10.0)
        node.draw(2.0, "dram")
        samples = node.tick()
    assert set(series(samples, "kepler_container_cpu_watts")) == set(
        series(samples, "kepler_container_cpu_watts", zone="package")
    )
    node.counters[1].failing = None
    node.source.use(container(1), 10.0)
    node.draw(2.0, "dram")
    samples = node.tick()
    assert of(samples, NODE_JOULES, zone="dram") == pytest.approx(6.0)
    assert of(samples, "kepler_node_cpu_watts", zone="dram") == pytest.approx(6.0 / 15)
    assert of(samples, "podjoule_power_errors_total", kind="read") == 2
    assert_conserved(samples, "dram")


def test_a_zone_that_vanishes_leaves_no_nan_behind() -> None:
    node = Node(sockets=2)
    node.source.add(container(1))
    node.tick()
    node.source.use(container(1), 10.0, cpu=0)
    node.draw(10.0)
    node.tick()
    node.counters[1].failing = gone("package-1")
    node.source.use(container(1), 10.0, cpu=0)
    node.draw(10.0)
    samples = node.tick()
    assert not [key for key, value in samples.items() if math.isnan(value)]
    assert of(samples, "kepler_node_cpu_watts", zone="package") == 2.0


def test_no_energy_source_leaves_cpu_time() -> None:
    node = Node(energy=NoEnergy())
    node.source.add(container(1))
    node.tick()
    node.source.use(container(1), 2.0)
    samples = node.tick()
    assert of(samples, "kepler_container_cpu_seconds_total") == 2.0
    assert not series(samples, "kepler_container_cpu_joules_total")


@pytest.fixture
def in_rapl(tmp_path: Path) -> Callable[..., tuple[Node, RaplTree, dict[str, bool]]]:
    """A node on a real powercap tree of two sockets; reading any zone fails while ["failing"]."""

    def make() -> tuple[Node, RaplTree, dict[str, bool]]:
        tree, state = RaplTree.two_sockets(tmp_path / "sys"), {"failing": False}

        def read(descriptor: int) -> bytes:
            if state["failing"]:
                raise EIO
            return read_file(descriptor)

        source = FakeCounterSource(n_cpu=4)
        meter = PowercapMeter(tree.root, clock=lambda: source.monotonic_ns, read_file=read, rescan_reads=1)
        return Node(sockets=2, source=source, energy=MeteredEnergy(meter)), tree, state

    return make


def test_a_real_tree_that_wraps_fails_and_vanishes_is_conserved(in_rapl: Callable[..., object]) -> None:
    node, tree, state = in_rapl()  # type: ignore[misc]
    node.source.add(in_pod(1))
    events = {3: "fail", 4: "mend", 6: "remove", 8: "restore"}
    for tick in range(300):
        state["failing"] = events.get(tick) == "fail"
        if events.get(tick) == "remove":
            tree.remove("intel-rapl:1")
        elif events.get(tick) == "restore":
            tree.restore("intel-rapl:1")
        node.source.use(in_pod(1), 1.0 + tick % 3, cpu=tick % 4)
        tree.advance_all(1_000.0)
        samples = node.tick()
        for zone in ("package", "dram"):
            assert_conserved(samples, zone)
    # 299 differences; socket 1 lost those of its three ticks without a difference, one of them the return.
    assert of(samples, NODE_JOULES, zone="package") == pytest.approx(299_000.0 + 296_000.0)
    assert of(samples, "podjoule_power_errors_total", kind="vanished") == 2


@pytest.mark.parametrize("policy", ["proportional", "even"])
def test_idle_energy_that_is_shared_out_is_all_there_and_apart_from_the_active(policy: str) -> None:
    node = Node(idle_policy=policy)
    for number in (1, 2):
        node.source.add(in_pod(number))
    node.tick()
    node.source.use(in_pod(1), 3.0)
    node.source.use(in_pod(2), 1.0)
    node.draw(100.0)
    samples = node.tick()
    for name in ("podjoule_container_idle_joules_total", "podjoule_pod_idle_joules_total"):
        assert of(samples, name) == pytest.approx(60.0)
    first = of(samples, "podjoule_container_idle_joules_total", container_id=f"{1:064x}")
    assert first == pytest.approx({"proportional": 45.0, "even": 30.0}[policy])
    assert of(samples, "kepler_container_cpu_joules_total") == pytest.approx(40.0)
    assert_conserved(samples, "package")


def test_even_gives_each_container_one_share_however_many_cgroups_it_has() -> None:
    node = Node(idle_policy="even")
    first = container(1)
    nested = f"/machine.slice/libpod-{2:064x}.scope"
    for path in (first, f"{first}/init.scope", nested, f"{nested}/libpod-payload-{2:064x}"):
        node.source.add(path)
    node.tick()
    node.draw(100.0)
    shares = series(node.tick(), "podjoule_container_idle_joules_total")
    assert list(shares.values()) == [50.0, 50.0]


def test_even_does_not_overlook_a_container_whose_cgroup_was_renamed() -> None:
    node = Node(idle_policy="even")
    renamed = node.source.add(container(1))
    node.tick()
    node.source.tree.renamed(renamed, "/elsewhere")
    node.draw(100.0)
    assert of(node.tick(), "podjoule_container_idle_joules_total") == 100.0


def test_no_idle_family_without_a_policy() -> None:
    node = Node()
    node.source.add(in_pod(1))
    node.tick()
    node.draw(10.0)
    assert not [key for key in node.tick() if "idle_joules" in key[0] and "node" not in key[0]]


def test_even_with_nobody_there_is_no_error() -> None:
    node = Node(idle_policy="even")
    node.tick()
    node.draw(10.0)
    assert of(node.tick(), IDLE_JOULES) == 10.0
    assert not node.measurement.components.by_name["ledger"].errors


def test_cgroups_without_end_leave_nothing_behind() -> None:
    node = Node(ttl=20.0)
    node.tick()
    for number in range(2_000):
        node.source.add(in_pod(number, pod=number))
        node.source.use(in_pod(number, pod=number), 1.0)
        node.source.end(in_pod(number, pod=number))
        node.draw(1.0)
        node.advance()
    measurement = node.measurement
    assert len(measurement.ledger.balances(*EVERYTHING).accounts) < 20
    assert len(measurement._resolver._known) < 5
    assert len(measurement.ledger._register._bound) < 5
    assert len(node.tick()) < 200


def test_the_page_is_what_the_parser_of_prometheus_reads() -> None:
    node = Node()
    node.source.add(container(1))
    node.tick()
    assert node.publisher.page is not None
    openmetrics = node.publisher.page.body(openmetrics=True).decode()
    assert openmetrics.endswith("# EOF\n")
    assert parse(node.publisher.page.body().decode())


def test_conservation_error_of_nothing_is_zero() -> None:
    node = Node(zones=("core",))  # the package and what lies beside it never stand still
    node.advance()
    (share,) = node.advance().shares
    assert conservation_error(share) == 0.0
    assert conservation_error(replace(share, idle_joules=1.0)) == 1.0


def test_what_no_tick_can_hold_is_on_the_page() -> None:
    node = Node()
    node.source.add(container(1))
    node.tick()
    node.source.use(container(1), 18_010.0)
    samples = node.tick()
    assert of(samples, "podjoule_impossible_cpu_seconds_total") == 18_010.0
    assert of(samples, "kepler_container_cpu_seconds_total") == 0.0


def test_what_was_drawn_while_the_energy_could_not_be_had_goes_to_all_who_ran() -> None:
    node = Node()
    node.source.add(container(1))
    node.source.add(container(2))
    node.tick()
    node.draw(100.0)
    node.tick()
    metered = node.measurement.power

    class Breaks(NoEnergy):
        def measure(self, usage: Usage) -> list[ZoneEnergy]:
            raise RuntimeError("once")

    node.measurement.power = replace(metered, source=Breaks())
    node.source.use(container(1), 5.0)
    node.draw(50.0)
    node.tick()
    node.measurement.power = metered
    node.source.use(container(2), 5.0)
    node.draw(50.0)
    node.tick()
    assert list(node.joules("container").values()) == pytest.approx([25.0, 25.0])  # half of it is idle
