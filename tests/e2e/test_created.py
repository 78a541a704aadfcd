"""A Prometheus that takes counters' starts counts a pod between two scrapes from its first joule."""

from __future__ import annotations

import contextlib
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.e2e.cluster.binaries import LACKING
from tests.e2e.cluster.place import Place
from tests.e2e.pods import pods
from tests.e2e.servers import ROOT, Plant, Podjoule, Prometheus
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live import loads
from tests.live.sandbox import stop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WATTS = 40.0
SCRAPE_SECONDS, LIFE_SECONDS = 5, 3
FEATURE = "--enable-feature=created-timestamp-zero-ingestion"
TICKS = "timestamp(podjoule_ticks_total)"


@dataclass
class Seen:
    """Prometheus with the feature and without, and what the exporter itself said of the pod."""

    taking: Prometheus
    plain: Prometheus
    uid: str
    made_seconds: float
    booked_joules: float
    created_seconds: float
    created_again_seconds: float

    def increase(self, prometheus: Prometheus) -> float:
        """Over all of the pod's life, up to a sample: nothing is to be carried on to the range's ends."""
        pod = f'kepler_pod_cpu_joules_total{{pod_id="{self.uid}"}}'
        last = prometheus.value(f"timestamp({pod})")
        return prometheus.value(f"increase({pod}[2m])", last)


def on_the_page(podjoule: Podjoule, uid: str) -> tuple[float, float]:
    """The pod's joules and their start."""
    request = urllib.request.Request(
        f"{podjoule.url}/metrics", headers={"Accept": "application/openmetrics-text"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        page = answer.read().decode()
    samples = [
        sample
        for family in text_string_to_metric_families(page)
        if family.name == "kepler_pod_cpu_joules"
        for sample in family.samples
        if sample.labels["pod_id"] == uid
    ]
    joules, created = samples
    assert (joules.name[-6:], created.name[-8:]) == ("_total", "_created")
    return joules.value, created.value


def wait_for_a_scrape(*of: Prometheus) -> None:
    """Of each a new one, the last one's of now."""
    for prometheus in of:
        before, deadline = prometheus.value(TICKS), time.monotonic() + 4 * SCRAPE_SECONDS
        while prometheus.value(TICKS) == before:
            assert time.monotonic() < deadline, prometheus.log.read_text()
            time.sleep(0.1)


def dropping() -> dict[str, object]:
    """What docs/metrics.md says to those whose Prometheus does not take starts."""
    text = (ROOT / "docs/metrics.md").read_text()
    (block,) = (part for part in text.split("```yaml\n")[1:] if "_created" in part)
    found: dict[str, object] = yaml.safe_load(block.split("```")[0])
    return found


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A pod that begins just after a scrape and has ended before the next; then the exporter is replaced."""
    binary = Place().binaries / "prometheus"
    if not binary.exists():
        pytest.skip(LACKING)
    folder = tmp_path_factory.mktemp("created")
    (tree := RaplTree(folder / "sys")).add_zone("intel-rapl:0", "package-0")
    arguments = (
        *("--host.sysfs", str(folder / "sys"), "--state.dir", str(folder / "state")),
        *("--monitor.interval", "500ms", "--kube.node-name", "e2e", "--model.calibration", "off"),
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(Plant(tree, {"intel-rapl:0": WATTS}))
        podjoule = stack.enter_context(Podjoule(*arguments, log=folder / "podjoule.log"))
        taking, plain = prometheis(stack, folder, binary, podjoule)
        wait_for_a_scrape(taking, plain)
        made_seconds = time.time()
        (pod,) = stack.enter_context(pods("short")).values()
        load = pod.container.python(loads.STEADY, "0.5")
        time.sleep(LIFE_SECONDS)
        stop(load)
        wait_for_a_scrape(taking, plain, taking)
        booked, created = on_the_page(podjoule, pod.uid)
        assert podjoule.stop() == 0
        again = Podjoule(*arguments, log=folder / "again.log", port=podjoule.port)
        stack.enter_context(again)
        wait_for_a_scrape(taking, plain)
        booked_again, created_again = on_the_page(again, pod.uid)
        assert booked_again == booked
        yield Seen(taking, plain, pod.uid, made_seconds, booked, created, created_again)


def prometheis(
    stack: contextlib.ExitStack, folder: Path, binary: Path, podjoule: Podjoule
) -> tuple[Prometheus, Prometheus]:
    target, interval = podjoule.url.removeprefix("http://"), f"{SCRAPE_SECONDS}s"
    taking = Prometheus(folder / "taking", [target], interval, binary=binary, arguments=[FEATURE])
    stack.enter_context(taking)
    plain = Prometheus(folder / "plain", [target], interval, scrape=dropping())
    return taking, stack.enter_context(plain)


def test_a_pod_that_lived_between_two_scrapes_is_counted_from_its_first_joule(seen: Seen) -> None:
    assert seen.booked_joules > 1
    assert seen.increase(seen.taking) == pytest.approx(seen.booked_joules, rel=1e-9)


def test_without_the_starts_all_of_it_is_missing(seen: Seen) -> None:
    assert seen.increase(seen.plain) == 0.0
    assert seen.plain.value(f'kepler_pod_cpu_joules_total{{pod_id="{seen.uid}"}}') == seen.booked_joules


def test_the_start_is_when_it_was_0(seen: Seen) -> None:
    assert seen.made_seconds - 3.0 < seen.created_seconds < seen.made_seconds + 0.05
    zeros = seen.taking.query(f'min_over_time(kepler_pod_cpu_joules_total{{pod_id="{seen.uid}"}}[2m])')
    assert [value for _, value in zeros] == [0.0]


def test_it_is_held_over_a_restart_and_nothing_is_counted_twice(seen: Seen) -> None:
    assert seen.created_again_seconds == seen.created_seconds
    for name in ("kepler_pod_cpu_joules_total", "kepler_node_cpu_joules_total", "podjoule_ticks_total"):
        assert [resets for _, resets in seen.taking.query(f"resets({name}[2m])") if resets] == []


def test_no_start_becomes_a_series(seen: Seen) -> None:
    """One takes them for what they are, the other drops them as the documentation has it."""
    for prometheus in (seen.taking, seen.plain):
        assert prometheus.query("{__name__=~'(kepler|podjoule)_.+'}")
        assert prometheus.query("{__name__=~'.+_created'}") == []
