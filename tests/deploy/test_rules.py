"""The rules are sound, each is shown to do what it says, and all that they ask for is exported."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.commands.metrics_reference import every_spec

FOLDER = Path(__file__).parents[2] / "deploy/prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"] for rule in group["rules"]
]
RECORDED = [rule for rule in RULES if "record" in rule]
ALERTS = [rule for rule in RULES if "alert" in rule]
TESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules_test.yaml").read_text())["tests"]


@pytest.mark.parametrize(
    "arguments", [("check", "rules", "rules.yaml"), ("test", "rules", "rules_test.yaml")]
)
def test_promtool_agrees(arguments: tuple[str, ...], require_command: Callable[[str], str]) -> None:
    run = subprocess.run(
        [require_command("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "SUCCESS" in run.stdout


def test_a_wrong_expectation_would_be_found(tmp_path: Path, require_command: Callable[[str], str]) -> None:
    (tmp_path / "rules.yaml").write_text((FOLDER / "rules.yaml").read_text().replace("> 1e-6", "> 1"))
    (tmp_path / "rules_test.yaml").write_text((FOLDER / "rules_test.yaml").read_text())
    run = subprocess.run(
        [require_command("promtool"), "test", "rules", tmp_path / "rules_test.yaml"],
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert "PodjouleConservationBroken" in run.stdout + run.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_is_shown_to_fire_and_says_what_it_means(alert: dict[str, Any]) -> None:
    shown = [case for test in TESTS for case in test.get("alert_rule_test", ())]
    assert any(case["alertname"] == alert["alert"] and case.get("exp_alerts") for case in shown)
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert set(alert["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize("rule", RECORDED, ids=lambda rule: rule["record"])
def test_a_recorded_series_is_shown_with_its_values(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z]+:podjoule_[a-z_]+:[a-z0-9]+", rule["record"])
    shown = [case for test in TESTS for case in test.get("promql_expr_test", ())]
    assert any(rule["record"] in case["expr"] and case["exp_samples"] for case in shown)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("record") or rule["alert"])
def test_a_rule_asks_for_families_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    labels = {spec.name: {"node_name", *spec.labels} for spec in every_spec()}
    for family, selector in re.findall(r"(?<![\w:])((?:kepler|podjoule)_\w+)(?:\{([^}]*)\})?", rule["expr"]):
        assert family in labels, family
        assert set(re.findall(r"(\w+)\s*[=!]~?\"", selector)) <= labels[family], (family, selector)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("record") or rule["alert"])
def test_a_rule_keeps_the_cluster(rule: dict[str, Any]) -> None:
    """What tests/e2e/test_two_clusters.py shows with values; the label comes first, so that sed finds it."""
    grouped = re.findall(r"\b(?:by|on|without|ignoring)\s*\(\s*(\w*)", rule["expr"])
    assert set(grouped) <= {"cluster"}


def test_pods_are_counted_alike_in_rules_and_dashboards() -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="pip install podjoule[dev]")
    from deploy.grafana.queries import ENERGY, POD_IDENTITY, pod_total

    (recorded,) = (
        rule["expr"] for rule in RECORDED if rule["record"] == "pod:podjoule_active_kwh:increase1h"
    )
    drawn = pod_total(ENERGY, "", POD_IDENTITY, "1h").replace("{}", "")
    # The rule writes out the labels by which a pod is the same one; its names come with its UID.
    assert same(recorded).replace("unlesson(cluster,node_name,pod_id,zone)", "") == same(drawn).replace(
        "unlesson(cluster,node_name,pod_id,pod_namespace,pod_name,zone)", ""
    )


def same(promql: str) -> str:
    return re.sub(r"\s+", "", promql)
