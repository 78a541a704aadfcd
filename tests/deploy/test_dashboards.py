"""The dashboards in the repository are those of the code, and are put together as Grafana needs them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("grafana_foundation_sdk", reason="pip install podjoule[dev]")

from deploy.grafana.generate import files
from exporter.commands.metrics_reference import every_spec
from tests.deploy.dashboards import FILLED_IN, NAMES, load, panels, queries

ROOT = Path(__file__).parents[2]
# A scrape or an external label gives the cluster.
LABELS = {spec.name: {"cluster", "node_name", *spec.labels} for spec in every_spec()}

each_dashboard = pytest.mark.parametrize("name", NAMES)
each_query = pytest.mark.parametrize("query", queries(), ids=str)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_made_file_is_current(path: Path) -> None:
    made = "out of date: run python -m deploy.grafana.generate"
    assert path.exists(), made
    assert path.read_text() == files()[path], made


def test_making_them_twice_gives_the_same() -> None:
    assert files() == files()


@each_dashboard
def test_its_uid_is_fixed_and_it_is_not_to_be_edited(name: str) -> None:
    dashboard = load(name)
    assert dashboard["uid"] == f"podjoule-{name}"
    assert dashboard["editable"] is False
    assert dashboard.get("id") is None


@each_dashboard
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    dashboard = load(name)
    every = list(dashboard["panels"])
    ids = [panel["id"] for panel in [*every, *panels(dashboard)]]
    assert len({panel["id"] for panel in every}) == len(every)
    assert all(ids)
    for one, other in combinations((panel["gridPos"] for panel in every), 2):
        assert not overlap(one, other), (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in every)


def overlap(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


@each_dashboard
def test_every_panel_says_what_it_shows_and_in_which_unit(name: str) -> None:
    titles = [panel["title"] for panel in panels(load(name))]
    assert len(set(titles)) == len(titles)
    for panel in panels(load(name)):
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@each_dashboard
def test_everything_is_asked_of_the_chosen_prometheus(name: str) -> None:
    dashboard = load(name)
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asking = [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    assert dashboard["templating"]["list"][0]["name"] == "datasource"
    for one in [*asking, *panels(dashboard), *(t for panel in panels(dashboard) for t in panel["targets"])]:
        assert one["datasource"] == chosen


@each_dashboard
def test_every_target_has_a_letter_of_its_own(name: str) -> None:
    for panel in panels(load(name)):
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == list("ABCDEFGH"[: len(letters)]) != [], panel["title"]


@each_dashboard
def test_every_variable_that_is_used_is_there_and_the_other_way_round(name: str) -> None:
    dashboard = load(name)
    there = {variable["name"] for variable in dashboard["templating"]["list"]} - {"datasource"}
    text = " ".join(target["expr"] for panel in panels(dashboard) for target in panel["targets"])
    used = {variable.lstrip("$") for variable in re.findall(r"\$[a-z_]+", text) if "__" not in variable}
    assert used == there
    assert set(re.findall(r"\$[a-z_]+", text)) <= set(FILLED_IN)


@each_dashboard
def test_rates_are_over_the_intervals_that_grafana_knows(name: str) -> None:
    for panel in panels(load(name)):
        for target in panel["targets"]:
            assert set(re.findall(r"rate\([^\[\]]*\[([^\]]*)\]", target["expr"])) <= {"$__rate_interval"}


@each_query
def test_a_query_asks_for_families_and_labels_that_there_are(query: Any) -> None:
    for family, selector in re.findall(r"\b((?:kepler|podjoule|process)_\w+)(?:\{([^}]*)\})?", query.written):
        assert family in LABELS, family
        assert set(re.findall(r"(\w+)\s*[=!]~?\"", selector)) <= LABELS[family], (family, selector)


def test_promtool_understands_every_query(tmp_path: Path, require_command: Callable[[str], str]) -> None:
    rules = [{"record": f"query:{index}", "expr": q.filled_in()} for index, q in enumerate(queries())]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = subprocess.run(
        [require_command("promtool"), "check", "rules", file], capture_output=True, text=True
    )
    assert f"{len(rules)} rules found" in checked.stdout, checked.stderr


def test_where_there_is_a_pmu_its_counters_are_shown(
    tmp_path: Path, require_command: Callable[[str], str]
) -> None:
    """What no test on a machine without a PMU can show: cycles and the like beside CPU time."""
    names = 'node_name="n", pod_id="1"'
    grown = {
        "kepler_container_cpu_seconds_total": 0.5,
        "kepler_container_cpu_cycles_total": 1e9,
        "kepler_container_cpu_instructions_total": 2e9,
        "kepler_container_cache_miss_total": 4e6,
    }
    pod = f'{names}, pod_namespace="s", pod_name="p"'
    series = [
        {"series": f"{family}{{{names}}}", "values": f"0+{each * 15:.0f}x20" if each > 1 else "0+7.5x20"}
        for family, each in grown.items()
    ]
    series += [
        {"series": f'kepler_pod_cpu_joules_total{{{pod}, zone="package"}}', "values": "0+150x20"},
        {"series": 'podjoule_energy_zone_info{node_name="n", zone="package"}', "values": "1x20"},
    ]
    measures = {
        "joules per CPU-second": 20,
        "nanojoules per instruction": 5,
        "instructions per cycle": 2,
        "cache misses per 1,000 instructions": 2,
    }
    counters = {"CPU seconds": 0.5, "cycles": 1e9, "instructions": 2e9, "cache misses": 4e6}
    of_pod = 'pod_namespace="s", pod_name="p"'
    expected = {
        ("pod", "Efficiency"): {f'{{{of_pod}, measure="{name}"}}': v for name, v in measures.items()},
        ("pod", "Counters"): {f'{{counter="{name}"}}': v for name, v in counters.items()},
    }
    assert shown(tmp_path, require_command("promtool"), series, expected) == 2


def test_where_there_are_gpus_they_are_shown_and_are_in_every_total(
    tmp_path: Path, require_command: Callable[[str], str]
) -> None:
    """A GPU of 300 W, of which 60 W are idle, beside a package of 40 W; a pod holds it and has 240 + 10 W."""
    gpu = 'node_name="n", gpu="0", gpu_uuid="GPU-a", gpu_name="H100", vendor="nvidia"'
    pod = 'node_name="n", pod_id="1", pod_namespace="ml", pod_name="train"'
    package = 'node_name="n", zone="package", path="0"'
    watts = {
        f"kepler_node_gpu_joules_total{{{gpu}}}": 300,
        f"kepler_node_gpu_idle_joules_total{{{gpu}}}": 60,
        f"kepler_node_gpu_active_joules_total{{{gpu}}}": 240,
        f"kepler_node_cpu_joules_total{{{package}}}": 40,
        f"kepler_node_cpu_idle_joules_total{{{package}}}": 30,
        f"kepler_node_cpu_active_joules_total{{{package}}}": 10,
        f'kepler_pod_cpu_joules_total{{{pod}, zone="package"}}': 10,
        f"kepler_pod_gpu_joules_total{{{pod}}}": 240,
        f"podjoule_pod_gpu_idle_joules_total{{{pod}}}": 60,
    }
    series = [{"series": name, "values": f"0+{15 * each}x20"} for name, each in watts.items()]
    always = [f'podjoule_energy_zone_info{{node_name="n", zone="{zone}"}}' for zone in ("package", "gpu")]
    always.append(f"kepler_node_gpu_info{{{gpu}}}")
    series += [{"series": name, "values": "1x20"} for name in always]
    of_pod = 'pod_namespace="ml", pod_name="train"'
    expected = {
        ("gpu", "GPUs"): {"{}": 1.0},
        ("gpu", "Power"): {"{}": 300.0},
        ("gpu", "Idle share"): {"{}": 0.2},
        ("gpu", "Reserved idle power"): {"{}": 60.0},
        ("gpu", "Power by GPU"): {f"{{{gpu}}}": 300.0},
        ("gpu", "GPU power by pod"): {f"{{{of_pod}}}": 240.0},
        ("gpu", "Reserved idle by pod"): {f"{{{of_pod}}}": 60.0},
        ("gpu", "Which GPUs"): {f"{{{gpu}}}": 1.0},
        ("sustainability", "Power"): {"{}": 340.0},
        ("sustainability", "Energy"): {"{}": 0.011},  # 340 W for the two minutes of the range
        ("node", "Power"): {'{node_name="n"}': 340.0},
        ("node", "Idle share"): {'{node_name="n"}': 0.265},
        ("pod", "Power"): {"{}": 250.0},
        ("pod", "Power by pod"): {f"{{{of_pod}}}": 250.0},
        ("pod", "Power by zone"): {'{zone="gpu"}': 240.0, '{zone="package"}': 10.0},
    }
    assert shown(tmp_path, require_command("promtool"), series, expected) == len(expected)


def shown(
    folder: Path,
    promtool: str,
    series: Sequence[Mapping[str, str]],
    expected: Mapping[tuple[str, str], Mapping[str, float]],
) -> int:
    """How many queries of these panels were asked, all of which show what is expected after five minutes."""
    tests = [
        {
            "expr": f"round({written.filled_in(__rate_interval='1m')}, 0.001)",
            "eval_time": "5m",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in values.items()],
        }
        for (dashboard, panel), values in expected.items()
        for written in queries()
        if (written.dashboard, written.panel) == (dashboard, panel)
    ]
    file = folder / "shown.yaml"
    group = {"interval": "15s", "input_series": list(series), "promql_expr_test": tests}
    file.write_text(yaml.safe_dump({"tests": [group]}))
    tested = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    return len(tests)


def test_grafana_is_told_where_prometheus_and_the_dashboards_are() -> None:
    folder = ROOT / "deploy/grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/podjoule.yaml").read_text())
    providers = yaml.safe_load((folder / "dashboards/podjoule.yaml").read_text())
    assert sources["apiVersion"] == providers["apiVersion"] == 1
    assert [source["type"] for source in sources["datasources"]] == ["prometheus"]
    (provider,) = providers["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
