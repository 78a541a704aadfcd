"""Writes what the chart has from elsewhere: python -m deploy.chart_source.generate.

The schema of its values, of values.json and the options; the least that durations may be; the door for
teams, of deploy/tenants.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from exporter.configuration.config import OPTIONS
from exporter.configuration.kepler_keys import KEPLER_ALIASES
from exporter.configuration.options import Option, shown_default
from exporter.configuration.schemas import LEAST_SECONDS, nested
from exporter.serving.security import keys

DEPLOY = Path(__file__).resolve().parents[1]


def schema() -> dict[str, Any]:
    """The hand-written part, with the configuration file and the web's in its definitions."""
    whole: dict[str, Any] = json.loads((DEPLOY / "chart_source/values.json").read_text())
    described = {key: _described(each) for key, each in OPTIONS.items()}
    aliases = {alias: described[key] for alias, key in KEPLER_ALIASES.items()}
    web = {key: each.value_type.schema for key, each in keys.OPTIONS.items()}
    whole["definitions"] |= {"config": nested({**described, **aliases}), "webConfig": nested(web)}
    return whole


def files() -> dict[Path, str]:
    """What is made, by its place."""
    chart, tenants = DEPLOY / "chart", DEPLOY / "tenants"
    return {
        chart / "values.schema.json": json.dumps(schema(), indent=2, ensure_ascii=False) + "\n",
        chart / "files/least-durations.yaml": yaml.safe_dump(_least_seconds()),
        chart / "files/tenants.yaml": (tenants / "rules.yaml").read_text(),
        chart / "files/tenants.nginx.conf": _nginx(tenants / "tenants.yaml"),
    }


def _described(each: Option) -> Mapping[str, Any]:
    about = f"{each.description}: {each.value_type.allowed}; default {shown_default(each)}"
    return {**each.value_type.schema, "description": about}


def _least_seconds() -> dict[str, float]:
    """What a template compares, since a schema cannot."""
    least = {key: each.value_type.schema.get(LEAST_SECONDS, 0.0) for key, each in OPTIONS.items()}
    return {key: seconds for key, seconds in least.items() if seconds}


def _nginx(manifest: Path) -> str:
    maps = [found for found in yaml.safe_load_all(manifest.read_text()) if found["kind"] == "ConfigMap"]
    return str(maps[0]["data"]["nginx.conf"])


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
        sys.stdout.write(f"wrote {path.relative_to(DEPLOY.parent)}\n")
