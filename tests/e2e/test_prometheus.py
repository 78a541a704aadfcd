"""From the kernel to Prometheus and back: what goes in comes out, as an operator's queries see it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.pods import Pod, pods
from tests.e2e.servers import Plant, Podjoule, Prometheus, get, scraping
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live import loads
from tests.live.sandbox import stop

pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.timeout(600)]

WINDOW_SECONDS = 60
WATTS = {"package": 40.0, "dram": 6.0}
PODS = ("double", "single", "killed")


@dataclass
class Scraped:
    prometheus: Prometheus
    podjoule: Podjoule
    pods: dict[str, Pod]
    end: float
    text: str
    second_scraper: list[int]

    def increase(self, family: str, selector: str = "", by: str = "zone") -> dict[str, float]:
        """Joules over the window, by one label."""
        promql = f"sum by ({by}) (increase({family}{{{selector}}}[{WINDOW_SECONDS}s]))"
        return {labels.get(by, ""): value for labels, value in self.prometheus.query(promql, self.end)}


def start_loads(made: dict[str, Pod]) -> dict[str, subprocess.Popen[bytes]]:
    """Two to one whatever else the machine does: the single load follows the double one's CPU clock."""
    double = made["double"].container.python(loads.STEADY, "0.5")
    single = made["single"].container.python(loads.FOLLOWER, str(double.pid), "0.5")
    return {
        "double": double,
        "single": single,
        "killed": made["killed"].container.python(loads.STEADY, "0.2"),
    }


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """One minute of three pods, one of them killed midway, under a meter that wraps once."""
    folder = tmp_path_factory.mktemp("e2e")
    tree = RaplTree(folder / "sys")
    tree.add_zone(
        "intel-rapl:0", "package-0", max_energy_uj=262_143_328_850, energy_uj=262_143_328_850 - 10**9
    )
    tree.add_zone("intel-rapl:0:0", "dram", max_energy_uj=65_712_999_613, energy_uj=65_712_999_613 - 10**8)
    watts = {"intel-rapl:0": WATTS["package"], "intel-rapl:0:0": WATTS["dram"]}
    arguments = ("--host.sysfs", str(folder / "sys"), "--monitor.interval", "1s", "--kube.node-name", "e2e")
    with contextlib.ExitStack() as stack:
        stack.enter_context(Plant(tree, watts))
        made = stack.enter_context(pods(*PODS))
        podjoule = stack.enter_context(Podjoule(*arguments, log=folder / "podjoule.log"))
        processes = start_loads(made)
        stack.callback(stop, *processes.values())
        prometheus = stack.enter_context(
            Prometheus(folder / "prometheus", [podjoule.url.removeprefix("http://")])
        )
        second = stack.enter_context(scraping(f"{podjoule.url}/metrics", 0.7))
        time.sleep(10 + WINDOW_SECONDS / 2)
        stop(processes["killed"])
        made["killed"].container.remove()
        time.sleep(WINDOW_SECONDS / 2)
        yield Scraped(prometheus, podjoule, made, time.time() - 1, podjoule.metrics(), second)


def test_pods_idle_kernel_and_unattributed_add_up_to_the_node(scraped: Scraped) -> None:
    node = scraped.increase("kepler_node_cpu_joules_total")
    parts = [
        scraped.increase("kepler_pod_cpu_joules_total"),
        scraped.increase("kepler_container_cpu_joules_total", 'pod_id=""'),
        scraped.increase("kepler_vm_cpu_joules_total"),
        scraped.increase("podjoule_cgroup_cpu_joules_total"),
        scraped.increase("kepler_node_cpu_idle_joules_total"),
        scraped.increase("podjoule_node_unattributed_joules_total"),
    ]
    assert set(node) == set(WATTS)
    for zone, joules in node.items():
        assert sum(part.get(zone, 0.0) for part in parts) == pytest.approx(joules, rel=0.005)


def test_the_node_draws_what_the_meter_says_through_a_wrap(scraped: Scraped) -> None:
    for zone, joules in scraped.increase("kepler_node_cpu_joules_total").items():
        assert joules == pytest.approx(WATTS[zone] * WINDOW_SECONDS, rel=0.05)


def test_two_pods_stand_two_to_one(scraped: Scraped) -> None:
    by_pod = scraped.increase("kepler_pod_cpu_joules_total", 'zone="package"', by="pod_id")
    assert by_pod[scraped.pods["single"].uid] > 10
    assert by_pod[scraped.pods["double"].uid] / by_pod[scraped.pods["single"].uid] == pytest.approx(
        2, rel=0.05
    )


def test_a_pod_killed_midway_keeps_its_energy(scraped: Scraped) -> None:
    window = f"[{WINDOW_SECONDS}s]"
    selector = f'{{pod_id="{scraped.pods["killed"].uid}", zone="package"}}'
    now = scraped.prometheus.value(f"kepler_pod_cpu_joules_total{selector}", scraped.end)
    most = scraped.prometheus.value(
        f"max_over_time(kepler_pod_cpu_joules_total{selector}{window})", scraped.end
    )
    assert now == most > 5
    resets = scraped.prometheus.value(
        f"sum(resets(kepler_pod_cpu_joules_total{selector}{window}))", scraped.end
    )
    assert resets == 0


def test_a_pod_and_its_container_hold_the_same_joules(scraped: Scraped) -> None:
    pods_joules = scraped.increase("kepler_pod_cpu_joules_total", by="pod_id")
    containers = scraped.increase("kepler_container_cpu_joules_total", 'pod_id!=""', by="pod_id")
    for pod in scraped.pods.values():
        assert pods_joules[pod.uid] == pytest.approx(containers[pod.uid], rel=1e-6)


def test_no_counter_ever_goes_down(scraped: Scraped) -> None:
    counters = set(re.findall(r"^# TYPE (\S+) counter$", scraped.text, re.MULTILINE))
    assert len(counters) > 10
    for counter in counters:
        resets = scraped.prometheus.query(f"resets({counter}[{WINDOW_SECONDS}s]) > 0", scraped.end)
        assert resets == [], counter


def test_a_second_scraper_changes_nothing(scraped: Scraped) -> None:
    assert len(scraped.second_scraper) > 30
    assert set(scraped.second_scraper) == {200}
    ticks = scraped.prometheus.value(f"increase(podjoule_ticks_total[{WINDOW_SECONDS}s])", scraped.end)
    assert ticks == pytest.approx(WINDOW_SECONDS, rel=0.1)


def test_promtool_finds_nothing_to_say(scraped: Scraped) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped.text, capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_conservation_is_exported_and_holds(scraped: Scraped) -> None:
    worst = scraped.prometheus.value(
        f"max(max_over_time(podjoule_conservation_error_ratio[{WINDOW_SECONDS}s]))", scraped.end
    )
    assert worst <= 1e-9


def test_nothing_went_wrong_on_the_way(scraped: Scraped) -> None:
    log = scraped.podjoule.log.read_text()
    assert " error " not in log
    assert get(f"{scraped.podjoule.url}/-/healthy") == (200, "healthy\n")
    assert scraped.prometheus.value("sum(podjoule_component_errors_total)", scraped.end) == 0
