"""What a snapshot is in OpenTelemetry's terms: names, resources, start times, and every joule of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from opentelemetry.sdk.metrics.export import Gauge, MetricsData, ResourceMetrics, Sum

from estimator.gpu.activity import Activity, ActivityLog, Look, Process
from estimator.gpu.port import Gpu
from exporter.configuration.option_tree import Kube
from exporter.metrics.exposition import Family
from exporter.names.pods import ContainerInfo, PodInfo
from exporter.otlp import entities, mapping
from exporter.otlp.conventions import naming
from exporter.otlp.mapping import Mapper
from exporter.otlp.snapshot import Snapshot, snapshot_of
from exporter.serving.publisher import PagePublisher
from exporter.tick.gpus import Gpus
from exporter.tick.ticker import Ticker
from tests.exporter.names.test_naming import FakePods
from tests.exporter.nodes import NODE, UID, Node, container, in_pod, of, write_process

SECOND = 1_000_000_000
POD = PodInfo(
    uid=f"00000000{UID[8:]}",
    name="web-5d4-x",
    namespace="shop",
    workload_kind="Deployment",
    workload_name="web",
    containers={f"{1:064x}": ContainerInfo("nginx")},
)


class Point(NamedTuple):
    resource: dict[str, str]
    attributes: dict[str, object]
    value: float
    start_ns: int
    time_ns: int


class Pushed:
    """What `requests` made, by the metric's name."""

    def __init__(self, requests: Iterator[MetricsData]) -> None:
        self.requests = list(requests)
        self.metrics: dict[str, list[Point]] = {}
        self.units: dict[str, str] = {}
        self.monotonic: set[str] = set()
        for request in self.requests:
            for resource in request.resource_metrics:
                for metric in resource.scope_metrics[0].metrics:
                    self._add(dict(resource.resource.attributes), metric)

    def _add(self, resource, metric) -> None:
        self.units[metric.name] = metric.unit
        if isinstance(metric.data, Sum):
            assert metric.data.is_monotonic
            assert metric.data.aggregation_temporality.name == "CUMULATIVE"
            self.monotonic.add(metric.name)
        else:
            assert isinstance(metric.data, Gauge)
        self.metrics.setdefault(metric.name, []).extend(
            Point(resource, dict(p.attributes), p.value, p.start_time_unix_nano, p.time_unix_nano)
            for p in metric.data.data_points
        )

    def one(self, name: str, **resource: str) -> Point:
        points = self.points(name, **resource)
        assert len(points) == 1, points
        return points[0]

    def points(self, name: str, **resource: str) -> list[Point]:
        wanted = {key.replace("_", "."): value for key, value in resource.items()}.items()
        return [point for point in self.metrics[name] if wanted <= point.resource.items()]


class Outlet:
    """Keeps what is shown."""

    def __init__(self) -> None:
        self.shown: Sequence[Family] = ()

    def families(self) -> list[Family]:
        return []

    def show(self, families: Sequence[Family]) -> None:
        self.shown = families


class Told:
    """A node, and its snapshots mapped; a second of time passes with each."""

    def __init__(self, **node) -> None:
        self.node = Node(**node)
        self.outlet = Outlet()
        made = self.node
        made.publisher = PagePublisher(made.config, made.measurement, outlet=self.outlet)
        made.ticker = Ticker(made.config, made.measurement, made.publisher)
        self.mapper = Mapper(entities.Node("n1", True, "m1", {"k8s.cluster.name": "prod"}))
        self.now_ns = SECOND

    def tick(self) -> dict:
        return self.node.tick()

    def pushed(self) -> Pushed:
        self.now_ns += SECOND
        return Pushed(self.mapper.requests(snapshot_of(self.outlet.shown, self.now_ns)))


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """A container in a named pod, one in none, a unit and a process, on two sockets with two zones."""
    write_process(tmp_path, 7, "app", "/usr/bin/app")
    told = Told(
        sockets=2,
        zones=("package", "dram"),
        levels=(*NODE, "process"),
        procfs=tmp_path,
        pods=FakePods(POD),
        kube=Kube("n1"),
        idle_policy="proportional",
    )
    for path in (in_pod(1), container(2), "/system.slice/sshd.service"):
        told.node.source.add(path)
    for _ in range(10):  # what no directory knows is shown after 30 s
        for path in (in_pod(1), container(2), "/system.slice/sshd.service"):
            told.node.source.use(path, 1.0, tgid=7)
        told.node.draw(30.0)
        told.node.draw(5.0, "dram")
        told.tick()
    return told


