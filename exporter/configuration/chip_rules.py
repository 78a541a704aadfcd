"""What the user says about hwmon's chips, in the form of Kepler's experimental.hwmon.chipRules and more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from estimator.meters.hwmon_rules import NO_ZONE, ChipRule, Measure
from estimator.meters.port import ZONES
from exporter.configuration.nearest import nearest
from exporter.configuration.schemas import Schema, section
from exporter.configuration.value_types import ValueType

_KEYS = (
    "name", "device", "zones", "pairings", "useSameIndex", "skipVoltages", "skipCurrents",
    "maxEnergyMicrojoules",
)  # fmt: skip
_HIGHEST_INDEX = 1000


def chip_rules() -> ValueType[tuple[ChipRule, ...]]:
    """A list of mappings; in a flag or variable as JSON, one or a list of them each time it is given."""

    def parse(found: object) -> tuple[ChipRule, ...]:
        if not isinstance(found, list):
            raise ValueError
        return tuple(_rule(each) for each in found)

    return ValueType(
        f"a list of mappings with {', '.join(_KEYS)}; zones maps a sensor's label or id, or a pattern of them"
        f" such as VDD_*, to {', '.join(ZONES)} or {NO_ZONE}",
        parse,
        _from_json,
        lambda rules: [_plain(rule) for rule in rules],
        {"type": ["array", "null"], "items": _schema()},
        repeatable=True,
    )


def _schema() -> Schema:
    """Of one rule. In JSON every key is a text: those of pairings, too."""
    index = {"type": ["integer", "string"], "minimum": 0, "maximum": _HIGHEST_INDEX, "pattern": "^[0-9]+$"}
    indexes = {"type": ["array", "null"], "items": index}
    pairs = {"propertyNames": {"pattern": "^[0-9]+$"}, "additionalProperties": index}
    properties: dict[str, Schema] = {
        "name": {"type": "string", "pattern": r"\S"},
        "device": {"type": "string"},
        "zones": {"type": ["object", "null"], "additionalProperties": {"enum": [*ZONES, NO_ZONE, None]}},
        "pairings": {"type": ["object", "null"], **pairs},
        "useSameIndex": {"type": "boolean"},
        "skipVoltages": indexes,
        "skipCurrents": indexes,
        "maxEnergyMicrojoules": {
            "type": ["integer", "null"],
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 2**63,
        },
    }
    return {**section(properties), "type": "object", "required": ["name"]}


def _rule(found: object) -> ChipRule:
    if not isinstance(found, dict) or not isinstance(found.get("name"), str) or not found["name"].strip():
        raise ValueError("a rule must be a mapping with the chip's name")
    name = found["name"].strip()
    try:
        return _checked(name, found)
    except ValueError as error:
        raise ValueError(f"the rule of {name}: {error}") from None


def _checked(name: str, found: Mapping[str, Any]) -> ChipRule:
    for key in found:
        if key not in _KEYS:
            raise ValueError(f"{key!r} is not known, the nearest is {nearest(str(key), _KEYS)}")
    pairings = {_index(of): _index(to) for of, to in _mapping(found, "pairings").items()}
    is_same = found.get("useSameIndex", False)
    if not isinstance(is_same, bool) or (is_same and pairings):
        raise ValueError("useSameIndex must be true or false, and true only without pairings")
    return ChipRule(
        name,
        tuple(_measure(str(pattern), zone) for pattern, zone in _mapping(found, "zones").items()),
        _device(found.get("device", "")),
        pairings or None,
        frozenset(_index(each) for each in _list(found, "skipVoltages")),
        frozenset(_index(each) for each in _list(found, "skipCurrents")),
        _most(found.get("maxEnergyMicrojoules")),
        is_same,
    )


def _measure(pattern: str, zone: object) -> Measure:
    if zone is None:  # what YAML makes of a bare null
        zone = NO_ZONE
    if not isinstance(zone, str) or zone not in (*ZONES, NO_ZONE):
        raise ValueError(f"{zone!r} is no zone; there are {', '.join(ZONES)}, and {NO_ZONE}")
    return Measure(zone, pattern, is_shell=True)


def _device(found: object) -> str:
    if not isinstance(found, str):
        raise ValueError("device must be a text, such as 1-0040")
    return found


def _mapping(found: Mapping[str, Any], key: str) -> Mapping[Any, Any]:
    value = found.get(key) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be a mapping")
    return value


def _list(found: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = found.get(key) or []
    if not isinstance(value, list):
        raise ValueError(f"{key} must be a list")
    return value


def _index(found: object) -> int:
    text = str(found)
    if isinstance(found, bool) or not text.isascii() or not text.isdigit() or int(text) > _HIGHEST_INDEX:
        raise ValueError(f"{found!r} is no sensor's index")
    return int(text)


def _most(found: object) -> int | None:
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not 0 < found < 2**63:
        raise ValueError("maxEnergyMicrojoules must be a whole number above 0")
    return found


def _from_json(texts: Sequence[str]) -> object:
    import json  # start-up pays for it only where rules are given so

    rules: list[object] = []
    for text in texts:
        try:
            found = json.loads(text)
        except ValueError:
            return text
        rules += found if isinstance(found, list) else [found]
    return rules


def _plain(rule: ChipRule) -> dict[str, object]:
    values: dict[str, object] = {
        "name": rule.name,
        "device": rule.device,
        "zones": {measure.pattern: measure.zone for measure in rule.measures},
        "pairings": dict(rule.pairings or {}),
        "useSameIndex": rule.is_same_index,
        "skipVoltages": sorted(rule.skip_voltages),
        "skipCurrents": sorted(rule.skip_currents),
        "maxEnergyMicrojoules": rule.max_energy_uj,
    }
    return {key: value for key, value in values.items() if value}
