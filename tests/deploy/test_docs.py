"""The pages for people say what is true of the code: names, flags, keys, links, and every message."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import string
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from deploy.release.__main__ import parser as release_parser
from exporter.commands.cli import main
from exporter.commands.metrics_reference import every_spec
from exporter.configuration.config import OPTIONS, Config
from exporter.configuration.yaml_file import read_config_file
from exporter.doctor.doctor import examine
from exporter.doctor.finding import Machine
from tests.deploy.written_queries import stanzas

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (
        ROOT / "README.md",
        ROOT / "ARCHITECTURE.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs/kubernetes").glob("*.md")),
        *sorted((ROOT / "deploy").rglob("README.md")),
        ROOT / "deploy/METRICS.md",
    )
}
TROUBLESHOOTING = PAGES["docs/troubleshooting.md"]
CHECKS = ("doctor", *sorted(path.stem for path in (ROOT / "exporter/doctor").glob("*_checks.py")))

# What belongs to other programs and is rightly named: helm, kubectl, Kepler, Prometheus, the demo and pytest.
FOREIGN_FLAGS = {
    *("--create-namespace", "--namespace", "--selector", "--set", "--seconds", "--simulated"),
    *(
        "--armor",
        "--cgroupns",
        "--check",
        "--detach",
        "--detach-sign",
        "--pid",
        "--sign",
        "--verify",
        "--volumes",
    ),
    *("--web.config-file", "--metrics", "--kube.enable", "--monitor.max-terminated", "--machines"),
    *("--search", "--seed", "--web.enable-otlp-receiver"),
    *("--values", "--reuse-values", "--reset-then-reuse-values", "--untar"),
    *("--serviceaccount", "--selinux", "--kubelet-arg"),
}
FOREIGN_KEYS = {
    *("monitor.staleness", "monitor.maxTerminated", "monitor.minTerminatedEnergyThreshold"),
    *("kube.podInformer.mode", "kube.podInformer.pollInterval"),
    *("exporter.stdout", "exporter.prometheus.enabled", "exporter.prometheus.debugCollectors"),
    *("host.name", "host.id"),  # OpenTelemetry's attributes
    "machine.kubelet.extraMounts",  # Talos'
}
# Kepler's, of today and up to 0.9, on the page that compares.
KEPLER_09 = yaml.safe_load((ROOT / "deploy/prometheus/kepler-0.9.yaml").read_text())["groups"]
KEPLERS_METRICS = {
    *("kepler_build_info", "kepler_platform_watts"),
    *(rule["record"] for group in KEPLER_09 for rule in group["rules"]),
}

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*(?:\.[a-z-]+)*")
_METRIC = re.compile(r"\b(?:kepler|podjoule)_(?:\{[a-z_,]+\}|[a-z0-9_])*")
_PLACEHOLDER = re.compile(r"%\S*?[sdfrg]")


def blocks(page: str, language: str) -> list[str]:
    return [found["text"] for found in _FENCE.finditer(page) if found["language"] == language]


def flat(text: str) -> str:
    """Without markup and line ends, so that a message is found however it is set."""
    return " ".join(re.sub(r"[`|*]", " ", text).split())


# --- links


def anchors(page: str) -> set[str]:
    """As GitHub makes them of headings."""
    text = _FENCE.sub("", page)
    made: dict[str, int] = {}
    for heading in re.findall(r"^#+ +(.*)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        made[slug] = made.get(slug, -1) + 1
    return {f"{slug}-{i}" if i else slug for slug, most in made.items() for i in range(most + 1)}


@pytest.mark.parametrize("name", PAGES)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    for found in _LINK.finditer(PAGES[name]):
        target = found["target"]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), f"{name}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text()), f"{name}: {target}"


def test_every_page_is_in_the_index() -> None:
    index = PAGES["docs/README.md"]
    for name in PAGES:
        if name.startswith("docs/") and name != "docs/README.md":
            assert f"]({name.removeprefix('docs/')})" in index, name


# --- flags, keys, metrics


def helped(*command: str) -> str:
    """What --help of a command prints, and of those below it."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit):
        main([*command, "--help"])
    text = printed.getvalue()
    below = re.findall(r"^    ([a-z]+)(?:\s|$)", text, re.MULTILINE) if "COMMAND ..." in text else []
    return text + "".join(helped(*command, name) for name in below)