def test_all_that_is_on_the_page_is_pushed_with_its_value(told: Told) -> None:
    pushed, families = told.pushed(), told.outlet.shown
    ours = [family for family in families if family.name.startswith(("kepler_", "podjoule_"))]
    points = [point for points in pushed.metrics.values() for point in points]
    assert len(points) == sum(len(family.labels) for family in ours) > 100
    assert math.fsum(p.value for p in points) == pytest.approx(
        math.fsum(float(v) for family in ours for v in family.values), rel=1e-12
    )
    counters = [family for family in ours if family.type == "counter" and len(family.labels)]
    assert sum(len(pushed.metrics[name]) for name in pushed.monotonic) == sum(len(f.labels) for f in counters)


def test_joules_of_a_pod_are_of_a_resource_that_is_the_pod(told: Told) -> None:
    page, pushed = told.node.samples(), told.pushed()
    points = pushed.points("kepler.pod.cpu.joules")
    assert pushed.units["kepler.pod.cpu.joules"] == "J"
    assert {point.attributes["zone"]: point.value for point in points} == {
        zone: of(page, "kepler_pod_cpu_joules_total", zone=zone) for zone in ("package", "dram")
    }
    assert points[0].resource == {
        "service.name": "podjoule",
        "service.version": points[0].resource["service.version"],
        "service.instance.id": f"n1/{POD.uid}",
        "host.name": "n1",
        "host.id": "m1",
        "k8s.node.name": "n1",
        "k8s.cluster.name": "prod",
        "k8s.pod.uid": POD.uid,
        "k8s.pod.name": "web-5d4-x",
        "k8s.namespace.name": "shop",
        "k8s.deployment.name": "web",
    }
    assert points[0].attributes == {"zone": "package"}


def test_a_container_is_its_pods_and_has_its_own_names(told: Told) -> None:
    pushed = told.pushed()
    point = pushed.one("container.cpu.time", k8s_pod_uid=POD.uid)
    assert (pushed.units["container.cpu.time"], point.value) == ("s", pytest.approx(9.0))
    assert point.resource["k8s.container.name"] == "nginx"
    assert point.resource["k8s.namespace.name"] == "shop"
    assert point.resource["container.id"] == f"{1:064x}"


def test_a_container_in_no_pod_has_no_names_of_kubernetes(told: Told) -> None:
    point = told.pushed().one("container.cpu.time", container_id=f"{2:064x}")
    assert point.resource["container.runtime.name"] == "docker"
    assert not [name for name in point.resource if name.startswith(("k8s.pod", "k8s.namespace"))]


def test_no_two_resources_have_the_same_instance(told: Told) -> None:
    resources = [r.resource for request in told.pushed().requests for r in request.resource_metrics]
    instances = [resource.attributes["service.instance.id"] for resource in resources]
    assert len(set(instances)) == len(instances) == 4  # the node, a pod, two containers


def test_what_the_machine_draws_is_hw_energy(told: Told) -> None:
    page, pushed = told.node.samples(), told.pushed()
    assert (pushed.units["hw.energy"], pushed.units["hw.power"]) == ("J", "W")
    assert "hw.energy" in pushed.monotonic
    for point in pushed.points("hw.energy"):
        zone, path = point.attributes["zone"], point.attributes["path"]
        assert point.value == of(page, "kepler_node_cpu_joules_total", zone=zone, path=path)
        assert point.attributes["hw.type"] == {"package": "cpu", "dram": "memory"}[zone]
    assert len({point.attributes["hw.id"] for point in pushed.points("hw.energy")}) == 4
    assert "hw.host.energy" not in pushed.metrics


def test_a_zone_that_holds_the_machine_is_hw_host_energy() -> None:
    told = Told(zones=("platform", "package"))
    for _ in range(2):
        told.node.draw(50.0, "platform")
        told.node.draw(20.0, "package")
        told.tick()
    pushed = told.pushed()
    assert pushed.one("hw.host.energy").value == of(
        told.node.samples(), "kepler_node_cpu_joules_total", zone="platform"
    )
    assert [point.attributes["zone"] for point in pushed.points("hw.energy")] == ["package"]


def joules_of(*counted: str, **zones: float) -> Snapshot:
    """Joules by zone, and the zones that count."""
    energy = Family(
        *("kepler_node_cpu_joules_total", "h", "counter", ("node_name", "zone", "path")),
        [("n1", zone, zone) for zone in zones],
        list(zones.values()),
    )
    info = Family(
        *("podjoule_energy_zone_info", "h", "gauge", ("node_name", "zone")),
        [("n1", zone) for zone in counted],
        [1.0] * len(counted),
    )
    return Snapshot([energy, info], SECOND)


