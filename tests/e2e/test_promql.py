"""Every panel and every rule, asked of a real Prometheus that scraped real exporters for two minutes.

Two nodes share this machine's pods: one with a meter and a price, one with neither, as in a virtual machine.
Their names come from an API server, as Kubernetes serves them.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.dashboards import RANGE_SECONDS, Query, queries, query
from tests.e2e.pods import Pod, pods
from tests.e2e.servers import ROOT, Plant, Podjoule, Prometheus, get
from tests.estimator.meters.rapl_tree import RaplTree
from tests.exporter.names.kube.kube_server import TOKEN, KubeServer, pod, write_ca
from tests.live import loads
from tests.live.sandbox import stop

pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.timeout(600)]

RULES = ROOT / "deploy/prometheus/rules.yaml"
KEPLER_09 = ROOT / "deploy/prometheus/kepler-0.9.yaml"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
KEPLER_09_GROUPS = yaml.safe_load(KEPLER_09.read_text())["groups"]
RECORDED = [rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule]
WATTS = {"intel-rapl:0": 40.0, "intel-rapl:0:0": 6.0, "intel-rapl:0:1": 25.0}
PRICE = 0.3
NODES = ("metered", "modelled")
SHARES = {"web-6fd-x": 0.4, "web-6fd-y": 0.2}
JOB = "backup-29400000-z"
OWNERS = {"web": ("ReplicaSet", "web-6fd"), "backup": ("Job", "backup-29400000")}
JOB_SECONDS = 8
# There only with a model file that is watched or cannot serve, with a provider of intensities, with GPUs, and
# with two meters of one zone.
NOT_HERE = {
    "podjoule_meter_disagreement_ratio",
    "podjoule_device_directory_up",
    "podjoule_model_refused_total",
    "podjoule_model_fallback_info",
    "podjoule_grid_carbon_intensity_age_seconds",
}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass
class Page:
    """A node's ledger as its exporter shows it just after a tick."""

    seconds: float
    samples: Samples

    def of(self, family: str, **labels: str) -> dict[frozenset[tuple[str, str]], float]:
        wanted = labels.items()
        return {
            row: value for (name, row), value in self.samples.items() if name == family and wanted <= set(row)
        }


@dataclass
class Scraped:
    prometheus: Prometheus
    pods: dict[str, Pod]
    first: dict[str, Page]
    last: dict[str, Page]
    end: float

    def booked(self, family: str, node: str, **labels: str) -> float:
        """What was booked between the first and the last page; a zoned family in the zones that count."""
        before, after = (pages[node].of(family, **labels) for pages in (self.first, self.last))
        zones = {dict(row)["zone"] for row in self.last[node].of("podjoule_energy_zone_info")}
        return sum(
            value - before.get(row, 0.0)
            for row, value in after.items()
            if dict(row).get("zone", next(iter(zones))) in zones
        )

    def kwh(self, family: str, node: str, **labels: str) -> float:
        return self.booked(family, node, **labels) / 3.6e6

    def between_pages(self, node: str) -> str:
        """The time between the two pages, as a range in PromQL."""
        return f"{round(1000 * (self.last[node].seconds - self.first[node].seconds))}ms"

    def panel(self, written: Query, node: str) -> list[tuple[dict[str, str], float]]:
        """What a panel of totals shows of the time between the two pages."""
        promql = written.filled_in(node=node, __range=self.between_pages(node))
        return self.prometheus.query(promql, self.last[node].seconds)

    def total(self, dashboard: str, panel: str, node: str, ref: str = "A") -> float:
        return sum(value for _, value in self.panel(query(dashboard, panel, ref), node))

    def range(self, promql: str) -> list[dict[str, Any]]:
        """What Grafana asks for a panel over the range."""
        asked = {"query": promql, "start": self.end - RANGE_SECONDS, "end": self.end, "step": 15}
        status, body = get(f"{self.prometheus.url}/api/v1/query_range?{urllib.parse.urlencode(asked)}")
        assert status == 200, body
        series: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return series


def page_after_a_tick(podjoule: Podjoule) -> Page:
    """The next page there is, and when it came."""
    before = ticks(podjoule.metrics())
    while (found := ticks(text := podjoule.metrics())) == before:
        time.sleep(0.01)
    assert found > before
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Page(time.time(), samples)


def ticks(text: str) -> float:
    found = re.search(r"^podjoule_ticks_total\{[^}]*\} (\S+)$", text, re.MULTILINE)
    assert found
    return float(found[1])


