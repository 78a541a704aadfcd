"""What is pushed over OTLP to a real Prometheus is what the page shows, whatever becomes of the receiver."""

from __future__ import annotations

import contextlib
import math
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.e2e.kit import kit_program
from tests.e2e.servers import Plant, Podjoule, Prometheus, free_port
from tests.estimator.meters.rapl_tree import RaplTree
from tests.exporter.nodes import Samples, parse

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TICK_SECONDS = 2
TOKEN = "s3cr3t-t0k3n"
WATTS = {"intel-rapl:0": 40.0, "intel-rapl:0:0": 6.0}
# Where the page's labels are when they come by OTLP, with a Prometheus that promotes these attributes.
PROMOTED = {
    "k8s.node.name": "node_name",
    "k8s.pod.uid": "pod_id",
    "k8s.pod.name": "pod_name",
    "k8s.namespace.name": "pod_namespace",
    "container.id": "container_id",
}
RENAMED = {
    "hw_energy_joules_total": "kepler_node_cpu_joules_total",
    "container_cpu_time_seconds_total": "kepler_container_cpu_seconds_total",
}

Joules = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


class Receiver(Prometheus):
    """The kit's Prometheus, which scrapes nobody and takes what is pushed; what it holds outlives it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        folder.mkdir(exist_ok=True)
        self.log = folder / "prometheus.log"
        configuration = {"otlp": {"promote_resource_attributes": [*PROMOTED, "host.name"]}}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    str(kit_program("prometheus")),
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--web.enable-otlp-receiver",
                ],
                stdout=log,
                stderr=log,
            )

    def joules(self) -> Joules:
        """Every series of joules by name and labels, both as on the page."""
        found = {}
        for labels, value in self.query('{__name__=~".*_joules_total"}'):
            name = labels.pop("__name__")
            found[RENAMED.get(name, name), _as_on_the_page(labels)] = value
        return found


def _as_on_the_page(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    promoted = {attribute.replace(".", "_"): label for attribute, label in PROMOTED.items()}
    known = {promoted.get(name, name): value for name, value in labels.items()}
    return _comparable({"node_name": known["host_name"], **known})


def _comparable(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Without what is a resource's other attribute, or the same for all."""
    told = {"node_name", "pod_id", "container_id", "zone", "path", "cgroup", "kind", "reason"}
    return tuple(sorted((name, value) for name, value in labels.items() if name in told and value))


def page_joules(samples: Samples) -> Joules:
    return {
        (name, _comparable(dict(labels))): value
        for (name, labels), value in samples.items()
        if name.endswith("_joules_total")
    }


@pytest.fixture
def powercap(tmp_path: Path) -> Iterator[Path]:
    tree = RaplTree(tmp_path / "sys")
    tree.add_zone("intel-rapl:0", "package-0")
    tree.add_zone("intel-rapl:0:0", "dram")
    with Plant(tree, WATTS):
        yield tmp_path / "sys/class/powercap"


@contextlib.contextmanager
def exporting(folder: Path, powercap: Path, port: int) -> Iterator[Podjoule]:
    headers = folder / "headers"
    headers.write_text(f"Authorization: Bearer {TOKEN}\n")
    options = (
        f"--otlp.endpoint=http://127.0.0.1:{port}/api/v1/otlp/v1/metrics",
        f"--otlp.headers-file={headers}",
        "--otlp.push-interval=1s",
        "--otlp.attribute=k8s.cluster.name=here",
        f"--monitor.interval={TICK_SECONDS}s",
        "--log.level=debug",
        f"--host.powercap={powercap}",
    )
    with Podjoule(*options, log=folder / "podjoule.log") as made:
        yield made


def own(samples: Samples, name: str, **labels: str) -> float:
    """A counter of podjoule's own, summed over its series."""
    return math.fsum(
        value
        for (found, of), value in samples.items()
        if found == name and labels.items() <= dict(of).items()
    )


