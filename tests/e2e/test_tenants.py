"""A team behind the door of deploy/tenants sees its own namespaces and no others, however it asks."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence

import pytest
import yaml

from tests.deploy.written_queries import Written, of_dashboards, rules
from tests.e2e.kit import kit_program
from tests.e2e.servers import ROOT, Prometheus, free_port, get, wait_for
from tests.e2e.test_two_clusters import HOUR, Answer, _promtool, same
from tests.e2e.world_of_clusters import open_metrics

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

DEPLOYED = ROOT / "deploy/tenants"
TEAMS = {"shop": "shop|shop-.*", "data": "data"}
CHOSEN = {"__range": "1h", "__rate_interval": "5m"}
# What asks for series that have no namespace: of containers, of nodes.
WITHOUT_NAMESPACE = ("kepler_container_", "kepler_node_", "podjoule_node_", "podjoule_build_info", "process_")
OF_PODS = ("pod:", "namespace:", "workload:")
FORBIDDEN = (
    *("/", "/api/v1/targets", "/api/v1/status/config", "/api/v1/status/tsdb", "/api/v1/metadata", "/graph"),
    *("/api/v1/admin/tsdb/snapshot", "/api/v1/read", "/api/v1/write", "/metrics", "/-/reload"),
)


class Door:
    """prom-label-proxy as the manifest starts it, for a team; `ask` is what it answers of a moment."""

    def __init__(self, prometheus: Prometheus, pattern: str, end: int) -> None:
        self.end = end
        self.url = f"http://127.0.0.1:{free_port()}"
        replaced = {
            "-insecure-listen-address": self.url.removeprefix("http://"),
            "-upstream": prometheus.url,
            "-label-value": pattern,
        }
        names = [argument.partition("=")[0] for argument in shipped_arguments()]
        arguments = [
            f"{name}={replaced[name]}" if name in replaced else argument
            for name, argument in zip(names, shipped_arguments(), strict=True)
        ]
        self.process = subprocess.Popen([str(kit_program("prom-label-proxy")), *arguments])

    def __enter__(self) -> Door:
        wait_for(f"{self.url}/api/v1/labels")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)

    def ask(self, promql: str) -> Answer:
        """By POST, as Grafana does."""
        body = urllib.parse.urlencode({"query": promql, "time": self.end}).encode()
        with urllib.request.urlopen(f"{self.url}/api/v1/query", body, timeout=30) as answer:
            result = json.load(answer)["data"]["result"]
        return {frozenset(row["metric"].items()): float(row["value"][1]) for row in result}


def shipped_arguments() -> Sequence[str]:
    documents = yaml.safe_load_all((DEPLOYED / "team-shop.yaml").read_text())
    deployment = next(each for each in documents if each["kind"] == "Deployment")
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return next(each["args"] for each in containers if each["name"] == "prom-label-proxy")


@pytest.fixture(scope="module")
def end() -> int:
    return int(time.time()) // HOUR * HOUR


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, end: int) -> Iterator[Prometheus]:
    """A world with two teams' namespaces, and what all rules record of it, those of the tenants first."""
    folder = tmp_path_factory.mktemp("tenants")
    samples = folder / "samples"
    samples.write_text("".join(open_metrics("a", False, end - HOUR - 600, end)))
    _promtool("create-blocks-from", "openmetrics", samples, folder / "data")
    for number, recorded in enumerate(recording_rules()):
        file = folder / f"rules{number}.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "made", "rules": recorded}]}))
        with Prometheus(folder, ()) as server:
            span = (f"--start={end - 600}", f"--end={end}", "--eval-interval=5m")
            made = folder / f"made{number}"
            _promtool(
                "create-blocks-from", "rules", f"--url={server.url}", *span, f"--output-dir={made}", file
            )
        for block in made.glob("0*"):
            block.rename(folder / "data" / block.name)
    with Prometheus(folder, ()) as server:
        yield server


def recording_rules() -> Iterator[list[dict[str, str]]]:
    """In the order in which one asks for another's."""
    (group,) = yaml.safe_load((DEPLOYED / "rules.yaml").read_text())["groups"]
    yield group["rules"]
    recording = [rule for rule in rules() if "record" in rule]
    for level in (False, True):
        yield [rule for rule in recording if (":podjoule" in rule["expr"]) is level]


@pytest.fixture(scope="module")
def doors(prometheus: Prometheus, end: int) -> Iterator[Mapping[str, Door]]:
    with contextlib.ExitStack() as stack:
        yield {team: stack.enter_context(Door(prometheus, of, end)) for team, of in TEAMS.items()}


def direct(prometheus: Prometheus, promql: str, end: int) -> Answer:
    return {frozenset(labels.items()): value for labels, value in prometheus.query(promql, end)}


def namespaces(answer: Answer) -> set[str]:
    return {dict(labels).get("pod_namespace", "") for labels in answer}


