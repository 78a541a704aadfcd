"""What helm says of wrong values before anything runs, and that what is made is made of today's code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.chart_source.generate import files
from ebpf.errors import UsageError
from exporter.configuration.config import OPTIONS
from exporter.configuration.kepler_keys import KEPLER_ALIASES
from exporter.configuration.schemas import LEAST_SECONDS
from tests.deploy.chart import ROOT, Refused, render_with

# Set by the chart itself, which says so; see CONTRADICTIONS in test_chart.
CHART_S_OWN = ("host.", "kube.", "state.", "ebpf.pin", "web.listenAddresses", "web.configFile", "vm.shareDir")


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_what_is_made_is_current(path: Path) -> None:
    assert path.read_text() == files()[path], "run make docs"


def wrong_of(key: str) -> object:
    """Something of a kind that the option never is."""
    kinds = OPTIONS[key].value_type.schema["type"]
    return 7 if "string" in kinds or "array" in kinds else "seven"


def nested(values: Mapping[str, object]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for key, value in values.items():
        *above, last = key.split(".")
        place = root
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    return root


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(Refused, match="don't meet the specifications of the schema") as refused:
        render_with(values)
    return str(refused.value)


def test_helm_names_every_option_with_a_wrong_value_at_once() -> None:
    said = refusal({"config": nested({key: wrong_of(key) for key in [*OPTIONS]})})
    for key in OPTIONS:
        assert f"at '/config/{key.replace('.', '/')}': got " in said, key


def test_helm_names_keys_that_are_none() -> None:
    said = refusal({"config": {"nonsense": 1, "monitor": {"idlePolcy": "none"}, "hwmon": {"chiprules": []}}})
    for key in ("nonsense", "idlePolcy", "chiprules"):
        assert f"additional properties '{key}' not allowed" in said


def test_helm_says_what_may_stand_there() -> None:
    said = refusal(
        {
            "config": {"log": {"level": "verbose"}, "ebpf": {"mapEntries": 3}, "monitor": {"interval": 5}},
            "resources": {"limits": {"memory": "lots", "gpu": 1}},
        }
    )
    assert "'verbose' does not match pattern '^(?i:debug|info|warning|error|warn|)$'" in said
    assert "minimum: got 3, want 64" in said
    assert "at '/config/monitor/interval': got number, want null or string" in said
    assert "at '/resources/limits/memory': 'lots' does not match pattern" in said


def test_no_password_is_shown_where_a_value_is_refused() -> None:
    assert "letmein" not in refusal({"web": {"config": {"basic_auth_users": {"a": "letmein"}}}})
    for key in ("otlp", "carbon"):
        name = {"otlp": "endpoint", "carbon": "url"}[key]
        with pytest.raises(Refused, match=rf"config.{key}.{name}: it has a user or a query") as refused:
            render_with({"config": {key: {name: "https://user:letmein@collector:4318"}}})
        assert "letmein" not in str(refused.value)


def test_every_default_is_taken_and_comes_out_as_it_went_in() -> None:
    plain = {key: each.value_type.plain(each.default) for key, each in OPTIONS.items()}
    given = nested({key: value for key, value in plain.items() if not key.startswith(CHART_S_OWN)})
    kept = yaml.safe_load(render_with({"config": given}).configuration)
    assert kept == given


def test_large_numbers_and_bare_off_arrive_as_podjoule_takes_them(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("config: {ebpf: {mapEntries: 1048576}, calibration: off, carbon: {intensity: 350}}\n")
    from tests.deploy.chart import render

    kept = yaml.safe_load(render(values).configuration)
    assert kept == {"ebpf": {"mapEntries": 1048576}, "calibration": False, "carbon": {"intensity": 350}}
    for key, value in (("ebpf.mapEntries", 1048576), ("calibration", False), ("carbon.intensity", 350)):
        OPTIONS[key].parse(value, key)


def test_kepler_s_keys_are_taken_where_podjoule_takes_them() -> None:
    render_with({"config": nested(dict.fromkeys(KEPLER_ALIASES))})
    refusal({"config": {"experimental": {"gpu": {"enabled": True}}}})


DURATIONS = [
    *("0", "99.9ms", "99999999ns", "100000µs", "999ms", ".5s500ms", "59s999ms", "0.5m30s", "1h"),
]


LEAST = [key for key, each in OPTIONS.items() if each.value_type.schema.get(LEAST_SECONDS)]


@pytest.mark.parametrize("key", LEAST)
def test_a_duration_is_refused_where_it_is_too_short_and_nowhere_else(key: str) -> None:
    for found in DURATIONS:
        values = {"config": nested({key: found})}
        try:
            OPTIONS[key].parse(found, key)
        except UsageError:
            with pytest.raises(Refused, match=f"config.{key}: {re.escape(found)} is shorter"):
                render_with(values)
        else:
            render_with(values)


def test_durations_are_looked_for_where_a_section_is_empty_too() -> None:
    render_with({"config": {"monitor": None, "platform": {"ipmi": None}, "carbon": {"refresh": ""}}})


QUANTITIES = ["20m", "0.5", 2, 1.5, "64Mi", "1e3", "129M", "1.5Gi", "2E", "1Ei", "100k", ".5"]
NO_QUANTITIES = ["", "64MB", "64 Mi", "-1", -1, "1,5", "Mi", "1mi", "64Kib", True, None, [], "1e"]


def test_what_is_no_quantity_is_refused() -> None:
    for good in QUANTITIES:
        render_with({"resources": {"requests": {"ephemeral-storage": good if good != "20m" else 1}}})
    said = refusal(
        {"resources": {"limits": {f"example.com/a{i}": bad for i, bad in enumerate(NO_QUANTITIES)}}}
    )
    for i in range(len(NO_QUANTITIES)):
        assert f"at '/resources/limits/example.com~1a{i}'" in said, NO_QUANTITIES[i]


def test_thousandths_of_a_byte_are_a_slip() -> None:
    assert "'64m' does not match" in refusal({"resources": {"requests": {"memory": "64m"}}})


BEYOND = [
    ({"cpu": "2"}, {"cpu": "1500m"}),
    ({"cpu": 1.1}, {"cpu": 1}),
    ({"memory": "1Gi"}, {"memory": "1G"}),
    ({"memory": "257Mi"}, {"memory": "256Mi"}),
    ({"memory": "1E"}, {"memory": "1e17"}),
]
WITHIN = [
    ({"cpu": "1500m"}, {"cpu": "1.5"}),
    ({"memory": "1G"}, {"memory": "1Gi"}),
    ({"cpu": "8"}, {"memory": "1Gi"}),
    ({"memory": "134217728"}, {"memory": "128Mi"}),
]


@pytest.mark.parametrize(("requests", "limits"), BEYOND)
def test_a_request_beyond_its_limit_is_refused(requests: dict[str, Any], limits: dict[str, Any]) -> None:
    both = {"cpu": None, "memory": None}
    resources = {"requests": {**both, **requests}, "limits": {"memory": None, **limits}}
    name, value = next(iter(requests.items()))
    with pytest.raises(Refused, match=rf"resources.requests.{name}: {re.escape(str(value))} is more than"):
        render_with({"resources": resources})


@pytest.mark.parametrize(("requests", "limits"), WITHIN)
def test_a_request_within_its_limit_is_not(requests: dict[str, Any], limits: dict[str, Any]) -> None:
    render_with(
        {"resources": {"requests": {"memory": "1Mi", **requests}, "limits": {"memory": "2Gi", **limits}}}
    )


IMAGES = ["podjoule", "registry.example.com:5000/a/b_c/podjoule", "localhost/podjoule", "ghcr.io/o/p-q.r"]
NO_IMAGES = [
    "",
    "Podjoule",
    "podjoule:1",
    "podjoule@sha256:0",
    "https://r/p",
    "a//b",
    "a b",
    "/a",
    "a/",
    "r/B",
]


def test_an_image_is_a_name_as_registries_take_it() -> None:
    for good in IMAGES:
        render_with({"image": {"repository": good}})
    for bad in NO_IMAGES:
        assert "at '/image/repository'" in refusal({"image": {"repository": bad}}), bad
    said = refusal({"image": {"tag": "-1", "digest": "sha512:00"}, "reports": {"image": {"tag": "a" * 129}}})
    for place in ("/image/tag", "/image/digest", "/reports/image/tag"):
        assert f"at '{place}'" in said


def test_the_hand_written_part_has_no_options_in_it() -> None:
    assert '"mapEntries"' not in (ROOT / "deploy/chart_source/values.json").read_text()
