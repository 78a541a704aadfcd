"""docs/kubernetes.md says what is true of the chart."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from exporter.configuration.config import OPTIONS
from tests.deploy.chart import CHART, ROOT, render_with

PAGE = (ROOT / "docs/kubernetes.md").read_text()
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def _named() -> set[str]:
    """What stands in backticks and begins with a value's name."""
    spans = re.findall(r"`([a-z][A-Za-z]+(?:\.[A-Za-z][A-Za-z0-9]*)+)", PAGE)
    return {span for span in spans if span.split(".")[0] in VALUES}


def test_every_value_that_is_named_is_one() -> None:
    named = _named()
    assert len(named) > 15
    for name in named:
        if name.startswith("config."):
            assert name.removeprefix("config.") in OPTIONS, name
            continue
        found: Any = VALUES
        for key in name.split("."):
            assert key in found, name
            found = found[key]


def test_every_example_of_values_is_taken_by_the_chart() -> None:
    examples = [block for block in BLOCKS if block.keys() <= VALUES.keys()]
    assert len(examples) == 11
    for example in examples:
        render_with(example)


def test_the_scrape_configuration_is_taken_by_prometheus(
    require_command: Callable[[str], str], tmp_path: Path
) -> None:
    (example,) = (block for block in yaml.safe_load(yaml.safe_dump(BLOCKS)) if "scrape_configs" in block)
    # Debian's build knows no Kubernetes; tests/e2e/kubernetes scrapes by its discovery.
    assert example["scrape_configs"][0].pop("kubernetes_sd_configs") == [{"role": "pod"}]
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(example))
    told = [require_command("promtool"), "check", "config", "--syntax-only", str(file)]
    done = subprocess.run(told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_scrape_configuration_keeps_the_chart_s_pods() -> None:
    (example,) = (block for block in BLOCKS if "scrape_configs" in block)
    rendered = render_with({})
    labels = rendered.one("DaemonSet")["spec"]["template"]["metadata"]["labels"]
    (port,) = rendered.container["ports"]
    rules = example["scrape_configs"][0]["relabel_configs"]
    kept = {rule["source_labels"][0]: rule["regex"] for rule in rules if rule.get("action") == "keep"}
    assert kept == {
        "__meta_kubernetes_pod_label_app_kubernetes_io_name": labels["app.kubernetes.io/name"],
        "__meta_kubernetes_pod_container_port_name": port["name"],
    }