@pytest.fixture(scope="module")
def known_flags() -> set[str]:
    """What --help of any command tells, and what is other programs'."""
    return {*_FLAG.findall(helped()), *_FLAG.findall(release_parser().format_help()), *FOREIGN_FLAGS}


@pytest.mark.parametrize("name", PAGES)
def test_every_flag_is_one(name: str, known_flags: set[str]) -> None:
    spans = re.findall(r"`[^`\n]+`", _FENCE.sub("", PAGES[name]))
    fenced = [found["text"] for found in _FENCE.finditer(PAGES[name]) if found["language"] in ("", "ini")]
    commands = re.findall(r"^ {4}.*\bpodjoule .*$", PAGES[name], re.MULTILINE)
    for text in (*spans, *fenced, *commands):
        told = set(_FLAG.findall(text))
        assert told <= known_flags, f"{name}: {told - known_flags}"


def test_a_flag_that_is_none_would_be_found(known_flags: set[str]) -> None:
    assert _FLAG.findall("`--web.listen-adress`, `--model.idle-watts=80`") == [
        "--web.listen-adress",
        "--model.idle-watts",
    ]
    assert "--web.listen-adress" not in known_flags


def is_key(name: str, values: object) -> bool:
    """An option, a section of options, another program's key, or a value of the chart."""
    if name in OPTIONS or name in FOREIGN_KEYS or any(key.startswith(f"{name}.") for key in OPTIONS):
        return True
    for part in name.removeprefix("config.").split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


@pytest.mark.parametrize("name", PAGES)
def test_every_key_of_the_configuration_is_one(name: str) -> None:
    chart = yaml.safe_load((ROOT / "deploy/chart/values.yaml").read_text())
    sections = "|".join(sorted({key.partition(".")[0] for key in OPTIONS}))
    told = re.findall(rf"`((?:{sections})(?:\.[A-Za-z]+)+)[`:]", PAGES[name])
    wrong = [key for key in told if not is_key(key, chart) and not key.endswith((".py", ".md", ".json"))]
    assert not wrong, f"{name}: {wrong}"


def test_a_key_that_is_none_would_be_found() -> None:
    assert is_key("monitor.interval", {})
    assert is_key("exporter.prometheus", {})
    assert not is_key("monitor.intervall", {})


@pytest.mark.parametrize(
    "name", [name for name in PAGES if name != "docs/kubernetes.md"]
)  # the chart's values
def test_every_example_of_a_configuration_file_is_taken(name: str, tmp_path: Path) -> None:
    sections = {key.partition(".")[0] for key in OPTIONS}
    for text in blocks(PAGES[name], "yaml"):
        if (yaml.safe_load(text) or {}).keys() <= sections:
            file = tmp_path / "podjoule.yaml"
            file.write_text(text)
            assert read_config_file(file, OPTIONS)


def spelt_out(name: str) -> list[str]:
    """podjoule_{pod,vm}_cost_total is two names; what stands in braces behind a name is labels."""
    parts = re.split(r"(?<=_)\{([a-z_,]+)\}", name)
    names = [""]
    for i, part in enumerate(parts):
        texts = part.split(",") if i % 2 else [part.partition("{")[0]]
        names = [before + text for before in names for text in texts]
    return names