def same_moment(podjoule: Podjoule, prometheus: Receiver) -> tuple[Joules, Joules]:
    """All joules of the page and of Prometheus, once there are some and both are of one tick."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        page = parse(podjoule.metrics())
        ticks = [prometheus.value("podjoule_ticks_total")]
        received = prometheus.joules()
        ticks.append(prometheus.value("podjoule_ticks_total"))
        if received and {*ticks} == {own(page, "podjoule_ticks_total")}:
            return page_joules(page), received
        time.sleep(0.1)
    raise AssertionError(f"no tick arrived: {podjoule.log.read_text()}{prometheus.log.read_text()}")


def assert_same(page: Joules, received: Joules) -> None:
    assert received.keys() == page.keys()
    for key, value in page.items():
        assert received[key] == pytest.approx(value, rel=1e-9), key
    for zone in ("package", "dram"):
        assert conserved(received, zone) == pytest.approx(0.0, abs=1e-9)


def conserved(joules: Joules, zone: str) -> float:
    """What the node drew beyond idle, workloads and nobody's, relative to it."""

    def of(*names: str) -> float:
        return math.fsum(
            v for (name, labels), v in joules.items() if name in names and ("zone", zone) in labels
        )

    rest = ("kepler_node_cpu_idle_joules_total", "podjoule_node_unattributed_joules_total")
    workloads = (f"kepler_{kind}_cpu_joules_total" for kind in ("container", "vm"))
    node = of("kepler_node_cpu_joules_total")
    return (node - of(*rest, *workloads, "podjoule_cgroup_cpu_joules_total")) / node


def test_joules_in_prometheus_are_the_pages(tmp_path: Path, powercap: Path) -> None:
    port = free_port()
    with (
        Receiver(tmp_path / "prometheus", port) as prometheus,
        exporting(tmp_path, powercap, port) as podjoule,
    ):
        page, received = same_moment(podjoule, prometheus)
        assert_same(page, received)
        assert len([key for key in page if key[0] == "kepler_node_cpu_joules_total"]) == 2
        (info,) = [
            labels
            for labels, _ in prometheus.query("target_info{k8s_cluster_name='here', instance!~'.+/.+'}")
        ]
        assert info["job"] == "podjoule"


def test_a_receiver_that_was_away_misses_no_joule_and_holds_no_tick(tmp_path: Path, powercap: Path) -> None:
    port = free_port()
    with exporting(tmp_path, powercap, port) as podjoule:
        with Receiver(tmp_path / "prometheus", port) as prometheus:
            before, _ = same_moment(podjoule, prometheus)
        first = parse(podjoule.metrics())
        time.sleep(3 * TICK_SECONDS)
        last = parse(podjoule.metrics())
        ticks = own(last, "podjoule_ticks_total") - own(first, "podjoule_ticks_total")
        assert ticks == pytest.approx(3, abs=1)
        assert own(last, "podjoule_tick_duration_seconds") < 0.5
        assert own(last, "podjoule_otlp_errors_total", reason="unreachable") >= 1
        with Receiver(tmp_path / "prometheus", port) as prometheus:
            page, received = same_moment(podjoule, prometheus)
            assert_same(page, received)
            zone = ("kepler_node_cpu_joules_total", "package")
            drawn = _node(page, *zone) - _node(before, *zone)
            over = "sum(max_over_time(hw_energy_joules_total{zone='package'}[5m]))"
            seen = prometheus.value(f"{over} - {over.replace('max_', 'min_')}")
            assert drawn > 3 * TICK_SECONDS * WATTS["intel-rapl:0"] * 0.9
            assert seen >= drawn * 0.999
            assert prometheus.value("resets(hw_energy_joules_total{zone='package'}[5m])") == 0
    log = podjoule.log.read_text()
    # Once each time it is away: before it was there, in between, and perhaps for the last push.
    assert log.count("counters are not pushed") in (2, 3)
    assert log.count("counters are pushed again") == 2
    assert TOKEN not in log


def test_it_stops_at_once_where_nobody_answers(tmp_path: Path, powercap: Path) -> None:
    with exporting(tmp_path, powercap, free_port()) as podjoule:
        began = time.monotonic()
        assert podjoule.stop() == 0
        assert time.monotonic() - began < 5.0


def _node(joules: Joules, name: str, zone: str) -> float:
    return math.fsum(v for (found, labels), v in joules.items() if found == name and ("zone", zone) in labels)
