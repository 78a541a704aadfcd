"""A team behind the door of deploy/tenants sees its own namespaces and no others, however it asks."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.written_queries import Written, of_dashboards, rules
from tests.e2e.kit import kit_program
from tests.e2e.servers import ROOT, Prometheus, free_port
from tests.e2e.test_two_clusters import HOUR, Answer, _promtool, same
from tests.e2e.world_of_clusters import open_metrics
from tests.programs import program

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

DEPLOYED = ROOT / "deploy/tenants"
TEAMS = ("shop", "data")
CHOSEN = {"__range": "1h", "__rate_interval": "5m"}
# What asks for series that have no namespace: of containers, of nodes.
WITHOUT_NAMESPACE = ("kepler_container_", "kepler_node_", "podjoule_node_", "podjoule_build_info", "process_")
OF_PODS = ("pod:", "namespace:", "workload:")
FORBIDDEN = (
    *("/", "/api/v1/targets", "/api/v1/status/config", "/api/v1/status/tsdb", "/api/v1/metadata", "/graph"),
    *("/api/v1/admin/tsdb/snapshot", "/api/v1/read", "/api/v1/write", "/metrics", "/-/reload"),
)


@dataclass(frozen=True)
class Door:
    """How a team asks: by its token. end: the moment that is asked for."""

    url: str
    token: str
    certificate: Path
    end: int

    def get(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        """The status and the body of the answer; headers: more of them, or others."""
        asked = {"Authorization": f"Bearer {self.token}", **headers}
        request = urllib.request.Request(f"{self.url}{path}", body, asked)
        context = ssl.create_default_context(cafile=self.certificate)
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def ask(self, promql: str, **headers: str) -> Answer:
        """By POST, as Grafana does."""
        body = urllib.parse.urlencode({"query": promql, "time": self.end}).encode()
        status, answer = self.get("/api/v1/query", body, **headers)
        assert status == 200, answer
        rows = json.loads(answer)["data"]["result"]
        return {frozenset(row["metric"].items()): float(row["value"][1]) for row in rows}


def shipped(kind: str, name: str = "tenants") -> Mapping[str, Any]:
    """A manifest of the example."""
    documents = yaml.safe_load_all((DEPLOYED / "tenants.yaml").read_text())
    return next(each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name))


@contextlib.contextmanager
def opened(folder: Path, upstream: str) -> Iterator[str]:
    """nginx and prom-label-proxy as the manifests start them, at addresses of ours; where nginx answers."""
    outer, inner = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    written = shipped("ConfigMap")["data"]["nginx.conf"]
    for there, here in {
        "listen 8443 ssl": f"listen {outer} ssl",
        "127.0.0.1:8080": inner,
        "/tmp/": f"{folder}/",
        "/etc/": f"{folder}/",
    }.items():
        assert there in written
        written = written.replace(there, here)
    (folder / "nginx.conf").write_text(written)
    (folder / "tenants").mkdir()
    (folder / "tenants/tokens.conf").write_text(shipped("Secret")["stringData"]["tokens.conf"])
    containers = shipped("Deployment")["spec"]["template"]["spec"]["containers"]
    proxy = next(each["args"] for each in containers if each["name"] == "prom-label-proxy")
    ours = {"-insecure-listen-address": inner, "-upstream": upstream}
    arguments = [
        f"{name}={ours[name]}" if (name := each.partition("=")[0]) in ours else each for each in proxy
    ]
    with _running(kit_program("prom-label-proxy"), *arguments):
        options = ("-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;")
        with _running(program("nginx"), *options):
            yield outer


@contextlib.contextmanager
def _running(*command: str | Path) -> Iterator[None]:
    process = subprocess.Popen([str(part) for part in command])
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


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
def doors(
    prometheus: Prometheus, end: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Door]]:
    """Each team's."""
    folder = tmp_path_factory.mktemp("door")
    certificate = _make_certificate(folder / "tls")
    tokens = re.findall(r'"Bearer (.*?)" "(.*?)"', shipped("Secret")["stringData"]["tokens.conf"])
    with opened(folder, prometheus.url) as address:
        made = {
            of.partition("|")[0]: Door(f"https://{address}", token, certificate, end) for token, of in tokens
        }
        assert made.keys() == set(TEAMS)
        _wait_until_open(made["shop"])
        yield made


def _make_certificate(folder: Path) -> Path:
    folder.mkdir()
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=127.0.0.1"
    names = (
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        folder / "tls.key",
        "-out",
        folder / "tls.crt",
    )
    subprocess.run([program("openssl"), *command.split(), *names], check=True, capture_output=True)
    return folder / "tls.crt"


def _wait_until_open(door: Door) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if door.get("/api/v1/labels")[0] == 200:
                return
        time.sleep(0.05)
    raise TimeoutError(f"{door.url} does not open")


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


def test_without_a_token_of_a_team_nobody_is_let_in(doors: Mapping[str, Door]) -> None:
    for told in ("", "Bearer ", "Bearer no-such-token", f"Basic {doors['shop'].token}", doors["shop"].token):
        assert doors["shop"].get("/api/v1/labels", Authorization=told)[0] == 401


@pytest.mark.parametrize("name", ["X-Namespaces", "x-namespaces", "X_Namespaces"])
def test_no_header_of_the_clients_opens_another_door(doors: Mapping[str, Door], name: str) -> None:
    seen = doors["shop"].ask('{__name__=~".+"}', **{name: "data|.*"})
    assert namespaces(seen) == {"shop"}


def test_no_parameter_of_the_clients_opens_another_door(doors: Mapping[str, Door], end: int) -> None:
    query = urllib.parse.urlencode(
        {"query": "kepler_pod_cpu_joules_total", "time": end, "pod_namespace": "data"}
    )
    status, body = doors["shop"].get(f"/api/v1/query?{query}")
    assert status == 200
    assert {row["metric"]["pod_namespace"] for row in json.loads(body)["data"]["result"]} == {"shop"}


@pytest.mark.parametrize("path", FORBIDDEN)
def test_what_cannot_be_narrowed_is_refused(doors: Mapping[str, Door], path: str) -> None:
    assert doors["shop"].get(path)[0] == 404


def test_the_other_questions_are_narrowed_as_well(doors: Mapping[str, Door], end: int) -> None:
    everything = urllib.parse.quote('{__name__=~".+"}')
    window = f"start={end - 600}&end={end}"

    def answered(path: str) -> Any:
        status, body = doors["shop"].get(path)
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
    assert len(direct(prometheus, "podjoule_energy_zone_info", end)) == 2 * 3 * (1 + len(TEAMS))
    counted = ('kepler_node_cpu_joules_total{zone=~"package|dram"}', "kepler_node_gpu_joules_total")
    rates = " + ".join(f"sum by (node_name) (rate({each}[5m]))" for each in counted)
    same(recorded, direct(prometheus, rates, end))
