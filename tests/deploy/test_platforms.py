"""One file of values a platform, with a page of its own, that helm takes alone and together."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.deploy.chart import CHART, NAMESPACE, PLATFORMS, RELEASE, ROOT, Document, render, run

PAGES = ROOT / "docs/kubernetes"
BY_NAME = {path.stem: path for path in PLATFORMS}


def test_each_platform_has_a_page_and_each_page_a_platform() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == BY_NAME.keys()
    index = (ROOT / "docs/kubernetes.md").read_text()
    assert all(f"](kubernetes/{name}.md)" in index for name in BY_NAME)


@pytest.mark.parametrize("path", PLATFORMS, ids=lambda path: path.stem)
def test_a_page_names_its_file_and_its_sources_and_says_what_was_not_tried(path: Path) -> None:
    page = (PAGES / f"{path.stem}.md").read_text()
    assert f"deploy/chart/platforms/{path.name}" in page
    assert f"docs/kubernetes/{path.stem}.md" in path.read_text()
    assert "\n## Sources\n" in page
    assert "not tried" in page
    assert len(page.splitlines()) < 90


@pytest.mark.parametrize("path", PLATFORMS, ids=lambda path: path.stem)
def test_examples_of_values_on_a_page_go_with_its_file(path: Path, tmp_path: Path) -> None:
    known = yaml.safe_load((CHART / "values.yaml").read_text()).keys()
    page = (PAGES / f"{path.stem}.md").read_text()
    blocks = [yaml.safe_load(found) for found in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    for i, values in enumerate(block for block in blocks if block.keys() <= known):
        more = tmp_path / f"{i}.yaml"
        more.write_text(yaml.safe_dump(values))
        run(
            "template",
            RELEASE,
            str(CHART),
            "--kube-version",
            "1.34",
            "--values",
            str(path),
            "--values",
            str(more),
        )


def test_a_packed_chart_brings_the_files(tmp_path: Path) -> None:
    run("package", str(CHART), "--destination", str(tmp_path))
    (packed,) = tmp_path.iterdir()
    shown = run("template", RELEASE, str(packed), "--kube-version", "1.34", "--values", str(BY_NAME["gke"]))
    assert "kind: PodMonitoring" in shown
    with tarfile.open(packed) as archive:
        assert {f"podjoule/platforms/{path.name}" for path in PLATFORMS} <= set(archive.getnames())


def test_the_constraints_allow_what_the_pod_asks_for_and_no_more() -> None:
    rendered = render(BY_NAME["openshift"])
    constraints = rendered.one("SecurityContextConstraints")
    context = rendered.container["securityContext"]
    assert constraints["allowedCapabilities"] == context["capabilities"]["add"]
    assert constraints["requiredDropCapabilities"] == context["capabilities"]["drop"]
    assert constraints["allowPrivilegedContainer"] is context["privileged"] is False
    assert constraints["users"] == [f"system:serviceaccount:{NAMESPACE}:{rendered.pod['serviceAccountName']}"]
    kinds = {kind for volume in rendered.pod["volumes"] for kind in volume if kind != "name"}
    assert kinds <= set(constraints["volumes"])
    assert not any(constraints[f"allowHost{what}"] for what in ("IPC", "Network", "PID", "Ports"))


def test_openshift_chooses_the_user_of_pods_that_need_no_right() -> None:
    (test,) = render(BY_NAME["openshift"]).of_kind("Pod")
    assert test["spec"]["securityContext"].keys() == {"runAsNonRoot", "seccompProfile"}


def test_google_s_collectors_find_the_pods() -> None:
    rendered = render(BY_NAME["gke"])
    labels = rendered.one("DaemonSet")["spec"]["template"]["metadata"]["labels"].items()
    monitoring = rendered.one("PodMonitoring")["spec"]
    assert labels >= monitoring["selector"]["matchLabels"].items()
    assert monitoring["endpoints"][0]["port"] == rendered.container["ports"][0]["name"]


@pytest.mark.parametrize(("name", "label"), [("eks", "eks.amazonaws.com/compute-type"), ("aks", "type")])
def test_nodes_that_take_no_daemon_set_are_left_out(name: str, label: str) -> None:
    affinity: Document = render(BY_NAME[name]).pod["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [(each["key"], each["operator"]) for each in term["matchExpressions"]] == [(label, "NotIn")]


def test_azure_s_operator_is_asked_under_its_own_name() -> None:
    assert render(BY_NAME["aks"]).one("PodMonitor")["apiVersion"] == "azmonitoring.coreos.com/v1"