@pytest.mark.parametrize("team", TEAMS)
def test_of_all_series_a_team_sees_its_own(
    doors: Mapping[str, Door], prometheus: Prometheus, end: int, team: str
) -> None:
    every = '{__name__=~".+"}'
    seen = doors[team].ask(every)
    assert namespaces(direct(prometheus, every, end)) == {"", *TEAMS}
    same(seen, direct(prometheus, f'{{pod_namespace="{team}"}}', end))
    names = {dict(labels)["__name__"] for labels in seen}
    assert {"kepler_pod_cpu_joules_total", "podjoule_pod_info", "podjoule_pod_carbon_grams_total"} <= names
    assert not [name for name in names if name.startswith(WITHOUT_NAMESPACE)]


@pytest.mark.parametrize("name", [rule["record"] for rule in rules() if "record" in rule])
def test_recorded_series_are_the_teams_own(
    doors: Mapping[str, Door], prometheus: Prometheus, end: int, name: str
) -> None:
    for team, door in doors.items():
        seen, all_there = door.ask(name), direct(prometheus, name, end)
        same(seen, direct(prometheus, f'{name}{{pod_namespace="{team}"}}', end))
        assert all_there
        if not seen:  # a node's, or without the label
            assert namespaces(all_there) == {""}


@pytest.mark.parametrize(
    "written",
    [each for each in of_dashboards(**CHOSEN) if not any(name in each.promql for name in WITHOUT_NAMESPACE)],
    ids=str,
)
def test_a_panel_shows_a_team_what_it_shows_of_its_namespaces(
    doors: Mapping[str, Door], prometheus: Prometheus, end: int, written: Written
) -> None:
    """Every panel that asks of pods alone, whether it sums them up or not."""
    alone = {}
    for team, door in doors.items():
        chosen = written.promql.replace('pod_namespace=~".*"', f'pod_namespace="{team}"')
        if chosen == written.promql:  # it asks for nobody's namespace
            assert door.ask(written.promql) == {}
            continue
        alone[team] = direct(prometheus, chosen, end)
        same(door.ask(written.promql), alone[team])
    assert any(alone.values()) or not alone


@pytest.mark.parametrize(
    "written",
    [each for each in of_dashboards(**CHOSEN) if each.place.startswith("node/")],
    ids=str,
)
def test_a_panel_of_nodes_is_empty(doors: Mapping[str, Door], written: Written) -> None:
    assert doors["shop"].ask(written.promql) == {}


@pytest.mark.parametrize(
    "promql",
    [
        'kepler_pod_cpu_joules_total{pod_namespace="data"}',
        'kepler_pod_cpu_joules_total{pod_namespace!~"shop"}',
        '{__name__=~".+", pod_namespace=""}',
        'label_replace(kepler_pod_cpu_joules_total{pod_namespace="data"}, "pod_namespace", "shop", "", "")',
        'max_over_time(kepler_pod_cpu_joules_total{pod_namespace="data"}[10m:1m])',
        'kepler_pod_cpu_joules_total{pod_namespace="data"} @ end() offset 5m',
        "kepler_node_cpu_joules_total or podjoule_build_info",
        'vector(0) + on () group_right () kepler_pod_cpu_joules_total{pod_namespace="data"}',
        'count by (__name__) ({__name__=~"kepler_node.*|node:.*|podjoule_cgroup.*"})',
    ],
)
def test_no_query_reaches_further(doors: Mapping[str, Door], promql: str) -> None:
    assert doors["shop"].ask(promql) == {}


@pytest.mark.parametrize("path", FORBIDDEN)
def test_what_cannot_be_narrowed_is_refused(doors: Mapping[str, Door], path: str) -> None:
    assert get(f"{doors['shop'].url}{path}")[0] == 404


def test_the_other_questions_are_narrowed_as_well(doors: Mapping[str, Door], end: int) -> None:
    everything = urllib.parse.quote('{__name__=~".+"}')
    window = f"start={end - 600}&end={end}"

    def answered(path: str) -> list:
        status, body = get(f"{doors['shop'].url}{path}")
        assert status == 200
        return json.loads(body)["data"]

    assert answered(f"/api/v1/label/pod_namespace/values?{window}") == ["shop"]
    assert answered(f"/api/v1/label/pod_name/values?{window}") == ["web-1", "web-2"]
    assert "cgroup" not in answered(f"/api/v1/labels?{window}")
    series = answered(f"/api/v1/series?match[]={everything}&match[]=kepler_node_cpu_joules_total&{window}")
    assert {each.get("pod_namespace") for each in series} == {"shop"}
    ranged = answered(f"/api/v1/query_range?query={everything}&step=60&{window}")["result"]
    assert {each["metric"].get("pod_namespace") for each in ranged} == {"shop"}
    assert answered("/api/v1/rules")["groups"] == []


def test_sums_of_nodes_are_as_before(prometheus: Prometheus, end: int) -> None:
    """The zones that are told once a namespace add nothing to what is joined with them."""
    recorded = direct(prometheus, "sum by (node_name) (node:podjoule_watts:rate5m)", end)
    assert len(direct(prometheus, "podjoule_energy_zone_info", end)) == 2 * 2 * (1 + len(TEAMS))
    rates = 'sum by (node_name) (rate(kepler_node_cpu_joules_total{zone=~"package|dram"}[5m]))'
    same(recorded, direct(prometheus, rates, end))