def hardware_of(mapper: Mapper, snapshot: Snapshot) -> dict[str, set[object]]:
    """The zones by the metric's name."""
    metrics = Pushed(mapper.requests(snapshot)).metrics
    return {
        name: {point.attributes["zone"] for point in points}
        for name, points in metrics.items()
        if name.startswith("hw.")
    }


def test_no_joule_is_pushed_under_two_names_as_it_becomes_known_which_zones_count() -> None:
    """On the first page after a start none is known, though the energy of the process before is there."""
    mapper = Mapper(entities.Node("n1", False))
    joules = {"psys": 90.0, "package": 50.0}
    assert hardware_of(mapper, joules_of(**joules)) == {"hw.energy": {"package"}}
    known = {"hw.energy": {"package"}, "hw.host.energy": {"psys"}}
    assert hardware_of(mapper, joules_of("psys", **joules)) == known
    for counted in ((), ("package",), ("platform",), ("psys",)):
        assert hardware_of(mapper, joules_of(*counted, **joules)) == known


def test_a_platform_zone_is_the_machine_from_the_first_page_on() -> None:
    mapper = Mapper(entities.Node("n1", False))
    for counted in ((), ("platform",), ()):
        assert hardware_of(mapper, joules_of(*counted, platform=9.0)) == {"hw.host.energy": {"platform"}}


def test_a_psys_that_does_not_count_is_a_part_for_good() -> None:
    mapper = Mapper(entities.Node("n1", False))
    for counted in (("package",), ("psys",)):
        assert hardware_of(mapper, joules_of(*counted, psys=9.0)) == {"hw.energy": {"psys"}}


def test_a_process_has_the_conventions_attributes(told: Told) -> None:
    points = told.pushed().points("kepler.process.cpu.seconds")
    named = [p.attributes for p in points if p.attributes["process.executable.name"] == "app"]
    assert [each["process.pid"] for each in named] == [7]
    assert named[0]["process.executable.path"] == "/usr/bin/app"


def test_names_in_prometheus_are_those_of_the_page(told: Told) -> None:
    """Its receiver makes _ of dots and adds the unit and _total where they are not there yet."""
    for family in told.outlet.shown:
        if (
            family.name.startswith(("kepler_", "podjoule_"))
            and family.name != "kepler_container_cpu_seconds_total"
        ):
            name = naming(family.name).name.replace(".", "_")
            assert name + ("_total" if family.type == "counter" else "") == family.name


def test_every_counter_begins_when_the_page_says(told: Told) -> None:
    told.node.source.add("/system.slice/late.service")
    told.node.source.use("/system.slice/late.service", 1.0)
    told.tick()
    pushed = told.pushed()
    on_page: dict[str, set[int]] = {}
    for family in told.outlet.shown:
        if family.labels and family.type == "counter" and family.name.startswith("podjoule_"):
            assert family.created is not None
            starts = on_page.setdefault(naming(family.name).name, set())
            starts |= {round(float(at) * 1e9) for at in family.created}
    assert {name: {point.start_ns for point in pushed.points(name)} for name in on_page} == on_page
    assert len(on_page["podjoule.cgroup.cpu.seconds"]) == 2, "the late one has a start of its own"


def test_a_gauge_has_no_start(told: Told) -> None:
    assert {point.start_ns for point in told.pushed().points("podjoule.energy.zone.info")} == {0}


def test_a_pods_resource_stays_as_it_was_first_told(told: Told) -> None:
    first = told.pushed().points("kepler.pod.cpu.joules")[0].resource
    told.node.pods.known[:] = [
        PodInfo(POD.uid, POD.name, POD.namespace, workload_kind="Job", workload_name="other")
    ]
    told.tick()
    assert told.pushed().points("kepler.pod.cpu.joules")[0].resource == first