class Names:
    """An API server that knows the pods, and a kubeconfig by which it is asked."""

    def __init__(self, folder: Path) -> None:
        ca, certificate = write_ca(folder)
        self.server = KubeServer(certificate)
        self.kubeconfig = folder / "kubeconfig"
        here = {
            "clusters": [
                {"name": "c", "cluster": {"server": self.server.url, "certificate-authority": str(ca)}}
            ],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        self.kubeconfig.write_text(yaml.safe_dump(here))

    def tell(self, kind: str, name: str, made: Pod, phase: str = "Running") -> None:
        """ADDED, or MODIFIED to another phase."""
        workload = name.split("-")[0]
        owner_kind, owner = OWNERS[workload]
        told = pod(
            *(0, int(Path(made.container.path).name, 16)),
            name=name,
            uid=made.uid,
            namespace={"web": "shop", "backup": "ops"}[workload],
            ownerReferences=[{"kind": owner_kind, "name": owner, "controller": True}],
            labels={"pod-template-hash": "6fd"},
        )
        told["status"]["phase"] = phase
        self.server.change(kind, told)


@contextlib.contextmanager
def exporters(folder: Path, names: Names) -> Iterator[dict[str, Podjoule]]:
    """The node with a meter, whose core lies in its package, and the one without."""
    (metered := RaplTree(folder / "metered")).add_zone("intel-rapl:0", "package-0")
    metered.add_zone("intel-rapl:0:0", "dram")
    metered.add_zone("intel-rapl:0:1", "core")
    RaplTree(folder / "modelled")
    price = ("--cost.price-per-kwh", str(PRICE), "--cost.currency", "EUR")
    with contextlib.ExitStack() as stack:
        stack.enter_context(Plant(metered, WATTS))
        yield {
            node: stack.enter_context(
                Podjoule(
                    *("--host.sysfs", str(folder / node), "--kube.node-name", node),
                    *("--kube.enabled", "true", "--kube.config", str(names.kubeconfig)),
                    *("--monitor.interval", "500ms", "--model.calibration", "off"),
                    *(price if node == "metered" else ()),
                    log=folder / f"{node}.log",
                )
            )
            for node in NODES
        }


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """Two pods all the time, and one for some seconds in between."""
    folder = tmp_path_factory.mktemp("promql")
    with contextlib.ExitStack() as stack:
        names = Names(folder)
        stack.callback(names.server.stop)
        made = stack.enter_context(pods(*SHARES))
        for name, known in made.items():
            names.tell("ADDED", name, known)
        processes = [made[name].container.python(loads.STEADY, str(share)) for name, share in SHARES.items()]
        stack.callback(stop, *processes)
        running = stack.enter_context(exporters(folder, names))
        targets = [podjoule.url.removeprefix("http://") for podjoule in running.values()]
        prometheus = stack.enter_context(Prometheus(folder / "prometheus", targets, "1s", (RULES, KEPLER_09)))
        time.sleep(10)
        first = {node: page_after_a_tick(podjoule) for node, podjoule in running.items()}
        time.sleep(RANGE_SECONDS / 2)
        made |= stack.enter_context(pods(JOB))
        names.tell("ADDED", JOB, made[JOB])
        job = made[JOB].container.python(loads.STEADY, "0.3")
        time.sleep(JOB_SECONDS)
        stop(job)
        made[JOB].container.remove()
        names.tell("MODIFIED", JOB, made[JOB], phase="Succeeded")
        time.sleep(first["metered"].seconds + RANGE_SECONDS - time.time())
        last = {node: page_after_a_tick(podjoule) for node, podjoule in running.items()}
        time.sleep(2)
        yield Scraped(prometheus, made, first, last, last["metered"].seconds)


@pytest.mark.parametrize("asked", [each for each in queries() if each.dashboard == "gpu"], ids=str)
def test_without_a_gpu_its_dashboard_is_empty(scraped: Scraped, asked: Query) -> None:
    assert scraped.prometheus.query(asked.filled_in(), scraped.end) == []


@pytest.mark.parametrize("node", [*NODES, ".*"])
@pytest.mark.parametrize("asked", [each for each in queries() if each.dashboard != "gpu"], ids=str)
def test_a_panel_has_data_on_any_node(scraped: Scraped, asked: Query, node: str) -> None:
    promql = asked.filled_in(node=node)
    if asked.instant:
        values = [value for _, value in scraped.prometheus.query(promql, scraped.end)]
    else:
        values = [float(value) for series in scraped.range(promql) for _, value in series["values"]]
    assert values, promql
    assert all(map(math.isfinite, values)), promql


@pytest.mark.parametrize("record", RECORDED)
def test_a_recorded_series_is_there(scraped: Scraped, record: str) -> None:
    rows = scraped.prometheus.query(record, scraped.end)
    assert rows, record
    assert all(math.isfinite(value) for _, value in rows), rows


def rules_of(prometheus: Prometheus) -> Sequence[dict[str, Any]]:
    _, body = get(f"{prometheus.url}/api/v1/rules")
    return [rule for group in json.loads(body)["data"]["groups"] for rule in group["rules"]]


def test_every_rule_is_evaluated_without_an_error(scraped: Scraped) -> None:
    rules = rules_of(scraped.prometheus)
    assert len(rules) == sum(len(group["rules"]) for group in (*GROUPS, *KEPLER_09_GROUPS))
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


@pytest.mark.parametrize("node", NODES)
def test_keplers_old_containers_are_all_that_worked(scraped: Scraped, node: str) -> None:
    """Pods and what runs in no container; a scrape may have been some seconds late for the rules."""
    total = f'kepler_container_joules_total{{node_name="{node}"}}'
    at = max(seconds for _, seconds in scraped.prometheus.query(f"timestamp({total})", scraped.end))

    def ours(seconds: float) -> float:
        zones = "* on (node_name, zone) group_left () podjoule_energy_zone_info"
        families = ("kepler_container_cpu_joules_total", "podjoule_cgroup_cpu_joules_total")
        sums = (f'sum({family}{{node_name="{node}"}} {zones})' for family in families)
        return sum(scraped.prometheus.value(each, seconds) for each in sums)

    assert (
        0
        < ours(at - 5) * (1 - 1e-9)
        <= scraped.prometheus.value(f"sum({total})", at)
        <= ours(at) * (1 + 1e-9)
    )


def test_keplers_old_dashboard_shows_a_pod_by_its_names(scraped: Scraped) -> None:
    selected = 'kepler_container_package_joules_total{container_namespace=~"shop", pod_name=~".*"}'
    watts = f"sum by (pod_name, container_namespace) (irate({selected}[1m]))"
    found = {row["pod_name"]: value for row, value in scraped.prometheus.query(watts, scraped.end)}
    assert set(found) == set(SHARES)
    assert all(value > 0 for value in found.values())


def test_what_alerts_watch_is_exported_and_all_is_well(scraped: Scraped) -> None:
    alerts = [rule for rule in rules_of(scraped.prometheus) if rule["type"] == "alerting"]
    watched = set(re.findall(r"\b(?:podjoule|kepler)_\w+", " ".join(rule["query"] for rule in alerts)))
    missing = {family for family in watched if not scraped.prometheus.query(family, scraped.end)}
    assert missing <= NOT_HERE
    assert {rule["name"] for rule in alerts if rule["state"] != "inactive"} <= {"PodjouleNoMeter"}


@pytest.mark.parametrize("node", NODES)
def test_energy_is_the_ledgers(scraped: Scraped, node: str) -> None:
    booked = scraped.kwh("kepler_node_cpu_joules_total", node)
    assert booked > 0
    for panel in ("Energy", "By namespace", "By workload", "By pod"):
        assert scraped.total("sustainability", panel, node) == pytest.approx(booked, rel=0.01), panel


@pytest.mark.parametrize("node", NODES)
def test_each_part_of_the_energy_is_the_ledgers(scraped: Scraped, node: str) -> None:
    """By part and not in all: a pod that Kubernetes does not know is booked at once and shown 30 s later.

    Prometheus scrapes each second and carries what it saw on to the ends of the range: a part that drew more
    or less there than usual, as units do, is off by the difference.
    """
    of_a_scrape = 0.002 * scraped.kwh("kepler_node_cpu_joules_total", node)
    rows = scraped.panel(query("sustainability", "Where the energy went"), node)
    parts = {row["part"]: kwh for row, kwh in rows}
    pods_kwh = scraped.kwh("kepler_pod_cpu_joules_total", node)
    assert parts["pods"] == pytest.approx(pods_kwh, rel=0.01)
    of_cgroups = scraped.kwh("podjoule_cgroup_cpu_joules_total", node)
    assert parts["system and users"] == pytest.approx(of_cgroups, rel=0.01, abs=of_a_scrape)
    idle = scraped.kwh("kepler_node_cpu_idle_joules_total", node)
    assert parts["idle"] == pytest.approx(idle, rel=0.01)
    nobodys = scraped.kwh("podjoule_node_unattributed_joules_total", node)
    assert parts["charged to nobody"] == pytest.approx(nobodys, rel=0.01, abs=of_a_scrape)


def test_energy_is_what_the_plant_drew_and_no_zone_is_counted_twice(scraped: Scraped) -> None:
    drawn = (WATTS["intel-rapl:0"] + WATTS["intel-rapl:0:0"]) * RANGE_SECONDS / 3.6e6
    assert scraped.total("sustainability", "Energy", "metered") == pytest.approx(drawn, rel=0.02)


@pytest.mark.parametrize("node", NODES)
def test_the_idle_share_is_the_ledgers(scraped: Scraped, node: str) -> None:
    idle = scraped.booked("kepler_node_cpu_idle_joules_total", node)
    share = idle / scraped.booked("kepler_node_cpu_joules_total", node)
    assert scraped.total("sustainability", "Idle share", node) == pytest.approx(share, rel=0.01)


@pytest.mark.parametrize("node", NODES)
def test_emissions_are_the_ledgers(scraped: Scraped, node: str) -> None:
    booked = scraped.booked("podjoule_node_carbon_grams_total", node)
    assert booked > 0
    assert scraped.total("sustainability", "Emissions", node) == pytest.approx(booked, rel=0.01)
    assert scraped.total("sustainability", "By namespace", node, "B") == pytest.approx(booked, rel=0.01)
    of_pods = scraped.booked("podjoule_pod_carbon_grams_total", node)
    assert scraped.total("pod", "Emissions", node) == pytest.approx(of_pods, rel=0.01)


def test_cost_is_the_ledgers_in_its_currency(scraped: Scraped) -> None:
    booked = scraped.booked("podjoule_node_cost_total", "metered")
    (row,) = scraped.panel(query("sustainability", "Cost"), "metered")
    assert row == ({"currency": "EUR"}, pytest.approx(booked, rel=0.01))
    assert booked == pytest.approx(PRICE * scraped.kwh("kepler_node_cpu_joules_total", "metered"), rel=1e-6)


def test_without_a_price_the_currency_says_so(scraped: Scraped) -> None:
    (row,) = scraped.panel(query("sustainability", "Cost"), "modelled")
    assert row == ({"currency": "no price configured"}, 0)


@pytest.mark.parametrize("node", NODES)
def test_pods_are_the_ledgers(scraped: Scraped, node: str) -> None:
    booked = scraped.kwh("kepler_pod_cpu_joules_total", node)
    assert booked > 0
    for panel in ("Energy", "By pod"):
        assert scraped.total("pod", panel, node) == pytest.approx(booked, rel=0.01), panel


@pytest.mark.parametrize("node", NODES)
def test_a_workload_is_the_sum_of_its_pods(scraped: Scraped, node: str) -> None:
    rows = scraped.panel(query("sustainability", "By workload"), node)
    labels = ("pod_namespace", "workload_kind", "workload_name")
    # A pod that the API does not know, as of another test on this machine, has no namespace.
    found = {tuple(row.get(label, "") for label in labels): kwh for row, kwh in rows}
    web = sum(scraped.kwh("kepler_pod_cpu_joules_total", node, pod_name=name) for name in SHARES)
    backup = scraped.kwh("kepler_pod_cpu_joules_total", node, pod_name=JOB)
    assert found[("shop", "Deployment", "web")] == pytest.approx(web, rel=0.01)
    of_ops = [kwh for (namespace, _, _), kwh in found.items() if namespace == "ops"]
    assert of_ops == [pytest.approx(backup, rel=0.01)]


@pytest.mark.parametrize("node", NODES)
def test_a_job_of_some_seconds_is_counted_from_its_first_joule(scraped: Scraped, node: str) -> None:
    """The rule's and the panels' way to count, of one pod: increase() alone would lose its beginning."""
    from deploy.grafana.queries import ENERGY, POD_IDENTITY, pod_total

    uid = scraped.pods[JOB].uid
    selector = f'node_name="{node}", pod_id="{uid}"'
    promql = pod_total(ENERGY, selector, POD_IDENTITY, scraped.between_pages(node))
    ((_, counted),) = scraped.prometheus.query(promql, scraped.last[node].seconds)
    booked = scraped.kwh("kepler_pod_cpu_joules_total", node, pod_id=uid)
    assert counted == pytest.approx(booked, rel=1e-9)
    assert booked > 0


def test_the_hours_rules_agree_with_the_ledger(scraped: Scraped) -> None:
    """All of Prometheus's time lies within the hour: what was booked before its first scrape is missing."""
    for node in NODES:
        recorded = scraped.prometheus.value(
            f'node:podjoule_kwh:increase1h{{node_name="{node}"}}', scraped.end
        )
        first = scraped.kwh("kepler_node_cpu_joules_total", node)
        assert recorded == pytest.approx(first * (RANGE_SECONDS + 10) / RANGE_SECONDS, rel=0.1)
