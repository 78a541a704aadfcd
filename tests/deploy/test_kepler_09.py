"""Kepler 0.9's names are recorded from families that there are, and what its dashboard asked is answered."""

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
FILE = FOLDER / "kepler-0.9.yaml"
GROUPS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
TESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "kepler-0.9_test.yaml").read_text())["tests"]
CASES: list[dict[str, Any]] = [case for test in TESTS for case in test["promql_expr_test"]]
PARTS = ("package", "core", "uncore", "dram", "other", "platform")
NAMES = {f"kepler_{of}_{part}_joules_total" for of in ("container", "node") for part in PARTS}
NAMES |= {"kepler_container_joules_total", "kepler_node_info"}


def ids(rule: dict[str, Any]) -> str:
    return " ".join((rule["record"], rule.get("labels", {}).get("mode", "")))


@pytest.mark.parametrize(
    "arguments", [("check", "rules", FILE.name), ("test", "rules", "kepler-0.9_test.yaml")]
)
def test_promtool_agrees(arguments: tuple[str, ...], require_command: Callable[[str], str]) -> None:
    run = subprocess.run(
        [require_command("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "SUCCESS" in run.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('unless on (cluster, node_name) kepler_node_cpu_joules_total{zone="package"}', ""),
        ("max by (cluster, node_name, zone, path)", "sum by (cluster, node_name, zone, path)"),
        (
            "max by (cluster, node_name, zone) (last_over_time(podjoule_energy_zone_info[1h]))",
            "last_over_time(podjoule_energy_zone_info[1h])",
        ),
        ("last_over_time(podjoule_energy_zone_info[1h])", "podjoule_energy_zone_info"),
        ("or on (cluster, node_name)\n            topk", "or\n            topk"),
        ('"container_namespace", "system"', '"container_namespace", ""'),
    ],
    ids=[
        "a difference for other",
        "a node twice",
        "a zone twice",
        "a zone that falls silent",
        "a node's sources apart",
        "no namespace for units",
    ],
)
def test_a_wrong_rule_would_be_found(
    right: str, wrong: str, tmp_path: Path, require_command: Callable[[str], str]
) -> None:
    rules = FILE.read_text()
    assert right in rules
    (tmp_path / FILE.name).write_text(rules.replace(right, wrong))
    (tmp_path / "test.yaml").write_text((FOLDER / "kepler-0.9_test.yaml").read_text())
    run = subprocess.run(
        [require_command("promtool"), "test", "rules", tmp_path / "test.yaml"], capture_output=True
    )
    assert run.returncode != 0


def test_the_names_are_keplers_and_none_of_ours_is_recorded_over() -> None:
    recorded = {rule["record"] for rule in RULES}
    assert {name for name in recorded if ":" not in name} == NAMES
    assert not recorded & {spec.name for spec in every_spec()}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_name_is_shown_with_its_labels_in_both_modes(name: str) -> None:
    shown = [sample["labels"] for case in CASES for sample in case["exp_samples"] or ()]
    of_it = [labels for labels in shown if labels.startswith(f"{name}{{")]
    assert of_it
    if name != "kepler_node_info":
        assert {re.findall(r'mode="(\w+)"', labels)[0] for labels in of_it} == {"dynamic", "idle"}


def test_all_is_of_one_moment_and_the_dashboards_minute_holds_two() -> None:
    """Groups are evaluated at times of their own: what one records, another sees with its delay."""
    (group,) = GROUPS
    assert group["interval"] == "15s"


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_a_rule_asks_for_families_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    labels = {spec.name: {"node_name", *spec.labels} for spec in every_spec()}
    found = re.findall(r"(?<![\w:])((?:kepler|podjoule)_\w+)(?:\{([^}]*)\})?", rule["expr"])
    for family, selector in found:
        assert family in labels, family
        assert set(re.findall(r"(\w+)\s*[=!]~?\"", selector)) <= labels[family], (family, selector)
    named = set(re.findall(r"(?<!\w)(?:container|node):\w+:\w+", rule["expr"]))
    assert named <= {other["record"] for other in RULES}


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_a_rule_keeps_the_cluster(rule: dict[str, Any]) -> None:
    grouped = re.findall(r"\b(?:by|on|without|ignoring)\s*\(\s*(\w*)", rule["expr"])
    assert set(grouped) == {"cluster"}
