"""Model files: canonical JSON with its own hash, checked field by field; reading one runs no code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from estimator.errors import ModelInvalid, ModelUnavailable
from estimator.meters.port import ZONES
from estimator.model.curve import CurveZone, Draw
from estimator.model.document import Field, read_document
from estimator.model.margin import read_ceiling, read_margin
from estimator.model.power_model import LinearZone, PowerModel, TrainedMachine, ZoneModel
from estimator.model.specification_file import read_specification_zone
from estimator.model.trees import read_trees_zone

SCHEMA = "podjoule.model/1"
# The package `models`, whose files need no import of theirs: importlib.resources is half a megabyte.
SHIPPED = Path(__file__).parents[2] / "models"
# Longer files are refused unread; five zones of trees take some 300 kB, and reading this much 50 ms.
MOST_BYTES = 1 << 19
_MOST_CONTAINERS = 2_000
# Watts, and joules per unit; keeps every sum finite.
_MOST = 1e9
# A list of this many numbers or more stands on one line.
_LONG = 12
_LONG_LIST = re.compile(rf"\[(?:\s+[-+.\deE]+,){{{_LONG - 1},}}\s+[-+.\deE]+\s+\]")


def list_models() -> tuple[str, ...]:
    """The names of the shipped models, sorted."""
    return tuple(sorted(entry.stem for entry in SHIPPED.iterdir() if entry.suffix == ".json"))


def load_shipped(name: str) -> PowerModel:
    """A shipped model by name. ModelUnavailable if there is none, ModelInvalid if it is broken."""
    if name not in list_models():
        raise ModelUnavailable(f"no shipped model is called {name}; there are: {', '.join(list_models())}")
    text = (SHIPPED / f"{name}.json").read_text(encoding="utf-8")
    return parse_model(f"{name}.json", text)


def load_model(path: Path) -> PowerModel:
    """A model file. ModelUnavailable if it cannot be read, ModelInvalid if it must not be used."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise ModelUnavailable(
            f"model {path} cannot be read: {error.strerror}; give the path of a model file"
        ) from error
    except UnicodeDecodeError as error:
        raise ModelInvalid(
            f"model {path}: field (document): wanted UTF-8, found {error}; fetch it again"
        ) from error
    return parse_model(str(path), text)


def parse_model(file: str, text: str) -> PowerModel:
    """A model from its text; file is what the messages call it. Raises ModelInvalid naming file and field."""
    _require_modest(file, text)
    document = read_document(file, text)
    if document["schema"].value != SCHEMA:
        document["schema"].refuse(SCHEMA)
    document.require_finite()
    _check_hash(document)
    model = PowerModel(
        name=document["name"].text(),
        created=document["created"].text(),
        machine=_machine(document["machine"]),
        features={name: unit.text() for name, unit in document["features"].items()},
        zones=_zones(document["zones"]),
        envelope={name: _range(bounds) for name, bounds in document["envelope"].items()},
        scores=document["scores"].mapping(),
        training=document["training"].mapping(),
        sha256=document["sha256"].text(),
    )
    size = max(model.trained_cpus, default=None)
    zones = {
        name: replace(zone, trained_cpus=size) if isinstance(zone, LinearZone) else zone
        for name, zone in model.zones.items()
    }
    return replace(model, zones=zones)


def _require_modest(file: str, text: str) -> None:
    """Refuse unread what would take long to read."""
    found = {"bytes": len(text), "lists and objects": text.count("[") + text.count("{")}
    for what, most in (("bytes", MOST_BYTES), ("lists and objects", _MOST_CONTAINERS)):
        if found[what] > most:
            raise ModelInvalid(
                f"model {file}: field (document): wanted at most {most} {what}, found {found[what]}; "
                "train it on fewer zones"
            )


def render_model(content: Mapping[str, Any]) -> str:
    """The file's text for everything but schema and sha256: both are added, keys sorted, no NaN.

    Indented for people and diffs; the hash is over the same content without any white space.
    Raises ValueError for NaN and infinity.
    """
    body = {**content, "schema": SCHEMA}
    sealed = {**body, "sha256": content_hash(body)}
    text = json.dumps(sealed, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    return _LONG_LIST.sub(lambda found: " ".join(found[0].split()), text) + "\n"


def content_hash(body: Mapping[str, Any]) -> str:
    """sha256 of the canonical form: sorted keys, no white space, UTF-8, everything but the hash itself."""
    rest = {key: value for key, value in body.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _check_hash(document: Field) -> None:
    expected = content_hash(document.mapping())
    if document["sha256"].text() != expected:
        document["sha256"].refuse(f"{expected}, the hash of the rest")


def _machine(machine: Field) -> TrainedMachine:
    return TrainedMachine(
        vendor=machine["vendor"].optional_text(),
        family=machine["family"].optional_integer(),
        model=machine["model"].optional_integer(),
        microarchitecture=machine["microarchitecture"].optional_text(),
        cores=machine["cores"].optional_integer(),
        sockets=machine["sockets"].optional_integer(),
        tdp_watts=machine["tdp_watts"].optional_number(),
        cpu=(machine["cpu"].optional_text() or "") if "cpu" in machine.mapping() else "",
    )


def _zones(zones: Field) -> dict[str, ZoneModel]:
    if not zones.mapping():
        zones.refuse("at least one zone")
    return {name: _zone(name, zone) for name, zone in zones.items()}


def _zone(name: str, zone: Field) -> ZoneModel:
    if name not in ZONES:
        zone.refuse(f"a zone among {', '.join(ZONES)}")
    kind = zone["kind"].text()
    if kind not in _KINDS:
        zone["kind"].refuse(f"one of {', '.join(_KINDS)}")
    return _KINDS[kind](zone)


def _curve(zone: Field) -> CurveZone:
    idle = zone["idle_watts_per_cpu"].number()
    load, draw = _points(zone["load"]), _points(zone["draw"])
    if len(load) != len(draw):
        zone["draw"].refuse(f"{len(load)} points, as many as load")
    within = [zone["interval"][f"{end}_factor"].number(1.0, 1e6) for end in ("idle", "full")]
    return CurveZone(
        idle=Draw.within(idle, within[0], within[0]),
        full=Draw.within(zone["full_watts_per_cpu"].number(least=idle), within[1], within[1]),
        load=load,
        draw=draw,
        coverage=zone["interval"]["coverage"].number(most=1.0),
    )


def _linear(zone: Field) -> LinearZone:
    held = zone["held"].items() if "held" in zone.mapping() else ()
    return LinearZone(
        idle=zone["idle_watts"].number(most=_MOST),
        coefficient_by_feature={
            name: field.number(most=_MOST) for name, field in zone["coefficients"].items()
        },
        margin=read_margin(zone["interval"], "watts"),
        held={name: field.number() for name, field in held},
        ceiling=read_ceiling(zone),
    )


_KINDS: dict[str, Callable[[Field], ZoneModel]] = {
    "curve": _curve,
    "linear": _linear,
    "specification": read_specification_zone,
    "trees": read_trees_zone,
}


def _points(points: Field) -> tuple[float, ...]:
    """Values that rise from 0 to 1."""
    values = points.numbers()
    if len(values) < 2 or values[0] != 0 or values[-1] != 1 or any(b <= a for a, b in pairwise(values)):
        points.refuse("points that rise from 0 to 1")
    return values


def _range(bounds: Field) -> tuple[float, float]:
    values = bounds.numbers()
    if len(values) != 2 or values[0] > values[1]:
        bounds.refuse("a least and a most")
    return values[0], values[1]
