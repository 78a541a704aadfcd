"""What may stand in the file, as JSON Schema (draft 7): for editors, and for helm before a pod starts.

A schema takes all that `parse` takes, and null, or "" for a text, which mean "not set". It may take more: it
cannot say that a duration is too short or a time zone unknown. Patterns are of the kind that Go, Python and
ECMAScript (of 2025) share. Source: https://json-schema.org/draft-07/json-schema-validation
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

Schema = Mapping[str, Any]

ANY_TEXT = r"^$|\S"
LEAST_SECONDS = "x-minimumSeconds"
DURATION = r"^(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)?$"


def text(pattern: str = ANY_TEXT, longest: int = 0) -> Schema:
    """A text with a match of the pattern, which should take the empty one. longest: in characters; 0: any."""
    limit = {"maxLength": longest} if longest else {}
    return {"type": ["string", "null"], "pattern": pattern, **limit}


def duration(minimum: float) -> Schema:
    """A duration as Go writes it. minimum: seconds, under a key of our own; no readable pattern has it."""
    return {**text(DURATION), LEAST_SECONDS: minimum}


def one_of(names: Iterable[str], booleans: bool = False) -> Schema:
    """One of the names in any case. booleans: true and false stand for two of them, as YAML reads on, off."""
    kinds = ["string", "boolean", "null"] if booleans else ["string", "null"]
    return {"type": kinds, "pattern": f"^(?i:{_any_of(names)}|)$"}


def list_of(pattern: str = "", least: int = 0) -> Schema:
    """A list of texts, each with a match of the pattern."""
    item = {"type": "string", "pattern": pattern} if pattern else {"type": "string"}
    return {"type": ["array", "null"], "items": item, **({"minItems": least} if least else {})}


def some_of(names: Iterable[str], least: int = 0) -> Schema:
    """A list of some of the names, in any case."""
    return list_of(f"^(?i:{_any_of(names)})$", least)


def number(low: float, high: float, kind: str = "number") -> Schema:
    """A number from low to high, of the kind number or integer."""
    bounds = {"minimum": low, "maximum": high}
    return {"type": [kind, "null"], **{name: bound for name, bound in bounds.items() if math.isfinite(bound)}}


def section(properties: Mapping[str, Schema]) -> dict[str, Any]:
    """A mapping with these keys and no other."""
    return {"type": ["object", "null"], "additionalProperties": False, "properties": dict(properties)}


def nested(schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """The schema of a file, of those of its keys such as monitor.interval."""
    root = section({})
    for key, schema in schemas.items():
        *above, last = key.split(".")
        place = root
        for name in above:
            place = place["properties"].setdefault(name, section({}))
        place["properties"][last] = schema
    return root


def _any_of(names: Iterable[str]) -> str:
    return "|".join(re.sub(r"([.+*?()\[\]{}|^$\\])", r"\\\1", name) for name in names)