@pytest.fixture(scope="module")
def known_metrics() -> set[str]:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text())
    recorded = {
        rule["record"].split(":")[1]
        for group in rules["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    return {spec.name for spec in every_spec()} | recorded


@pytest.mark.parametrize("name", PAGES)
def test_every_metric_is_exported(name: str, known_metrics: set[str]) -> None:
    known = known_metrics | (KEPLERS_METRICS if name == "docs/comparison-with-kepler.md" else set())
    for token in _METRIC.findall(PAGES[name]):
        for metric in spelt_out(token):
            begins = metric.endswith("_") and any(one.startswith(metric) for one in known)
            assert metric in known or begins, f"{name}: {metric}"


def test_names_in_braces_are_spelt_out() -> None:
    assert spelt_out("podjoule_{pod,vm}_cost_total") == ["podjoule_pod_cost_total", "podjoule_vm_cost_total"]
    assert spelt_out("podjoule_energy_zone_info{zone}") == ["podjoule_energy_zone_info"]


@pytest.mark.parametrize("name", [name for name in PAGES if blocks(PAGES[name], "promql")])
def test_every_query_is_promql(name: str, tmp_path: Path, require_command: Callable[[str], str]) -> None:
    """Each stanza of a block is a query: promtool takes it as a rule."""
    told = [query for block in blocks(PAGES[name], "promql") for query in stanzas(block)]
    rules = [
        {"record": "a:b", "expr": query.replace("$__rate_interval", "5m"), "labels": {"n": str(i)}}
        for i, query in enumerate(told)
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "docs", "rules": rules}]}))
    done = subprocess.run(
        [require_command("promtool"), "check", "rules", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- messages


def test_every_check_of_the_doctor_has_a_section(tmp_path: Path) -> None:
    machine = Machine(
        *(tmp_path, tmp_path, tmp_path),
        boot=tmp_path,
        modules=tmp_path,
        sources=tmp_path,
        try_bpf=lambda: 1,
        try_events=lambda _: {"cycles": 2},
        try_library=lambda _: "absent",
        find_bcc=lambda: None,
    )
    default = Config()
    config = replace(
        default,
        ebpf=replace(default.ebpf, pin=tmp_path),
        state=replace(default.state, dir=tmp_path),
        vm=replace(default.vm, share_dir=tmp_path),
    )
    for check in examine(machine, config):
        assert re.search(rf"^### {re.escape(check.name)}$", TROUBLESHOOTING, re.MULTILINE), check.name


def test_every_alert_has_a_section() -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text())
    names = [rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(names) > 15
    told = re.findall(r"^### (Podjoule\w+)$", TROUBLESHOOTING, re.MULTILINE)
    assert sorted(told) == sorted(names)


def texts_of(tree: ast.Module) -> Iterator[str]:
    """Every string that is no docstring."""
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("module", CHECKS)
def test_every_finding_of_the_doctor_is_explained(module: str) -> None:
    page = flat(TROUBLESHOOTING)
    found = [
        text
        for text in texts_of(ast.parse((ROOT / f"exporter/doctor/{module}.py").read_text()))
        if len(text.split()) > 3
    ]
    missing = [text for text in found if flat(text) not in page]
    assert found
    assert not missing


def logged(path: Path) -> Iterator[str]:
    """The longest part without a placeholder of each warning and error that a module logs."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        by_log = isinstance(node.func.value, ast.Name) and node.func.value.id == "log"
        first = node.args[0]
        if by_log and node.func.attr in ("warning", "error", "exception") and isinstance(first, ast.Constant):
            longest = max(_PLACEHOLDER.split(str(first.value)), key=len)
            if text := longest.strip(string.punctuation + " "):
                yield text


def test_every_warning_and_error_of_the_log_is_explained() -> None:
    page = flat(TROUBLESHOOTING)
    modules = [
        path for folder in ("exporter", "ebpf", "estimator") for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    told = [(path.name, text) for path in modules for text in logged(path)]
    assert len(told) > 30
    assert not [(name, text) for name, text in told if flat(text) not in page]