def test_a_pod_and_a_container_are_resources_before_they_have_joules() -> None:
    """As on the first page with a price: the cost that an earlier process counted, of two of each."""
    pod = ("node_name", "pod_id", "pod_name", "pod_namespace", "state", "currency")
    of_container = (
        *("node_name", "container_id", "container_name", "runtime", "state", "pod_id"),
        "currency",
    )
    pods = [("n1", uid, uid * 2, "shop", "running", "EUR") for uid in "ab"]
    containers = [("n1", uid * 3, "app", "docker", "running", uid, "EUR") for uid in "ab"]
    families = [
        Family("podjoule_pod_cost_total", "h", "counter", pod, pods, [1.0, 2.0]),
        Family("podjoule_container_cost_total", "h", "counter", of_container, containers, [1.0, 2.0]),
    ]
    pushed = Pushed(Mapper(entities.Node("n1", True)).requests(Snapshot(families, SECOND)))
    assert pushed.one("podjoule.pod.cost", k8s_pod_uid="b", k8s_pod_name="bb").value == 2.0
    container = pushed.one("podjoule.container.cost", container_id="bbb", k8s_pod_uid="b")
    assert container.resource["service.instance.id"] == "n1/b/bbb"


def test_what_is_gone_is_forgotten(told: Told) -> None:
    numbers = range(10, 30)
    told.node.pods.known += [
        PodInfo(f"{n:08x}{UID[8:]}", f"job-{n}", "batch", containers={f"{n:064x}": ContainerInfo("c")})
        for n in numbers
    ]
    for number in numbers:
        told.node.source.add(in_pod(number, number))
    told.tick()
    told.pushed()
    held = len(told.mapper._entities._kept)
    for number in numbers:
        told.node.source.end(in_pod(number, number))
    for _ in range(3):
        told.node.tick(400.0)
    told.pushed()
    assert (held, len(told.mapper._entities._kept)) == (44, 4)


def test_a_large_node_is_pushed_in_pieces(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = told.pushed()
    monkeypatch.setattr(mapping, "MAX_POINTS", 20)
    pieces = told.pushed()
    sizes = [[_n_points(resource) for resource in request.resource_metrics] for request in pieces.requests]
    assert len(whole.requests) == 1 < len(pieces.requests)
    assert max(map(sum, sizes)) == 20
    resources = [resource for request in pieces.requests for resource in request.resource_metrics]
    assert all(metric.data.data_points for each in resources for metric in each.scope_metrics[0].metrics)
    assert _values(pieces) == _values(whole)


def _values(pushed: Pushed) -> dict[str, list[tuple[str, float]]]:
    return {
        name: sorted((f"{point.resource}{point.attributes}", point.value) for point in points)
        for name, points in pushed.metrics.items()
        if pushed.units[name] != "W"  # NaN is like nothing
    }


def _n_points(resource: ResourceMetrics) -> int:
    return sum(len(metric.data.data_points) for metric in resource.scope_metrics[0].metrics)


def test_a_name_of_any_bytes_can_be_pushed() -> None:
    family = Family("podjoule_x_total", "x", "counter", ("node_name", "cgroup"), [("n1", "/\udcff")], [1.0])
    pushed = Pushed(Mapper(entities.Node("n1", False)).requests(Snapshot([family], SECOND)))
    assert pushed.one("podjoule.x").attributes == {"cgroup": "/?"}


def test_the_machines_id_is_read_where_the_host_can_be_seen(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("4c1f\n")
    assert [entities.host_id(root) for root in (tmp_path, tmp_path / "no", None)] == ["4c1f", "", ""]
    assert "host.id" not in entities.Node("n1", False).resource()


def test_a_gpu_is_hardware_of_its_own_beside_the_cpu() -> None:
    seen = ActivityLog()
    told = Told(zones=("package", "gpu"), gpus=Gpus([seen], idle_watts=2.0))
    told.node.source.add(container(1))
    for _ in range(3):
        cgroup_id = next(iter(told.node.source.directory))
        activity = Activity(5.0, {Process(cgroup_id, 7): 5.0}, busy_seconds=5.0)
        seen.add(Look((Gpu(0, "gpu-0", "H100", "nvidia"),), {"gpu-0": activity}))
        told.node.source.use(container(1), 1.0)
        told.node.draw(30.0)
        told.node.draw(100.0, "gpu")
        samples = told.tick()
    points = {point.attributes["hw.type"]: point for point in told.pushed().points("hw.energy")}
    assert points["gpu"].attributes == {
        "hw.id": "gpu-0",
        "hw.name": "gpu 0",
        "hw.type": "gpu",
        "hw.model": "H100",
        "hw.vendor": "nvidia",
        "zone": "gpu",
    }
    assert points["gpu"].value == of(samples, "kepler_node_gpu_joules_total") == 200.0
    assert points["cpu"].value == of(samples, "kepler_node_cpu_joules_total", zone="package")
