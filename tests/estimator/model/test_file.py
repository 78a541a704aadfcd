"""A model file is used as it was written, or refused with the file and the field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from estimator.errors import ModelInvalid, ModelUnavailable
from estimator.model.curve import CurveZone
from estimator.model.file import list_models, load_model, load_shipped, parse_model, render_model
from estimator.model.power_model import LinearZone


def content() -> dict[str, Any]:
    return {
        "name": "mine",
        "created": "2026-11-21",
        "machine": {
            "vendor": "GenuineIntel",
            "family": 6,
            "model": 63,
            "microarchitecture": "Haswell",
            "cores": 16,
            "sockets": 2,
            "tdp_watts": None,
        },
        "features": {"cpu_seconds": "s", "cycles": "1"},
        "zones": {
            "package": {
                "kind": "linear",
                "idle_watts": 40.0,
                "coefficients": {"cpu_seconds": 2.0, "cycles": 1e-9},
                "interval": {"coverage": 0.9, "watts": 8.0},
            },
            "platform": {
                "kind": "curve",
                "idle_watts_per_cpu": 1.0,
                "full_watts_per_cpu": 4.0,
                "load": [0, 0.5, 1],
                "draw": [0, 0.7, 1],
                "interval": {"coverage": 0.9, "idle_factor": 2.0, "full_factor": 1.5},
            },
        },
        "envelope": {"cpu_seconds": [0.0, 1.0], "cycles": [1e8, 4e9]},
        "scores": {"later_workloads": {"package": {"rows": 10, "mape_percent": 11.0}}},
        "training": {"rows": 100, "source": "table.csv", "sha256": "0" * 64},
    }


def changed(*path: str, to: object) -> str:
    """The text of a sealed file in which one field is another; its hash is right."""
    document = content()
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return render_model(document)


def test_what_was_written_is_what_is_read() -> None:
    model = parse_model("mine.json", render_model(content()))
    assert (model.name, model.machine.microarchitecture, model.machine.tdp_watts) == ("mine", "Haswell", None)
    assert model.envelope["cycles"] == (1e8, 4e9)
    assert isinstance(model.zones["package"], LinearZone)
    assert isinstance(model.zones["platform"], CurveZone)
    assert len(model.sha256) == 64


def test_the_text_is_canonical() -> None:
    shuffled = dict(reversed(content().items()))
    assert render_model(shuffled) == render_model(content())


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("zones", "package", "coefficients", "cycles"), -1e-9, "zones.package.coefficients.cycles"),
        (("zones", "package", "idle_watts"), -1, "zones.package.idle_watts"),
        (("zones", "package", "idle_watts"), "40", "zones.package.idle_watts"),
        (("zones", "package", "idle_watts"), True, "zones.package.idle_watts"),
        (("zones", "package", "idle_watts"), 10**400, "zones.package.idle_watts"),
        (("zones", "package", "kind"), "pickle", "zones.package.kind"),
        (("zones", "package", "kind"), ["linear"], "zones.package.kind"),
        (("zones", "attic"), {"kind": "linear"}, "zones.attic"),
        (("zones",), {}, "zones"),
        (("zones",), [], "zones"),
        (("zones", "platform", "full_watts_per_cpu"), 0.5, "zones.platform.full_watts_per_cpu"),
        (("zones", "platform", "load"), [0, 0.5, 0.4, 1], "zones.platform.load"),
        (("zones", "platform", "draw"), [0, 1], "zones.platform.draw"),
        (("zones", "platform", "draw"), [0, "x", 1], "zones.platform.draw[1]"),
        (("zones", "platform", "interval", "idle_factor"), 0.5, "zones.platform.interval.idle_factor"),
        (("zones", "platform", "interval"), {}, "zones.platform.interval.idle_factor"),
        (("envelope", "cycles"), [2, 1], "envelope.cycles"),
        (("machine", "cores"), 1.5, "machine.cores"),
        (("name",), "", "name"),
        (("features", "cycles"), None, "features.cycles"),
    ],
)
def test_a_wrong_value_is_refused_by_name(path: tuple[str, ...], value: object, field: str) -> None:
    with pytest.raises(ModelInvalid) as refused:
        parse_model("bad.json", changed(*path, to=value))
    assert f"bad.json: field {field}:" in str(refused.value)


def tampered(text: str) -> str:
    return text.replace('"cycles": 1e-09', '"cycles": 2e-09')


def with_nan(text: str) -> str:
    return text.replace('"cycles": 1e-09', '"cycles": NaN')


def with_infinity(text: str) -> str:
    return text.replace('"mape_percent": 11.0', '"mape_percent": 1e999')


def of_another_schema(text: str) -> str:
    return text.replace("podjoule.model/1", "podjoule.model/2")


def cut_short(text: str) -> str:
    return text[: len(text) // 2]


def with_a_key_twice(text: str) -> str:
    return text.replace('"name": "mine"', '"name": "mine", "name": "yours"')


@pytest.mark.parametrize(
    ("damage", "field"),
    [
        (tampered, "sha256"),
        (with_nan, "zones.package.coefficients.cycles"),
        (with_infinity, "scores.later_workloads.package.mape_percent"),
        (of_another_schema, "schema"),
        (cut_short, "(document)"),
        (with_a_key_twice, "(document)"),
        (lambda _: "", "(document)"),
        (lambda _: "[]", "(document)"),
        (lambda _: "[" * 100_000, "(document)"),
        (lambda _: "{}", "schema"),
    ],
)
def test_a_damaged_file_is_refused_by_name(damage: Callable[[str], str], field: str) -> None:
    text = render_model(content())
    assert damage(text) != text
    with pytest.raises(ModelInvalid) as refused:
        parse_model("bad.json", damage(text))
    assert f"bad.json: field {field}:" in str(refused.value)


@pytest.mark.parametrize("field", sorted({*content(), "sha256", "schema"}))
def test_a_missing_field_is_refused_by_name(field: str) -> None:
    document = {key: value for key, value in json.loads(render_model(content())).items() if key != field}
    text = json.dumps(document) if field in ("sha256", "schema") else render_model(_unsealed(document))
    with pytest.raises(ModelInvalid, match=rf"bad\.json: field {field}: wanted .*, found nothing"):
        parse_model("bad.json", text)


def _unsealed(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in ("sha256", "schema")}


def test_a_file_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"none\.json cannot be read: No such file"):
        load_model(tmp_path / "none.json")


def test_a_file_that_is_no_text_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(b"\x80\x04\x95")
    with pytest.raises(ModelInvalid, match=r"model\.json: field \(document\): wanted UTF-8"):
        load_model(tmp_path / "model.json")


@pytest.mark.parametrize("name", list_models())
def test_every_shipped_model_loads(name: str) -> None:
    model = load_shipped(name)
    assert model.name == name
    assert "platform" in model.zones


def test_an_unknown_shipped_model_is_unavailable() -> None:
    with pytest.raises(ModelUnavailable, match=r"there are: bare-metal-counters, .*power-from-specification"):
        load_shipped("../secrets")
