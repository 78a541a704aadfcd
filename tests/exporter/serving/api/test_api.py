"""The API: what it answers is what its document says, sums to the node, and bad questions get a sentence."""

from __future__ import annotations

import gzip
import json
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from exporter.names.pods import ContainerInfo, DirectoryStatus, PodInfo
from exporter.serving import page
from exporter.serving.api.grid import Grid
from exporter.serving.api.query import KINDS, SORTS
from exporter.serving.api.routes import Api
from exporter.serving.api.view import VALUES, View
from exporter.serving.page.responses import Response
from exporter.serving.page.ui_files import UiFiles
from tests.exporter.nodes import NODE, UID, Node, container, in_pod, write_process
from tests.exporter.two_meters import ran, two_meters

DOCUMENT = json.loads((Path(page.__file__).parent / "ui/openapi.json").read_text())
UNIT = "/system.slice/ssh.service"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Site:
    """A node of which one asks the API; time goes with the ticks."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.node = Node(**options)
        self.node.begin(self.clock)
        self.api = Api(UiFiles(), self.clock)

    def tick(self, seconds: float = 5.0) -> None:
        self.node.source.advance(seconds)
        self.clock.now += seconds
        self.node.ticker.tick()

    @property
    def view(self) -> View | None:
        page = self.node.publisher.page
        return page.view if page else None

    def respond(self, path: str, query: str = "", **headers: str) -> Response:
        return self.api.respond(path, {"QUERY_STRING": query, **headers}, self.view, None)

    def get(self, path: str, query: str = "") -> dict[str, Any]:
        response = self.respond(path, query)
        assert response.status == "200 OK", response.body
        document: dict[str, Any] = json.loads(response.body, parse_constant=_refuse)
        assert not list(_strict(path).iter_errors(document))
        return document

    def rows(self, query: str = "") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.get("workloads", query)["workloads"]
        return rows


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def _strict(path: str) -> Draft202012Validator:
    """The schema of an answer, with no member allowed that the document does not know."""
    name = {"status": "Status", "workloads": "Workloads", "history": "History"}.get(path, path)
    schemas = json.loads(json.dumps(DOCUMENT["components"]["schemas"]), object_hook=_closed)
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}})


def _closed(each: dict[str, Any]) -> dict[str, Any]:
    if each.get("type") == "object" and "properties" in each:
        each["additionalProperties"] = False
    return each


@pytest.fixture
def site() -> Site:
    """Two pods, one of two containers, a container in none, a unit; three ticks."""
    site = Site(zones=("package", "dram"))
    paths = (in_pod(1), in_pod(2), in_pod(3, pod=1), container(4), UNIT)
    for path in paths:
        site.node.source.add(path)
    site.tick()
    for _ in range(2):
        for seconds, path in enumerate(paths, 1):
            site.node.source.use(
                path, seconds / 2, cycles=3_000_000, instructions=6_000_000, cache_misses=12_000
            )
        site.node.draw(200.0)
        site.node.draw(20.0, "dram")
        site.tick()
    return site


def test_the_document_is_openapi_3_1_and_its_schemas_are_valid() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    served = Api(UiFiles()).respond("openapi.json", {}, None, None)
    assert json.loads(served.body) == DOCUMENT


def test_the_document_tells_the_parameters_that_are_taken() -> None:
    parameters = {each["name"]: each for each in DOCUMENT["paths"]["/api/v1/workloads"]["get"]["parameters"]}
    assert parameters["sort"]["schema"]["enum"] == list(SORTS)
    assert parameters["kind"]["schema"]["items"]["enum"] == list(KINDS)
    assert set(VALUES) < set(DOCUMENT["components"]["schemas"]["Workload"]["properties"])


def test_top_rows_add_up_to_the_active_power_and_energy_of_the_node(site: Site) -> None:
    energy, rows = site.get("status")["energy"], site.rows("level=top")
    assert {row["kind"] for row in rows} == {"pod", "container", "unit"}
    for name in ("watts", "joules"):
        whole = sum(row[name] for row in rows) + energy[f"unattributed_{name}"]
        assert whole == pytest.approx(energy[f"active_{name}"], rel=1e-9)
    assert energy["watts"] == pytest.approx(energy["active_watts"] + energy["idle_watts"])
    assert energy["counted_zones"] == ["package", "dram"]


def test_a_pod_opens_to_its_containers(site: Site) -> None:
    (pod,) = (row for row in site.rows("kind=pod") if row["id"].startswith("00000000"))
    inside = site.rows(f"pod={pod['id']}")
    assert [row["kind"] for row in inside] == ["container", "container"]
    assert {row["pod"] for row in inside} == {pod["id"]}
    for name in ("watts", "joules", "cpu_seconds", "cores"):
        assert sum(row[name] for row in inside) == pytest.approx(pod[name])


def test_rates_are_of_the_last_tick(site: Site) -> None:
    (unit,) = site.rows("kind=unit")
    assert unit["cores"] == pytest.approx(2.5 / 5.0)
    assert unit["cpu_seconds"] == pytest.approx(5.0)
    assert unit["instructions_per_cycle"] == pytest.approx(2.0)
    assert unit["misses_per_1000_instructions"] == pytest.approx(2.0)
    assert unit["watts"] == pytest.approx(sum(unit["watts_by_zone"].values()))
    assert unit["joules"] == pytest.approx(sum(unit["joules_by_zone"].values()))
    site.tick()
    (unit,) = site.rows("kind=unit")
    assert unit["cores"] == 0
    assert unit["instructions_per_cycle"] is None


def test_what_is_not_counted_is_null() -> None:
    site = Site()
    site.node.source.available = frozenset({"cpu_ns"})
    site.node.source.add(UNIT)
    for _ in range(3):
        site.node.source.use(UNIT, 1.0)
        site.tick()
    (unit,) = site.rows("kind=unit")
    assert unit["cores"] == pytest.approx(0.2)
    assert (unit["instructions_per_cycle"], unit["misses_per_1000_instructions"]) == (None, None)


def test_an_energy_that_is_not_known_is_null_everywhere() -> None:
    site = Site(zones=())
    site.node.source.add(UNIT)
    for _ in range(2):
        site.node.source.use(UNIT, 1.0)
        site.tick()
    energy, (unit,) = site.get("status")["energy"], site.rows()
    assert (energy["watts"], energy["joules"], energy["unattributed_joules"]) == (None, None, None)
    assert (unit["watts"], unit["joules"], unit["watts_by_zone"]) == (None, None, {})
    assert site.get("history")["ends"] == []


def test_each_zone_says_which_meter_it_is_from_and_why() -> None:
    site = Site()
    site.node = two_meters()
    site.node.begin(site.clock)
    ran(site.node, 3)
    zones = {zone["zone"]: (zone["source"], zone["why"]) for zone in site.get("status")["zones"]}
    assert zones == {"package": ("perf", "preferred to rapl"), "dram": ("hwmon", None)}
    assert site.get("status")["energy"]["source"] == "perf"


def test_sorting_puts_what_is_not_known_last_either_way(site: Site) -> None:
    joules = [row["joules"] for row in site.rows("sort=joules&order=ascending")]
    assert joules == sorted(joules)
    assert [row["joules"] for row in site.rows("sort=joules")] == sorted(joules, reverse=True)
    names = [row["name"] for row in site.rows("sort=name")]
    assert names == sorted(names)
    assert [row["name"] for row in site.rows("sort=name&order=descending")] == names[::-1]
    site.node.source.add("/late.service")
    site.node.source.use("/late.service", 1.0)
    site.tick()
    for order in ("ascending", "descending"):
        assert site.rows(f"sort=cores&order={order}")[-1]["name"] == "/late.service"


def test_a_limit_cuts_and_says_how_many_there_are(site: Site) -> None:
    answer = site.get("workloads", "level=top&limit=2")
    assert (len(answer["workloads"]), answer["matched"]) == (2, 4)
    assert answer["workloads"] == site.rows("level=top")[:2]


def test_the_history_is_what_the_node_spent(site: Site) -> None:
    history, energy = site.get("history", "top=2"), site.get("status")["energy"]
    parts = [*history["workloads"], history["others"]]
    assert sum(part["joules"] for part in parts) == pytest.approx(energy["active_joules"], rel=1e-5)
    assert history["node"]["joules"] == pytest.approx(energy["joules"], rel=1e-5)
    assert len(history["workloads"]) == 2
    assert history["others"]["workloads"] == 2
    watts, covered = history["node"]["watts"], history["covered_seconds"]
    assert sum(w * s for w, s in zip(watts, covered, strict=True)) == pytest.approx(
        energy["joules"], rel=1e-4
    )
    assert set(history["zones"]) == {"package", "dram"}


def test_a_workload_that_ends_keeps_its_part_of_the_history(site: Site) -> None:
    before = {row["id"]: row["joules"] for row in site.get("history")["workloads"]}
    site.node.source.end(UNIT)
    site.node.draw(100.0)
    site.tick()
    site.tick(400.0)
    assert not site.rows("kind=unit")
    after = {row["id"]: row["joules"] for row in site.get("history")["workloads"]}
    assert after[UNIT] == pytest.approx(before[UNIT], rel=1e-6)


def test_a_tick_that_failed_is_told_and_the_next_one_fills_its_gap(site: Site) -> None:
    site.node.source.failures.append(OSError(5, "I/O"))
    site.node.draw(200.0)
    site.tick()
    found = site.get("status")
    assert "I/O" in found["tick"]["failure"]
    assert found["energy"]["watts"] is None
    assert {"counters": 1}.items() <= {each["name"]: each["errors"] for each in found["components"]}.items()
    site.node.draw(200.0)
    site.node.source.use(UNIT, 1.0)
    site.tick()
    found = site.get("status")
    assert found["tick"]["failure"] is None
    assert site.get("history")["node"]["joules"] == pytest.approx(found["energy"]["joules"], rel=1e-5)


def test_a_view_that_cannot_be_made_costs_the_api_and_not_the_metrics(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.node.publisher._observer, "observe", lambda *_: 1 / 0)
    site.tick()
    assert site.respond("status").status.startswith("503")
    assert b"podjoule_ticks_total" in site.node.samples().__repr__().encode()


class Pods:
    """A directory that knows one pod, once it is told to."""

    def __init__(self) -> None:
        self.known = False

    def lookup(self, key: str) -> PodInfo | None:
        containers = {f"{1:064x}": ContainerInfo("app")}
        uid = f"00000000{UID[8:]}"
        info = PodInfo(
            uid, "web-1", "shop", workload_kind="Deployment", workload_name="web", containers=containers
        )
        return info if self.known and key in (uid, f"{1:064x}") else None

    def status(self) -> DirectoryStatus:
        return DirectoryStatus({"timeout": 2}, is_current=True, pods=1)

    def close(self) -> None:
        pass


def test_names_come_from_kubernetes_and_a_late_name_does_not_bend_the_history() -> None:
    site, pods = Site(), Pods()
    site.node.measurement._resolver.pods = pods
    site.node.publisher._observer._rows._places._pods = pods
    site.node.source.add(in_pod(1))
    site.node.source.add(UNIT)
    for n in range(5):
        pods.known = n >= 3
        site.node.source.use(in_pod(1), 1.0)
        site.node.source.use(UNIT, 1.0)
        site.node.draw(100.0)
        site.tick()
    (pod,) = site.rows("kind=pod")
    assert (pod["name"], pod["namespace"]) == ("web-1", "shop")
    assert (pod["workload_kind"], pod["workload_name"]) == ("Deployment", "web")
    (inside,) = site.rows("kind=container")
    assert (inside["name"], inside["pod"]) == ("app", pod["id"])
    history = {row["kind"]: row for row in site.get("history")["workloads"]}
    # Shown in the last two ticks of five; what it used before is among the others.
    assert history["pod"]["joules"] == pytest.approx(history["unit"]["joules"] / 2, rel=0.01)
    assert site.get("history")["others"]["joules"] == pytest.approx(history["pod"]["joules"], rel=0.01)
    assert site.get("status")["kubernetes"] == {"current": True, "pods": 1, "errors": {"timeout": 2}}


def test_processes_open_from_their_container(tmp_path: Path) -> None:
    write_process(tmp_path, 100, 'ng"inx%s\\', "/usr/sbin/nginx")
    site = Site(levels=(*NODE, "process"), procfs=tmp_path)
    site.node.source.add(container(1))
    site.tick()
    site.node.source.use(container(1), 1.0, tgid=100)
    site.node.draw(100.0)
    site.tick()
    assert site.get("status")["counters"]["by_process"] is True
    (process,) = site.rows(f"container={1:064x}")
    assert (process["kind"], process["pid"], process["name"]) == ("process", 100, 'ng"inx%s\\')
    (outer,) = site.rows("level=top")
    assert process["watts"] == pytest.approx(outer["watts"])


def test_grams_and_cost_an_hour_follow_power_and_pue() -> None:
    grid = Grid(400.0, "DE", "table", 0.30, "EUR", 1.5)
    assert 10.0 * grid.grams_per_hour_and_watt == pytest.approx(0.010 * 400.0 * 1.5)
    assert 10.0 * grid.cost_per_hour_and_watt == pytest.approx(0.010 * 0.30 * 1.5)
    assert math.isnan(Grid().grams_per_hour_and_watt)


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("workloads", "sort=size", "sort: found 'size'; it is one of watts, joules"),
        ("workloads", "limit=0", "limit: found '0'; it is a whole number from 1"),
        ("workloads", "limit=1_000", "limit: found '1_000'"),
        ("workloads", "limit=", "limit: found ''"),
        ("workloads", "kind=pod,planet", "kind: found 'planet'"),
        ("workloads", "limit=1&limit=2", "limit: given 2 times"),
        ("workloads", "top=3", "unknown parameter 'top'; there are kind, level"),
        ("workloads", "pod=" + "x" * 600, "pod: 600 characters"),
        ("workloads", "pod=%ff", "cannot be read"),
        ("workloads", "&".join(f"a{n}=1" for n in range(50)), "cannot be read"),
        ("history", "step=15", "step: found 15; it is a multiple of 10"),
        ("history", "step=5", "from 10 to 3600"),
        ("history", "since=yesterday", "since: found 'yesterday'; it is Unix time"),
        ("history", "since=nan", "since"),
        ("history", "top=101", "from 0 to 100"),
        ("status", "verbose=1", "this takes none"),
        ("openapi.json", "x=1", "this takes none"),
    ],
)
def test_a_bad_question_gets_400_and_a_sentence(site: Site, path: str, query: str, said: str) -> None:
    response = site.respond(path, query)
    assert (response.status, response.content_type) == ("400 Bad Request", "application/problem+json")
    problem = json.loads(response.body)
    assert not list(_strict("Problem").iter_errors(problem))
    assert said in problem["detail"]


def test_an_unknown_path_gets_404_and_before_the_first_tick_everything_503() -> None:
    site = Site()
    assert site.respond("nothing").status.startswith("404")
    for path in ("status", "workloads", "history"):
        response = site.respond(path)
        assert response.status.startswith("503")
        assert ("Retry-After", "1") in response.headers


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["status", "workloads", "history", "openapi.json", "../x", ""]), st.text(max_size=60))
def test_whatever_is_asked_is_answered(path: str, query: str) -> None:
    response = ANY.respond(path, query)
    assert response.status[:3] in ("200", "400", "404")
    json.loads(response.body)


ANY = Site()
ANY.tick()


def test_the_same_question_is_answered_with_the_same_bytes_until_the_next_tick(site: Site) -> None:
    first = site.respond("workloads")
    assert site.respond("workloads").body is first.body
    site.tick()
    assert site.respond("workloads").body != first.body


@pytest.mark.parametrize("path", ["workloads", "history", "openapi.json"])
def test_who_has_the_answer_already_gets_304(site: Site, path: str) -> None:
    first = site.respond(path)
    etag = dict(first.headers)["ETag"]
    again = site.respond(path, HTTP_IF_NONE_MATCH=f'"other", W/{etag}')
    assert again.status == "304 Not Modified"
    assert site.respond(path, HTTP_IF_NONE_MATCH='"other"').status == "200 OK"


def test_compressed_for_those_who_ask(site: Site) -> None:
    plain, compressed = site.respond("workloads"), site.respond("workloads", HTTP_ACCEPT_ENCODING="gzip")
    assert ("Content-Encoding", "gzip") in compressed.headers
    assert gzip.decompress(compressed.body) == plain.body
    assert dict(plain.headers)["ETag"] != dict(compressed.headers)["ETag"]


def test_made_up_questions_fill_no_memory(site: Site) -> None:
    for n in range(200):
        site.respond("workloads", f"limit={n + 1}")
    assert len(site.api._answers) <= 16


def test_workloads_that_are_gone_fill_no_memory() -> None:
    site = Site(ttl=10.0)
    for n in range(60):
        for path in (paths := [container(100 * n + each) for each in range(20)]):
            site.node.source.add(path)
        site.tick()
        assert len(site.rows()) <= 100
        for path in paths:
            site.node.source.end(path)
    kept = site.api._workloads._texts
    assert len(kept) <= 2 * len(site.rows()) + 300
    assert {f"{59 * 100:064x}"} <= {key[1] for key in kept}


def crowd(pods: int) -> Site:
    site = Site(zones=("package", "dram"))
    for n in range(pods):
        site.node.source.add(in_pod(n, n))

    def use() -> None:
        for n in range(pods):
            site.node.source.use(in_pod(n, n), 0.001 + n / 1e6, cycles=10**6, instructions=10**6)
        site.node.draw(300.0)
        site.node.draw(30.0, "dram")
        site.tick()

    site.use = use  # type: ignore[attr-defined]
    for _ in range(3):
        use()
    return site


@pytest.mark.parametrize("question", [("workloads", ""), ("history", "top=10"), ("status", "")])
def test_an_answer_on_a_thousand_pods_costs_no_more_than_json_takes_to_write_them(
    question: tuple[str, str],
) -> None:
    """0.6 times as much for the longest; `python -m tests.bench.api` measures milliseconds."""
    site = crowd(1_000)
    answering, writing = [], []
    for _ in range(7):
        site.use()  # type: ignore[attr-defined]
        answering.append(timed(lambda: site.respond(*question)))
        writing.append(timed(partial(json.dumps, json.loads(site.respond("workloads").body))))
    assert min(answering) < min(writing)


def timed(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return time.thread_time() - began


def test_names_that_are_hard_to_write_are_written(site: Site) -> None:
    hard = '/we"ird\\%s\u2028%.10g{}.service'
    site.node.source.add(hard)
    site.node.source.use(hard, 1.0)
    site.tick()
    site.tick()
    assert hard in {row["id"] for row in site.rows("kind=unit")}
