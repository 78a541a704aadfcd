"""Writes the schema of the chart's values, from values.json and the options: see `make docs`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter.configuration.config import OPTIONS
from exporter.configuration.kepler_keys import KEPLER_ALIASES
from exporter.configuration.options import Option, shown_default
from exporter.configuration.schemas import nested
from exporter.serving.security import keys

HERE = Path(__file__).parent
MADE = HERE.parent / "chart/values.schema.json"


def schema() -> dict[str, Any]:
    """The hand-written part, with the configuration file and the web's in its definitions."""
    whole: dict[str, Any] = json.loads((HERE / "values.json").read_text())
    described = {key: _described(each) for key, each in OPTIONS.items()}
    aliases = {alias: described[key] for alias, key in KEPLER_ALIASES.items()}
    whole["definitions"]["config"] = nested({**described, **aliases})
    web = {key: each.value_type.schema for key, each in keys.OPTIONS.items()}
    whole["definitions"]["webConfig"] = nested(web)
    return whole


def text() -> str:
    """As it is kept."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _described(each: Option) -> Mapping[str, Any]:
    about = f"{each.description}: {each.value_type.allowed}; default {shown_default(each)}"
    return {**each.value_type.schema, "description": about}


if __name__ == "__main__":
    MADE.write_text(text())
    sys.stdout.write(f"{MADE}\n")
